"""What holds for any value: overriding, merging, writing and reading again."""

import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fai_rl.recipes.load import load
from fai_rl.recipes.overrides import dotted, parse_path
from fai_rl.recipes.recipe import Recipe
from fai_rl.recipes.yaml_tree import dump, parse, parse_scalar
from fai_rl.utils.errors import RecipeError

FAST = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TINY = "sft/tiny_cpu"
# Everything that YAML can hold; ${ is OmegaConf's own sign and has tests of its own.
PRINTABLE = st.characters(
    blacklist_categories=("Cs", "Cc", "Cn", "Co"), blacklist_characters="\ufeff"
)
TEXT = st.text(PRINTABLE, max_size=30).filter(lambda text: "${" not in text and text != "???")
NUMBERS = st.floats(0, 1e300) | st.integers(0, 10**15)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\x85", "\\N") + '"'


@FAST
@given(TEXT)
def test_text_in_quotes_comes_back(text: str):
    assert load(TINY, [f"data.system_prompt={in_quotes(text)}"]).data.system_prompt == text


@FAST
@given(TEXT)
def test_text_without_quotes_comes_back_unless_it_is_null_or_quoted(text: str):
    if parse_scalar(text.strip()) is None or text.strip()[:1] in ("'", '"'):
        return
    assert load(TINY, [f"data.system_prompt={text}"]).data.system_prompt == text


@FAST
@given(NUMBERS)
def test_a_number_comes_back(number: float):
    assert load(TINY, [f"training.learning_rate={number}"]).trl["learning_rate"] == number


@FAST
@given(st.integers(1, 10**9), st.booleans())
def test_counts_and_switches_come_back(count: int, switch: bool):
    words = [f"training.max_steps={count}", f"training.packing={str(switch).lower()}"]
    loaded = load(TINY, words).trl
    assert loaded["max_steps"] == count and loaded["packing"] is switch


@FAST
@given(st.lists(TEXT, max_size=4), st.dictionaries(NAMES, TEXT | NUMBERS, max_size=3))
def test_lists_and_mappings_come_back(tags: list[str], kwargs: dict[str, object]):
    words = [
        f"wandb.tags=[{', '.join(map(in_quotes, tags))}]",
        f"training.lr_scheduler_kwargs={dump(kwargs)}",
    ]
    loaded = load(TINY, words)
    assert loaded.wandb.tags == tags
    assert loaded.trl["lr_scheduler_kwargs"] == kwargs


@FAST
@given(st.lists(st.tuples(st.sampled_from(["seed", "data_seed"]), st.integers(0, 99)), max_size=6))
def test_of_several_overrides_of_a_key_the_last_wins(words: list[tuple[str, int]]):
    loaded = load(TINY, [f"training.{key}={value}" for key, value in words]).trl
    for key, value in dict(words).items():
        assert loaded[key] == value


LAYER = st.dictionaries(
    st.sampled_from(["lora_r", "lora_alpha", "revision", "use_rslora"]), st.integers(1, 99)
)


def as_model(keys: dict[str, int]) -> dict[str, object]:
    kinds = {"revision": str, "use_rslora": lambda value: value % 2 == 0}
    return {key: kinds.get(key, int)(value) for key, value in keys.items()}


@FAST
@given(one=LAYER, two=LAYER, own=LAYER, typed=LAYER)
def test_the_strongest_layer_that_gives_a_key_wins(
    tmp_path: Path, one: dict[str, int], two: dict[str, int], own: dict[str, int], typed: dict
):
    first, second, file, words = map(as_model, (one, two, own, typed))
    names = []
    for name, layer in (("a.yaml", first), ("b.yaml", second)):
        (tmp_path / name).write_text(dump({"model": layer}))
        names.append(str(tmp_path / name))
    recipe = {
        "model": {"base_model_name": "builtin:tiny", "use_lora": True, **file},
        "data": {"datasets": [{"name": "builtin:addition"}]},
        "training": {"algorithm": "sft"},
    }
    (tmp_path / "r.yaml").write_text(dump(recipe))
    overrides = [f"model.{key}={str(value).lower()}" for key, value in words.items()]
    loaded = load(tmp_path / "r.yaml", overrides, names).model
    for key, value in {**first, **second, **file, **words}.items():
        assert getattr(loaded, key) == value


@FAST
@given(
    prompt=st.text(PRINTABLE, max_size=20) | st.just(r"a\\\${x} ${y}"),
    tags=st.lists(TEXT, max_size=3),
    rate=NUMBERS,
    max_samples=st.none() | st.integers(1, 10**6),
)
def test_a_recipe_written_and_loaded_is_the_same_recipe(
    tmp_path: Path, prompt: str, tags: list[str], rate: float, max_samples: int | None
):
    recipe = load(TINY)
    recipe.data.system_prompt = prompt if prompt != "???" else None
    recipe.wandb.tags = tags
    recipe.data.datasets[0].max_samples = max_samples
    recipe.trl["learning_rate"] = rate
    path = tmp_path / "again.yaml"
    path.write_text(recipe.as_yaml(), encoding="utf-8")
    assert load(path).as_dict() == recipe.as_dict()
    assert Recipe.from_yaml(recipe.as_yaml()).as_dict() == recipe.as_dict()


PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(PRINTABLE, max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@FAST
@given(PLAIN)
def test_what_is_dumped_is_parsed_as_the_same_values(value: object):
    assert parse(dump(value)).value == value


@FAST
@given(st.lists(NAMES | st.integers(-9, 99), min_size=1, max_size=5))
def test_a_path_is_read_as_it_is_written(parts: list[str | int]):
    path = ("section", *parts)
    assert parse_path(dotted(path)) == path


@settings(FAST, max_examples=100)
@given(text=st.text(max_size=60) | st.text("abc:{}[]-\n \t\"'&*!|>#%@,.0$?", max_size=60))
def test_junk_is_refused_and_never_crashes(tmp_path: Path, text: str):
    path = tmp_path / "junk.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    with pytest.raises(RecipeError):
        load(path)


@settings(FAST, max_examples=60)
@given(
    key=st.sampled_from(
        ["model.lora_r", "data.system_prompt", "data.datasets[0]", "wandb.tags", "training",
         "training.lr_scheduler_kwargs", "training.algorithm", "data.datasets[0].weight", "data"]
    ),
    value=st.text(max_size=20) | st.text("ab:{}[]-\n \"'&*!|>#%@,.0$\\", max_size=20),
)  # fmt: skip
def test_a_junk_value_is_taken_or_refused_and_never_crashes(key: str, value: str):
    try:
        recipe = load(TINY, [f"{key}={value}"])
    except RecipeError as error:
        assert all(problem.message for problem in error.problems)
    else:
        assert isinstance(recipe.as_yaml(), str)


@FAST
@given(st.text(max_size=20))
def test_a_junk_word_is_taken_or_refused_and_never_crashes(word: str):
    try:
        load(TINY, [word])
    except RecipeError as error:
        assert error.problems


def test_special_numbers_come_back():
    again = parse(dump([math.inf, -math.inf, 1e-300, 5e-324, 1.7976931348623157e308])).value
    assert again == [math.inf, -math.inf, 1e-300, 5e-324, 1.7976931348623157e308]
