"""What a type annotation accepts."""

import pytest

from fai_rl.recipes.value_types import parse_type


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", [0, -3], [1.0, True, "1", None]),
        ("float", [1, 0.5], [True, "1", None]),
        ("bool", [True, False], [1, 0, "true", None]),
        ("str", ["", "x"], [1, None, True]),
        ("str | None", ["x", None], [1]),
        ("Optional[int]", [1, None], ["x"]),
        ("Union[str, int]", ["x", 1], [None, 0.5]),
        ("list[str]", [[], ["a"]], ["a", [1], [None]]),
        ("str | list[str]", ["a", ["a"]], [1, [1], {}]),
        ("list", [[], [1, "a"]], ["a"]),
        ("dict[str, Any] | str", [{}, "x"], [1, []]),
        ("dict | None", [{}, None], ["x"]),
        ("Any", [1, None, "x", []], []),
    ],
)
def test_a_type_accepts_what_it_says(annotation: str, good: list, bad: list):
    accepted = parse_type(annotation)
    assert [value for value in good if not accepted.accepts(value)] == []
    assert [value for value in bad if accepted.accepts(value)] == []


def test_an_enumeration_accepts_its_values_alone():
    accepted = parse_type("Mode | str", lambda name: ("a", "b") if name == "Mode" else ())
    assert accepted.accepts("a") and not accepted.accepts("c")
    assert accepted.describe() == "one of a, b"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("int", "a whole number"),
        ("float | int | None", "a number or null"),
        ("bool", "true or false"),
        ("list[str] | None", "a list of text or null"),
        ("list[DatasetConfig]", "a list of mappings"),
        ("Any", "any value"),
    ],
)
def test_a_type_is_described_in_words(annotation: str, words: str):
    assert parse_type(annotation).describe() == words
