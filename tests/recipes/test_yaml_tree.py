"""YAML 1.2 as people read it."""

import math
from pathlib import Path

import pytest

from fai_rl.recipes.yaml_tree import dump, parse, parse_file, parse_scalar
from fai_rl.utils.errors import Problem, RecipeError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5.0e-5", 5e-5),
        ("5e-5", 5e-5),
        ("1e-4", 1e-4),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1.5", -1.5),
        ("007", 7),
        ("+3", 3),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_a_plain_scalar_means_what_it_looks_like(text: str, value: object):
    read = parse_scalar(text)
    assert read == value and type(read) is type(value)
    assert parse(f"key: {text}").value == {"key": value}


@pytest.mark.parametrize(
    "text",
    ["no", "off", "yes", "on", "y", "nULL", "1_000", "0b1", "12:30", "2026-01-01", "1e", "e5", "."],
)
def test_words_that_older_yaml_reads_otherwise_are_text(text: str):
    assert parse(f"key: {text}").value == {"key": text}


def test_not_a_number_is_one():
    assert math.isnan(parse("key: .nan").value["key"])


@pytest.mark.parametrize("text", ["'1e-4'", '"1e-4"', "|-\n  1e-4", ">-\n  1e-4"])
def test_quoted_and_block_scalars_are_text(text: str):
    assert parse(f"key: {text}").value == {"key": "1e-4"}


def test_every_key_and_item_has_its_line():
    tree = parse("a:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n")
    assert tree.lines[("a", "b")] == 2
    assert tree.lines[("a", "c", 1)] == 5
    assert tree.lines[("a", "c", 1, "d")] == 5


def test_the_spelling_of_a_number_is_kept_beside_it():
    assert parse("a: {b: 1e4}").text == {("a", "b"): "1e4"}


def test_every_duplicate_is_told_with_the_first_one_s_line():
    with pytest.raises(RecipeError) as caught:
        parse("a: 1\na: 2\nb: {c: 1, c: 2}\n", "r.yaml")
    assert [(p.message, p.where) for p in caught.value.problems] == [
        ("key a is written twice", "r.yaml:2"),
        ("key b.c is written twice", "r.yaml:3"),
    ]
    assert caught.value.problems[0].hint == "the first is on line 1: keep one of them"


def test_duplicates_leave_the_rest_readable_where_the_caller_collects():
    problems: list[Problem] = []
    assert parse("a: 1\na: 2\nb: 3\n", "r", problems).value == {"a": 1, "b": 3}
    assert len(problems) == 1


def test_an_alias_repeats_a_value():
    assert parse("a: &x [1, 2]\nb: *x\n").value == {"a": [1, 2], "b": [1, 2]}


def test_an_alias_bomb_is_refused():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    with pytest.raises(RecipeError, match="aliases or nesting expand this file"):
        parse(bomb)


@pytest.mark.parametrize("sign", ["[", "- ", "{a: ", "? "])
def test_nesting_that_would_overflow_the_stack_is_refused(sign: str):
    with pytest.raises(RecipeError, match="40 levels"):
        parse(sign * 100_000)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a:\n\tb: 1\n", "r:2", "use spaces"),
        ("a: !!python/name:os x", "tag !!python/name:os is not supported", ""),
        ("a: !mine 1", "tag !mine is not supported", ""),
        ("a: {min_lr:1e-6}", "{min_lr:1e-6} has no value", "put a space after the colon"),
        ("a:1\nb: 2\n", "r:1", "put a space after the colon"),
        ("a: {<<: {b: 1}}", "merge keys", "write the keys out"),
        ("? [a]\n: 1\n", "a key must be a single word", ""),
        ("a: 'x\nb: 1\n", "a quote is not closed", "the line reads: a: 'x"),
        ("a: [1\n", "a [ is not closed", ""),
        ("a: 1\n---\nb: 2\n", "another document", ""),
        ("a: 1\nb: \x01\n", "r:2", ""),
        ("a: \ud800", "not UTF-8", ""),
    ],
)
def test_what_is_no_yaml_is_told_with_line_and_way_out(text: str, message: str, hint: str):
    with pytest.raises(RecipeError) as caught:
        parse(text, "r")
    assert message in str(caught.value)
    assert hint in str(caught.value)


def test_a_file_that_is_not_utf8_is_told_with_line_and_byte(tmp_path: Path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"a: 1\nb: x\xe9\n")
    with pytest.raises(RecipeError) as caught:
        parse_file(path, "r.yaml")
    assert "byte 9 is 0xe9" in str(caught.value) and "r.yaml:2" in str(caught.value)


def test_a_byte_order_mark_and_windows_line_ends_are_read_over(tmp_path: Path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: x\r\n")
    assert parse_file(path).value == {"a": 1, "b": "x"}


def test_an_empty_document_is_nothing():
    assert parse("# nothing\n").value is None


@pytest.mark.parametrize(
    "text", ["1e-4", "0o17", "0x1f", "007", "1.", ".5", "+1", "no", "~", "", "null", "a: b", "# a"]
)
def test_text_that_looks_like_something_else_is_dumped_in_quotes(text: str):
    assert parse(dump({"key": [text]})).value == {"key": [text]}
