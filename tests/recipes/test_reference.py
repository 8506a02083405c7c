"""The keys for people and editors."""

import json

import pytest

from fai_rl.recipes.algorithms import ALGORITHMS
from fai_rl.recipes.reference import all_keys, json_schema, matching, reference_page, shown_default
from fai_rl.recipes.shipped import shipped_recipes
from fai_rl.recipes.yaml_tree import parse_file


@pytest.fixture(scope="module")
def schema() -> dict:
    return json_schema()


def test_the_schema_is_one(schema: dict):
    json.dumps(schema, allow_nan=False)
    assert set(schema["required"]) == {"model", "data", "training"}
    assert schema["properties"]["data"]["properties"]["datasets"]["items"]["required"] == ["name"]
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_fits_the_schema(schema: dict, name: str):
    jsonschema = pytest.importorskip("jsonschema")
    tree = parse_file(shipped_recipes()[name])
    faults = jsonschema.Draft202012Validator(schema).iter_errors(tree.value)
    assert [fault.message for fault in faults] == []


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "learning_rat", 1),
        ("training", "learning_rate", "fast"),
        ("training", "algorithm", "sftt"),
        ("model", "torch_dtype", "bf16"),
        ("data", "datasets", [{}]),
    ],
)
def test_an_editor_marks_what_loading_refuses(schema: dict, section: str, key: str, value: object):
    jsonschema = pytest.importorskip("jsonschema")
    recipe = {
        "model": {"base_model_name": "a"},
        "data": {"datasets": [{"name": "a"}]},
        "training": {"algorithm": "sft", "seed": "${oc.env:SEED}"},
    }
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(recipe)
    recipe[section][key] = value
    assert not validator.is_valid(recipe)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_reference_page_holds_every_key(algorithm: str):
    page = reference_page(algorithm)
    names = [name for name, _ in all_keys(algorithm)]
    assert len(names) == len(set(names))
    assert all(f"| `{name}` |" in page for name in names)


def test_the_reference_tells_the_defaults_that_loading_uses():
    shown = dict(all_keys("gspo"))
    assert shown["training.epsilon"].default == 3e-4
    assert shown_default("training.algorithm", shown["training.algorithm"]) == "required"
    assert shown_default("model.use_lora", shown["model.use_lora"]) == "false"


def test_a_pattern_finds_names_before_meanings():
    found = [name for name, _ in matching("sft", "lora")]
    assert found[0] == "model.use_lora" or "lora" in found[0]
    assert len(found) < len(matching("sft", None))


def test_a_default_that_the_reference_shows_is_accepted_by_its_own_type():
    for name, key in all_keys("sft"):
        computed = key.name in ("optim",) or name in ("model.base_model_name",)
        assert computed or key.type.accepts(key.default), name
