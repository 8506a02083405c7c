"""Planted faults: each must be refused with what is wrong, where, and the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fai_rl.recipes.recipe import Recipe
from fai_rl.trainers.data import check_sources
from fai_rl.utils.errors import DataError

GOOD = {"question": "1+1", "answer": "2"}


def make_recipe(*entries: dict[str, Any], **data: Any) -> Recipe:
    sections = {
        "model": {"base_model_name": "builtin:tiny"},
        "data": {"datasets": list(entries), **data},
        "training": {"algorithm": "sft"},
    }
    recipe = Recipe.from_dict(sections, "test")
    recipe.origin = {
        "data.datasets[0]": "recipe.yaml:4",
        "data.datasets[0].name": "recipe.yaml:4",
        "data.datasets[0].prompt_column": "recipe.yaml:6",
        "data.user_prompt": "recipe.yaml:9",
    }
    return recipe


def jsonl(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def parquet(**columns: list[Any]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue().to_pybytes()


def chat(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


USER, BOT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}
QA = {"prompt_column": "question", "answer_column": "answer"}
TEMPLATE = {"user_prompt": "Q: {question}", "assistant_prompt": "{answer}"}
# name: file, contents, the dataset's keys, the data section's keys, fragments of the message
Fault = tuple[str, bytes, dict[str, Any], dict[str, Any], list[str]]
FAULTS: dict[str, Fault] = {
    "broken JSONL": (
        "d.jsonl", jsonl(GOOD) + b'{"question": "2+2", "answer" "4"}\n' + jsonl(GOOD), {}, {},
        ["1 of 3 rows", "recipe.yaml:4", "broken JSON (d.jsonl:2)", "Expecting ':'",
         "at column 30", "data.max_bad_rows=1"],
    ),
    "break far into a long line is shown where it is": (
        "d.jsonl", jsonl(GOOD) + b'{"question": "' + b"x" * 500 + b'", "answer": oops}\n', {}, {},
        ["d.jsonl:2", "at column 528", "oops"],
    ),
    "cut off last line": (
        "d.jsonl", jsonl(GOOD, GOOD)[:-9], {}, {}, ["broken JSON (d.jsonl:2)", "Unterminated"],
    ),
    "nested too deeply": (
        "d.jsonl", jsonl(GOOD) + b"[" * 200_000 + b"\n", {}, {}, ["d.jsonl:2", "broken JSON"],
    ),
    "JSONL row that is a list": (
        "d.jsonl", jsonl(GOOD, [1, 2]), {}, {}, ["no object (d.jsonl:2)", "[1, 2]"],
    ),
    "empty JSONL": ("d.jsonl", b"", {}, {}, ["0 rows in", "d.jsonl", "recipe.yaml:4"]),
    "JSONL of blank lines": ("d.jsonl", b"\n \n", {}, {}, ["0 rows in", "d.jsonl"]),
    "empty JSON list": ("d.json", b"[]", {}, {}, ["0 rows in", "d.json"]),
    "CSV with a header alone": ("d.csv", b"question,answer\n", {}, {}, ["0 rows in", "d.csv"]),
    "empty Parquet": (
        "d.parquet", parquet(question=[], answer=[]), {}, {}, ["0 rows in", "d.parquet"],
    ),
    "no such column": (
        "d.jsonl", jsonl(GOOD), {"prompt_column": "qestion", "answer_column": "answer"}, {},
        ["no column qestion", "recipe.yaml:6", "did you mean question?", "question, answer"],
    ),
    "no such text column": (
        "d.jsonl", jsonl({"txet": "a"}), {"text_column": "text"}, {},
        ["no column text", "did you mean txet?"],
    ),
    "unnamed column misspelt": (
        "d.jsonl", jsonl({"txet": "a"}), {}, {},
        ["can't tell what to train on", "is txet meant as text?", "text_column"],
    ),
    "columns that say nothing": (
        "d.jsonl", jsonl({"a": 1, "b": 2}), {}, {}, ["columns a, b", "name prompt_column"],
    ),
    "prompt without answer": (
        "d.jsonl", jsonl(GOOD), {"prompt_column": "question"}, {},
        ["leaves nothing to train on", "recipe.yaml:6", "question, answer"],
    ),
    "two forms at once": (
        "d.jsonl", jsonl(GOOD), {"prompt_column": "question", "text_column": "answer"}, {},
        ["prompt_column and text_column", "keep one"],
    ),
    "nulls": (
        "d.jsonl", jsonl(*[GOOD, {**GOOD, "answer": None}] * 7), {}, {},
        ["7 of 14 rows", "7 rows with null in `answer`", "d.jsonl:2, d.jsonl:4", "and 2 more",
         "data.max_bad_rows=7"],
    ),
    "first row lacks the column": (
        "d.jsonl", jsonl({"question": "?"}, GOOD), QA, {}, ["1 row with no `answer` (d.jsonl:1)"],
    ),
    "later row lacks the column": (
        "d.jsonl", jsonl(GOOD, {"question": "?"}), {}, {}, ["no `answer` (d.jsonl:2)"],
    ),
    "wrong types": (
        "d.jsonl", jsonl(GOOD, {**GOOD, "answer": {"a": 1}}, {**GOOD, "answer": True}), {}, {},
        ["2 of 3 rows", "`answer` holding an object, not text (d.jsonl:2)",
         "true or false, not text (d.jsonl:3)"],
    ),
    "NaN": ("d.jsonl", b'{"question": "1", "answer": NaN}\n' + jsonl(GOOD), {}, {},
            ["nan in `answer` (d.jsonl:1)"]),
    "empty strings": (
        "d.jsonl", jsonl(GOOD, {**GOOD, "answer": ""}, {**GOOD, "question": " \n"}), {}, {},
        ["empty `answer` (d.jsonl:2)", "empty `question` (d.jsonl:3)"],
    ),
    "half a surrogate pair": (
        "d.jsonl", jsonl(GOOD) + b'{"question": "1", "answer": "a\\ud83d"}\n', {}, {},
        ["half of a surrogate pair in `answer` (d.jsonl:2)", "\\ud83d at character 1"],
    ),
    "every row bad": (
        "d.jsonl", jsonl({**GOOD, "answer": ""}), {}, {"max_bad_rows": 5},
        ["none of 1 rows", "empty `answer`", "mend them"],
    ),
    "wrong message keys": (
        "d.jsonl", jsonl(chat(USER, BOT), chat({"speaker": "user", "text": "hi"}, BOT)), {}, {},
        ["d.jsonl:2", "without role", "its keys are speaker, text"],
    ),
    "ShareGPT turn without value": (
        "d.jsonl", jsonl({"conversations": [{"from": "human", "text": "hi"}]}), {}, {},
        ["a message in `conversations` without", "its keys are from, text"],
    ),
    "unknown role": (
        "d.jsonl", jsonl(chat({"role": "robot", "content": "x"}, BOT)), {}, {},
        ["an unknown role in `messages`", "robot; roles are assistant"],
    ),
    "empty assistant turn": (
        "d.jsonl", jsonl(chat(USER, {**BOT, "content": " "})), {}, {}, ["an empty assistant turn"],
    ),
    "empty user turn": (
        "d.jsonl", jsonl(chat({**USER, "content": ""}, BOT)), {}, {}, ["an empty user turn"],
    ),
    "nobody to learn from": (
        "d.jsonl", jsonl(chat(USER)), {}, {}, ["no assistant turn in `messages`"],
    ),
    "messages that are text": (
        "d.jsonl", jsonl({"messages": "hi"}), {}, {}, ["`messages` holding text, not messages"],
    ),
    "no message": ("d.jsonl", jsonl({"messages": []}), {}, {}, ["no message in `messages`"]),
    "a message that is text": (
        "d.jsonl", jsonl({"messages": ["hi"]}), {}, {}, ["a message in `messages` that is text"],
    ),
    "an image in a message": (
        "d.jsonl", jsonl(chat({"role": "user", "content": [{"type": "image"}]}, BOT)), {}, {},
        ["whose content is a list"],
    ),
    "conversations as plain text": (
        "d.jsonl", jsonl(chat(USER, BOT)), {}, {"format": "plain"},
        ["data.format is plain", "conversations in `messages`", "data.format=auto"],
    ),
    "10 MB row": (
        "d.jsonl", jsonl(GOOD, {**GOOD, "answer": "x" * 10_000_000}), {}, {},
        ["more than data.max_row_bytes=1,000,000 (d.jsonl:2)", "10,000,03"],
    ),
    "10 MB row in JSON": (
        "d.json", json.dumps([GOOD, {**GOOD, "answer": "x" * 10_000_000}]).encode(), {}, {},
        ["data.max_row_bytes", "d.json row 2"],
    ),
    "10 MB row in CSV": (
        "d.csv", b"question,answer\n1,2\n1," + b"x" * 10_000_000 + b"\n", {}, {},
        ["data.max_row_bytes", "d.csv:3"],
    ),
    "large row in Parquet": (
        "d.parquet", parquet(question=["1", "2"], answer=["x", "x" * 5000]), {},
        {"max_row_bytes": 4000}, ["data.max_row_bytes=4,000 (d.parquet row 2)"],
    ),
    "JSONL in Latin-1": (
        "d.jsonl", jsonl(GOOD) + '{"question": "café", "answer": "2"}\n'.encode("latin-1"), {}, {},
        ["not UTF-8 (d.jsonl:2)", "byte 52 is 0xe9", "caf"],
    ),
    "JSON in Latin-1": (
        "d.json", '[{"question": "café", "answer": "2"}]'.encode("latin-1"), {}, {},
        ["not UTF-8", "d.json, byte 18", "0xe9", "iconv -f LATIN1"],
    ),
    "CSV in Latin-1": (
        "d.csv", "question,answer\n1,2\ncafé,2\n".encode("latin-1"), {}, {},
        ["not UTF-8 (d.csv:3)", "byte 23 is 0xe9"],
    ),
    "text in Latin-1": ("d.txt", "a\ncafé\n".encode("latin-1"), {}, {}, ["d.txt:2", "byte 5"]),
    "UTF-16 with a mark": (
        "d.jsonl", jsonl(GOOD).decode().encode("utf-16"), {}, {},
        ["UTF-16, not UTF-8", "byte 0", "iconv -f UTF-16 -t UTF-8 d.jsonl"],
    ),
    "UTF-16 without a mark": (
        "d.csv", "question,answer\n".encode("utf-16-le"), {}, {}, ["zero bytes", "byte 1", "iconv"],
    ),
    "gzip under another name": ("d.jsonl", b"\x1f\x8b\x08\0abc", {}, {}, ["gzip", "gunzip"]),
    "gzip": ("d.jsonl.gz", b"\x1f\x8b\x08\0abc", {}, {}, ["aren't read", ".jsonl"]),
    "a pointer of Git LFS": (
        "d.parquet.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", {}, {},
        ["pointer of Git LFS", "git lfs pull"],
    ),
    "a web page": ("d.json", b"<!doctype html><html>", {}, {}, ["is a web page", "download"]),
    "broken JSON document": (
        "d.json", b'[\n {"question": "1", "answer": "2"},\n {"question" "1"}\n]', {}, {},
        ["broken JSON: Expecting ':'", "d.json:3", "column 14"],
    ),
    "JSON object without rows": (
        "d.json", b'{"a": 1, "b": {"c": 2}}', {}, {}, ["one JSON object with a, b", '{"data"'],
    ),
    "JSON value": ("d.json", b"42", {}, {}, ["one JSON int, not rows", "list of rows"]),
    "JSON list of texts": ("d.json", b'["a", "b"]', {}, {}, ["2 rows", "no object (d.json row 1"]),
    "first line of JSONL named .json broken": (
        "d.json", b'{"question" 1}\n' + jsonl(GOOD), {}, {}, ["broken JSON (d.json:1)"],
    ),
    "ragged CSV": (
        "d.csv", b"question,answer\n1,2\n1,2,3\n1\n", {}, {},
        ["2 of 3 rows", "3 fields where the header has 2 (d.csv:3)", "1 fields", "d.csv:4"],
    ),
    "CSV column twice": (
        "d.csv", b"answer,question,answer\n1,2,3\n", {}, {},
        ["column answer more than once", "d.csv:1", "rename"],
    ),
    "CSV quote never closed": (
        "d.csv", b'question,answer\n1,2\n1,"2\n1,2\n1,2\n', {}, {"max_bad_rows": 9},
        ["never closed", "d.csv:3", "written twice"],
    ),
    "CSV quote in the middle": (
        "d.csv", b'question,answer\n1,2\n1,"2"x\n', {}, {}, ["broken CSV (d.csv:3)", "expected"],
    ),
    "CSV row after a field of several lines": (
        "d.csv", b'question,answer\n1,"a\nb\nc"\n1\n', {}, {}, ["1 fields", "(d.csv:5)"],
    ),
    "CSV with semicolons": (
        "d.csv", b"question;answer\n1;2\n", {}, {}, ["by semicolons", "d.csv:1", "commas"],
    ),
    "CSV with an empty field": (
        "d.csv", b"question,answer\n1,\n1,2\n", {}, {}, ["empty `answer` (d.csv:2)"],
    ),
    "broken Parquet": ("d.parquet", b"PAR1 nothing", {}, {}, ["no Parquet file", "d.parquet"]),
    "cut off Parquet": (
        "d.parquet", parquet(question=["1"], answer=["2"])[:-20], {}, {}, ["Parquet", "again"],
    ),
    "nulls in Parquet": (
        "d.parquet", parquet(question=["1", "2"], answer=["x", None]), {}, {},
        ["null in `answer` (d.parquet row 2)"],
    ),
    "dates in Parquet": (
        "d.parquet", parquet(question=["1"], answer=[__import__("datetime").date(2026, 1, 1)]),
        {}, {}, ["`answer` holding a date, not text"],
    ),
    "unknown placeholder": (
        "d.jsonl", jsonl(GOOD), {"dataset_columns": ["question", "answer"]},
        {**TEMPLATE, "user_prompt": "{qestion}"},
        ["data.user_prompt refers to {qestion}", "recipe.yaml:9", "did you mean question?",
         "{{ and }}"],
    ),
    "placeholder outside dataset_columns": (
        "d.jsonl", jsonl(GOOD), {"dataset_columns": ["question"]}, TEMPLATE,
        ["data.assistant_prompt refers to {answer}", "the columns are question"],
    ),
    "placeholder without a name": (
        "d.jsonl", jsonl(GOOD), {}, {**TEMPLATE, "user_prompt": "{}"},
        ["data.user_prompt refers to {}", "the columns are"],
    ),
    "JSON braces in a template": (
        "d.jsonl", jsonl(GOOD), {}, {**TEMPLATE, "assistant_prompt": '{"a": "{answer}"}'},
        ["data.assistant_prompt", "write {{ and }}"],
    ),
    "unclosed brace": (
        "d.jsonl", jsonl(GOOD), {}, {**TEMPLATE, "user_prompt": "{question"},
        ["data.user_prompt is no str.format template", "write {{ and }}"],
    ),
    "template without a column": (
        "d.jsonl", jsonl(GOOD), {"dataset_columns": ["question", "answer"]},
        {"system_prompt": "You are helpful."},
        ["data.system_prompt refers to no column", "{question}"],
    ),
    "dataset_columns with a typo": (
        "d.jsonl", jsonl(GOOD), {"dataset_columns": ["question", "anwser"]}, TEMPLATE,
        ["no column anwser", "did you mean answer?"],
    ),
    "empty answer in a template": (
        "d.jsonl", jsonl(GOOD, {**GOOD, "answer": ""}), {}, TEMPLATE, ["empty `answer` (d.jsonl:2"],
    ),
    "split of a file": (
        "d.jsonl", jsonl(GOOD), {"split": "test"}, {}, ["no split test", "data.eval_size"],
    ),
    "slice beyond the end": (
        "d.jsonl", jsonl(GOOD), {"split": "train[5:]"}, {}, ["0 rows", "train[5:] lies beyond"],
    ),
    "subset of a file": ("d.jsonl", jsonl(GOOD), {"subset": "main"}, {}, ["subset means nothing"]),
    "unknown ending": ("d.xlsx", b"PK\x03\x04", {}, {}, ["aren't read", ".csv"]),
    "more bad rows than allowed": (
        "d.jsonl", jsonl(GOOD, *[{}] * 3), {}, {"max_bad_rows": 2},
        ["3 of 4 rows", "allows 2", "max_bad_rows=3"],
    ),
    "a larger share of bad rows than allowed": (
        "d.jsonl", jsonl(*[GOOD] * 8, {}, {}), {}, {"max_bad_rows": 0.1}, ["2 of 10", "allows 1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_fault_is_refused_with_what_where_and_the_way_out(fault: Fault, tmp_path: Path) -> None:
    file, contents, entry, data, fragments = fault
    path = tmp_path / file
    path.write_bytes(contents)
    with pytest.raises(DataError) as caught:
        check_sources(make_recipe({"name": str(path), **entry}, **data))
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message
    assert len(message) < 2000  # a page, whatever the file holds


def test_file_that_is_not_there_gets_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(jsonl(GOOD))
    with pytest.raises(DataError, match=r"there is no file[^\0]*did you mean .*train\.jsonl"):
        check_sources(make_recipe({"name": str(tmp_path / "trian.jsonl")}))


def test_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file matches"):
        check_sources(make_recipe({"name": str(tmp_path / "part-*")}))


def test_folder_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("hi")
    with pytest.raises(DataError, match=r"no data file in[^\0]*\.jsonl"):
        check_sources(make_recipe({"name": str(tmp_path)}))


def test_folder_of_save_to_disk_is_refused_with_the_way_out(tmp_path: Path) -> None:
    from datasets import Dataset

    Dataset.from_list([GOOD]).save_to_disk(tmp_path / "d")
    with pytest.raises(DataError, match=r"save_to_disk[^\0]*to_parquet"):
        check_sources(make_recipe({"name": str(tmp_path / "d")}))


def test_unknown_builtin_dataset_and_split_are_refused() -> None:
    with pytest.raises(DataError, match=r"did you mean addition\?"):
        check_sources(make_recipe({"name": "builtin:adition"}))
    with pytest.raises(DataError, match="splits train and test"):
        check_sources(make_recipe({"name": "builtin:addition", "split": "dev"}))


def test_faults_of_all_datasets_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    (tmp_path / "b.jsonl").write_bytes(jsonl({"answer": None, "question": "?"}))
    entries = [{"name": str(tmp_path / name)} for name in ("a.jsonl", "b.jsonl")]
    recipe = make_recipe(entries[0], eval_datasets=[entries[1]])
    with pytest.raises(DataError) as caught:
        check_sources(recipe)
    assert "0 rows" in str(caught.value)
    assert "null in `answer`" in str(caught.value)
    assert len(caught.value.problems) == 2


def test_check_that_runs_out_of_time_still_refuses_the_bad_rows_it_met(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(jsonl(GOOD, {}, *[GOOD] * 5000))
    with pytest.raises(DataError, match="1 of the first 1,000 rows"):
        check_sources(make_recipe({"name": str(path)}), seconds=0)
    path.write_bytes(jsonl(*[GOOD] * 5000))
    report = check_sources(make_recipe({"name": str(path)}), seconds=0)[0]
    assert "the first 1,000 rows were looked at" in report.notes


def test_reading_ends_soon_where_everything_is_bad(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(jsonl(GOOD) + b"{}\n" * 30_000)
    with pytest.raises(DataError, match=r"10,001 of the first 10,002 rows"):
        check_sources(make_recipe({"name": str(path)}))


@pytest.mark.parametrize("limit", [2, 0.5])
def test_bad_rows_within_the_cap_are_dropped_and_told(tmp_path: Path, limit: float) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(jsonl(GOOD, {}, GOOD) + b"{broken\n")
    [report] = check_sources(make_recipe({"name": str(path)}, max_bad_rows=limit))
    assert report.kept == 2
    assert report.num_bad == 2
    assert "1 row with broken JSON (d.jsonl:4)" in report.reasons()[1]
