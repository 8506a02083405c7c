"""Rows come out of files as they stand there, whatever the format, with their places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fai_rl.recipes.schema import DatasetConfig
from fai_rl.trainers.readers import is_here, read_rows
from fai_rl.trainers.row_report import BadRow, RowReport
from fai_rl.utils.errors import DataError

ROWS = [{"question": f"q{i}", "answer": f"a{i}"} for i in range(10)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def read(path: Path | str, **keys: Any) -> list[tuple[str, Any]]:
    return list(read_rows(DatasetConfig(str(path), **keys), 10_000, False, RowReport(str(path))))


def rows(path: Path | str, **keys: Any) -> list[Any]:
    return [row for _, row in read(path, **keys)]


def write(path: Path, contents: bytes | str) -> Path:
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return path


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("d.jsonl", LINES),
        ("d.jsonl", LINES.rstrip("\n")),
        ("d.jsonl", "\n" + LINES + "\n \n"),
        ("d.jsonl", LINES.replace("\n", "\r\n")),
        ("d.jsonl", b"\xef\xbb\xbf" + LINES.encode()),
        ("d.json", LINES),
        ("d.jsonl", json.dumps(ROWS)),
        ("d.json", json.dumps(ROWS)),
        ("d.json", json.dumps(ROWS, indent=2)),
        ("d.json", b"\xef\xbb\xbf" + json.dumps(ROWS).encode()),
        ("d.json", json.dumps({"data": ROWS})),
        ("d.json", json.dumps({"version": 1, "rows": ROWS}, indent=1)),
        ("d.csv", "question,answer\n" + "".join(f"q{i},a{i}\n" for i in range(10))),
        ("d.csv", "question,answer\r\n" + "".join(f"q{i},a{i}\r\n" for i in range(10))),
        ("d.csv", "\ufeffquestion,answer\n" + "".join(f"q{i},a{i}\n" for i in range(10))),
        ("d.csv", '\ufeff"question","answer"\n' + "".join(f'q{i},"a{i}"\n' for i in range(10))),
        ("d.CSV", "question,answer\n\n" + "".join(f"q{i},a{i}\n\n" for i in range(10))),
        ("d.tsv", "question\tanswer\n" + "".join(f"q{i}\ta{i}\n" for i in range(10))),
    ],
)
def test_forms_of_the_same_rows_read_the_same(
    tmp_path: Path, name: str, contents: bytes | str
) -> None:
    assert rows(write(tmp_path / name, contents)) == ROWS


def test_places_are_lines_or_row_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", "\n" + LINES)
    assert [place for place, _ in read(path)][:2] == ["d.jsonl:2", "d.jsonl:3"]
    path = write(tmp_path / "d.json", json.dumps(ROWS))
    assert read(path)[2][0] == "d.json row 3"
    path = write(tmp_path / "d.csv", 'a,b\n1,"x\ny"\n2,z\n')
    assert read(path) == [("d.csv:2", {"a": "1", "b": "x\ny"}), ("d.csv:4", {"a": "2", "b": "z"})]


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "007", "1e5", "2026-01-01", "true"])
def test_csv_values_stay_text(tmp_path: Path, word: str) -> None:
    assert rows(write(tmp_path / "d.csv", f"a,b\n{word},x\n")) == [{"a": word, "b": "x"}]


def test_csv_keeps_quotes_commas_and_large_fields(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", 'a,b\n"say ""hi"", you",' + "x" * 9000 + "\n")
    assert rows(path) == [{"a": 'say "hi", you', "b": "x" * 9000}]


def test_single_row_of_messages_in_a_json_file_is_a_row(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "a"}]}
    assert rows(write(tmp_path / "d.json", json.dumps(row))) == [row]


def test_text_files_give_a_row_for_each_line_that_is_not_blank(tmp_path: Path) -> None:
    path = write(tmp_path / "d.txt", "one\n\n  two\nthree")
    assert rows(path) == [{"text": "one"}, {"text": "  two"}, {"text": "three"}]


def test_parquet_keeps_types_and_lists(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = [{"n": 1, "turns": [{"role": "user", "content": "a"}]}, {"n": None, "turns": []}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), tmp_path / "d.parquet")
    assert rows(tmp_path / "d.parquet") == table


def test_reading_goes_on_after_a_broken_line(tmp_path: Path) -> None:
    got = rows(write(tmp_path / "d.jsonl", LINES + "{broken\n" + LINES))
    assert isinstance(got[10], BadRow)
    assert got[:10] == got[11:] == ROWS


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", range(10)),
        ("train[:3]", range(3)),
        ("train[7:]", range(7, 10)),
        ("train[2:4]", range(2, 4)),
        ("train[:20%]", range(2)),
        ("train[80%:]", range(8, 10)),
        ("train[-2:]", range(8, 10)),
        ("train[:-30%]", range(7)),
        ("train[:99]", range(10)),
    ],
)
def test_slices_are_those_of_hub_datasets(tmp_path: Path, split: str, expected: range) -> None:
    from datasets import load_dataset

    path = write(tmp_path / "d.jsonl", LINES)
    assert rows(path, split=split) == [ROWS[i] for i in expected]
    cache = str(tmp_path / "cache")
    theirs = load_dataset("json", data_files=str(path), split=split, cache_dir=cache)
    assert [dict(row) for row in theirs] == rows(path, split=split)


def test_max_samples_takes_the_first_rows_and_reads_no_further(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", 'a,b\n1,2\n3,4\n5,"never closed\n')
    assert len(rows(path, max_samples=2)) == 2
    with pytest.raises(DataError):
        rows(path)


def test_builtin_datasets_have_splits_and_slices() -> None:
    assert len(rows("builtin:addition", split="test")) == 400
    assert len(rows("builtin:addition", split="test[:10%]")) == 40


def test_folder_gives_the_files_of_the_split_and_says_what_it_left(tmp_path: Path) -> None:
    for name in ("train-0.jsonl", "train-1.jsonl", "test.jsonl", "notes.jsonl"):
        write(tmp_path / name, json.dumps({"text": name}) + "\n")
    write(tmp_path / "README.md", "hi")
    report = RowReport("")
    entry = DatasetConfig(str(tmp_path))
    got = [row["text"] for _, row in read_rows(entry, 1000, False, report) if isinstance(row, dict)]
    assert got == ["train-0.jsonl", "train-1.jsonl"]
    assert "left notes.jsonl, test.jsonl" in report.notes[0]
    assert rows(tmp_path, split="test") == [{"text": "test.jsonl"}]
    with pytest.raises(DataError, match=r"no split validation[^\0]*test, train"):
        rows(tmp_path, split="validation")


def test_folder_without_split_names_and_pattern_give_all_files_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.txt", "c.csv"):
        write(tmp_path / name, {"b": '{"text": "b"}\n', "a": "a\n", "c": "text\nc\n"}[name[0]])
    assert [row["text"] for row in rows(tmp_path)] == ["a", "b", "c"]
    assert [row["text"] for row in rows(f"{tmp_path}/*.?s*")] == ["b", "c"]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "b.jsonl", '{"text": "d"}\n')
    places = [place for place, _ in read(f"{tmp_path}/**/b.jsonl")]
    assert places == [f"{tmp_path}/b.jsonl:1", f"{tmp_path}/in/b.jsonl:1"]


def test_empty_file_among_others_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", '{"text": "a"}\n')
    write(tmp_path / "b.jsonl", "")
    report = RowReport("")
    assert len(list(read_rows(DatasetConfig(str(tmp_path)), 1000, False, report))) == 1
    assert "empty: b.jsonl" in report.notes


def test_names_of_files_patterns_and_folders_need_no_network(tmp_path: Path) -> None:
    for name in ("builtin:x", "a.jsonl", "./a", "data/*", str(tmp_path), "~/x", "a/b.CSV"):
        assert is_here(name)
    assert not is_here("openai/gsm8k")
