"""Dotted overrides of the command line."""

import pytest

from fai_rl.recipes.load import load
from fai_rl.recipes.overrides import dotted, parse_overrides, parse_path
from fai_rl.utils.errors import RecipeError


def tiny(*words: str):
    return load("sft/tiny_cpu", list(words))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("training.seed", ("training", "seed")),
        ("data.datasets[0].name", ("data", "datasets", 0, "name")),
        ("data.datasets.0.name", ("data", "datasets", 0, "name")),
        ("data.datasets[-1]", ("data", "datasets", -1)),
        ("training.model_init_kwargs.a-b", ("training", "model_init_kwargs", "a-b")),
    ],
)
def test_brackets_and_dots_name_the_same_path(text: str, path: tuple):
    assert parse_path(text) == path


@pytest.mark.parametrize("text", ["", ".a", "a..b", "a.", "[0]", "0.a", "a b", "a/b", "a[x]"])
def test_what_is_no_dotted_key_is_none(text: str):
    assert parse_path(text) is None


def test_a_path_has_one_spelling():
    assert dotted(("data", "datasets", 0, "name")) == "data.datasets[0].name"


def test_everything_after_the_first_equals_sign_is_the_value():
    assert parse_overrides(["training.run_name=a=b"])[0].raw == "a=b"


def test_all_words_that_are_no_overrides_are_told_at_once():
    with pytest.raises(RecipeError) as caught:
        parse_overrides(["foo", "a b=1", "model.lora_r"])
    assert len(caught.value.problems) == 3
    assert caught.value.problems[2].hint == "give it a value: model.lora_r=…"


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("training.learning_rate=5.0e-5", 5e-5),
        ("training.learning_rate=1e-4", 1e-4),
        ("training.learning_rate=1", 1),
        ("training.packing=true", True),
        ("training.max_length=null", None),
        ("training.max_length=~", None),
        ("training.report_to=[tensorboard, wandb]", ["tensorboard", "wandb"]),
        ("training.lr_scheduler_kwargs={min_lr: 1e-6}", {"min_lr": 1e-6}),
        ("training.lr_scheduler_kwargs.min_lr=1e-6", {"min_lr": 1e-6}),
    ],
)
def test_values_are_read_as_yaml_1_2(word: str, value: object):
    key = word.partition("=")[0].split(".")[1]
    assert tiny(word).trl[key] == value


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("1e4", "1e4"),
        ("007", "007"),
        ("true", "true"),
        ("a=b", "a=b"),
        ("two words", "two words"),
        (" edges ", " edges "),
        ("say #1", "say #1"),
        ("{question}: {answer}", "{question}: {answer}"),
        ("[x]", "[x]"),
        ("a: b", "a: b"),
        ("@best", "@best"),
        ("it's", "it's"),
        ('"quoted"', "quoted"),
        ("'1e4'", "1e4"),
        ('"a" or "b"', '"a" or "b"'),
        ('"', '"'),
        ('"null"', "null"),
        ("null", None),
        ("", None),
    ],
)
def test_a_key_that_takes_text_keeps_what_was_typed(raw: str, text: str | None):
    assert tiny(f"data.system_prompt={raw}").data.system_prompt == text


def test_a_list_of_text_keeps_the_spelling_of_its_items():
    assert tiny("wandb.tags=[007, 1e4, true, a]").wandb.tags == ["007", "1e4", "true", "a"]


def test_an_item_of_a_list_can_be_set():
    assert tiny("wandb.tags=[a, b]", "wandb.tags[1]=5").wandb.tags == ["a", "5"]


def test_a_key_of_a_dataset_can_be_set_in_both_spellings():
    words = ("data.datasets[0].max_samples=5", "data.eval_datasets.0.max_samples=6")
    recipe = tiny(*words)
    assert recipe.data.datasets[0].max_samples == 5
    assert recipe.data.eval_datasets[0].max_samples == 6
    assert recipe.data.datasets[0].prompt_column == "question"


def test_a_whole_section_and_a_whole_list_can_be_set():
    recipe = tiny(
        "model={use_lora: true, lora_r: 4}", "data.datasets=[{name: org/a}, {name: org/b}]"
    )
    assert recipe.model.lora_r == 4 and recipe.model.base_model_name == "builtin:tiny"
    assert [entry.name for entry in recipe.data.datasets] == ["org/a", "org/b"]
    assert recipe.data.datasets[0].prompt_column is None


def test_an_interpolation_is_filled_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAI_RL_TEST_SEED", "7")
    recipe = tiny(
        "training.seed=${oc.env:FAI_RL_TEST_SEED}",
        "training.run_name=seed-${training.seed}",
        r"data.system_prompt=costs \${5}",
    )
    assert recipe.trl["seed"] == 7
    assert recipe.trl["run_name"] == "seed-7"
    assert recipe.data.system_prompt == "costs ${5}"


def test_the_last_of_two_overrides_wins():
    assert tiny("training.seed=1", "training.seed=2").trl["seed"] == 2


def test_the_algorithm_can_be_set_like_any_key():
    assert tiny('training.algorithm="sft"').training.algorithm == "sft"
    assert tiny("training={algorithm: pretrain}").training.algorithm == "pretrain"
    assert tiny("training.algorithm=CPT").training.algorithm == "pretrain"


def test_the_place_of_a_value_is_the_override_s():
    word = "data.datasets=[{name: gone.jsonl}]"
    with pytest.raises(RecipeError) as caught:
        tiny(word)
    assert caught.value.problems[0].where == f"override {word}"
