"""Reading the rows of one local file, each with the place it stands at.

Text formats are read line by line by the standard library rather than by Arrow's readers: those
stop at the first broken line without naming it, turn `NA` into null and date-like text into dates.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fai_rl.trainers.row_report import BadRow, excerpt
from fai_rl.utils.errors import DataError

# A row, or what is wrong with it, after the place it stands at ("train.jsonl:17", "row 17").
Placed = tuple[str, dict[str, Any] | BadRow]
_BOM = b"\xef\xbb\xbf"
_NOT_UTF8 = "bytes that are not UTF-8"
# Larger CSV fields are taken for a quote that is never closed.
_MAX_FIELD = 100_000_000
# How files begin that are not what their name says, and the way out.
_IMPOSTORS = (
    (b"\xff\xfe", "is in UTF-16, not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 {name}"),
    (b"\xfe\xff", "is in UTF-16, not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 {name}"),
    (b"\x1f\x8b", "is compressed by gzip", "unpack it: gunzip"),
    (b"PK\x03\x04", "is a zip archive or a spreadsheet", "unpack it, or save the sheet as CSV"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd", "unpack it: unzstd"),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the data", "run: git lfs pull"),
    (b"<!DOCTYPE", "is a web page", "download the data itself, not the page that shows it"),
    (b"<html", "is a web page", "download the data itself, not the page that shows it"),
)


def read_file(path: Path, label: str, max_row_bytes: int) -> Iterator[Placed]:
    """Yield the rows of a file by its ending.

    Args:
        path: The file.
        label: What places call it.
        max_row_bytes: Larger lines are bad rows.

    Raises:
        DataError: The file as a whole can't be read.
    """
    suffix = path.suffix.lower()
    if path.stat().st_size == 0:
        return
    if suffix == ".parquet":
        yield from _parquet(path, label)
        return
    _refuse_impostors(path)
    if suffix in (".csv", ".tsv"):
        yield from _csv(path, label, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".txt":
        for number, line in _lines(path, max_row_bytes):
            if isinstance(line, BadRow):
                yield f"{label}:{number}", line
            elif line.strip():
                yield f"{label}:{number}", {"text": line}
    else:
        yield from _json(path, label, max_row_bytes)


def too_large(size: int, limit: int) -> BadRow:
    """Return the fault of a row that is too large."""
    return BadRow(f"more than data.max_row_bytes={limit:,}", f"the first has {size:,} bytes")


def _refuse_impostors(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(256)
    for start, what, hint in _IMPOSTORS:
        if head.removeprefix(_BOM).lstrip().lower().startswith(start.lower()):
            raise DataError(f"{path} {what}", f"{path}, byte 0", hint.format(name=path.name))
    if b"\0" in head:
        raise DataError(
            f"{path} is no text in UTF-8: it holds zero bytes",
            f"{path}, byte {head.index(0)}",
            f"if it is UTF-16: iconv -f UTF-16LE -t UTF-8 {path.name}",
        )


def _lines(path: Path, max_row_bytes: int) -> Iterator[tuple[int, str | BadRow]]:
    """Yield numbered lines; a line that isn't UTF-8 or is too large is a bad row."""
    with path.open("rb") as file:
        offset = 0
        for number, raw in enumerate(file, 1):
            if len(raw) > max_row_bytes:
                yield number, too_large(len(raw), max_row_bytes)
            else:
                try:
                    text = raw.decode("utf-8").rstrip("\r\n")
                    yield number, text.removeprefix("\ufeff") if number == 1 else text
                except UnicodeDecodeError as error:
                    yield number, _not_utf8(offset, error)
            offset += len(raw)


def _not_utf8(offset: int, error: UnicodeDecodeError) -> BadRow:
    bad = error.object[error.start]
    around = error.object[max(0, error.start - 20) : error.start + 20].decode("utf-8", "replace")
    return BadRow(
        _NOT_UTF8, f"byte {offset + error.start:,} is 0x{bad:02x}, in «{excerpt(around)}»"
    )


def _json(path: Path, label: str, max_row_bytes: int) -> Iterator[Placed]:
    if _is_document(path):
        yield from _json_document(path, label)
        return
    for number, line in _lines(path, max_row_bytes):
        if isinstance(line, BadRow):
            yield f"{label}:{number}", line
        elif line.strip():
            yield f"{label}:{number}", _json_row(line)


def _is_document(path: Path) -> bool:
    """Tell whether the file is one JSON value rather than a JSON value on every line."""
    with path.open("rb") as file:
        first = file.readline().removeprefix(_BOM).strip()
        second = file.readline().strip()
    if _is_object(first) and (second or path.suffix.lower() == ".jsonl"):
        return False
    if path.suffix.lower() == ".jsonl":
        return first in (b"[", b"[{") or (first.startswith(b"[") and not second)
    # A first line that is broken doesn't make JSON Lines a document.
    return not (first.startswith(b"{") and _is_object(second))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _json_row(line: str) -> dict[str, Any] | BadRow:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        start = max(0, error.colno - 30)
        around = ("…" if start else "") + excerpt(line[start:], 60)
        return BadRow("broken JSON", f"{error.msg} at column {error.colno}: {around}")
    except (ValueError, RecursionError) as error:
        return BadRow("broken JSON", f"{excerpt(error)}: {excerpt(line, 60)}")
    if not isinstance(row, dict):
        return BadRow("a JSON value that is no object", excerpt(line))
    return row


def _json_document(path: Path, label: str) -> Iterator[Placed]:
    try:
        document = json.loads(path.read_bytes() or b"[]")
    except UnicodeDecodeError as error:
        bad = _not_utf8(0, error)
        raise DataError(
            f"{path} has {bad.reason}: {bad.excerpt}",
            f"{path}, byte {error.start:,}",
            f"if it is Latin-1: iconv -f LATIN1 -t UTF-8 {path.name}",
        ) from None
    except json.JSONDecodeError as error:
        if not error.doc.strip():
            return
        raise DataError(
            f"broken JSON: {error.msg}",
            f"{path}:{error.lineno}",
            f"column {error.colno}: {excerpt(error.doc[max(0, error.pos - 30) :], 60)}\n"
            "rows written one to a line can be read past a broken one: name the file .jsonl",
        ) from None
    except RecursionError:
        raise DataError(f"{path} is nested too deeply", str(path)) from None
    if isinstance(document, dict):
        document = _rows_within(path, document)
    if not isinstance(document, list):
        raise _no_rows(path, f"one JSON {type(document).__name__}")
    for number, row in enumerate(document, 1):
        if isinstance(row, dict):
            yield f"{label} row {number}", row
        else:
            yield (
                f"{label} row {number}",
                BadRow("a JSON value that is no object", excerpt(row)),
            )


def _rows_within(path: Path, document: dict[str, Any]) -> list[Any]:
    """Return the list of rows that an object such as `{"data": […]}` holds."""
    if "messages" in document or "conversations" in document:
        return [document]  # the only row
    lists = [value for value in document.values() if isinstance(value, list)]
    if len(lists) == 1:
        return lists[0]
    raise _no_rows(path, f"one JSON object with {', '.join(list(document)[:8])}")


def _no_rows(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} is {what}, not rows",
        str(path),
        'write a list of rows, {"data": [rows]}, or one row to a line in a .jsonl file',
    )


class _Decoded:
    """Lines of a binary file as text, with the first undecodable byte since it was last asked."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.fault: BadRow | None = None

    def __iter__(self) -> Iterator[str]:
        offset = 0
        for raw in self.file:
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                self.fault = self.fault or _not_utf8(offset, error)
                text = raw.decode("utf-8", "replace")
            yield text.removeprefix("\ufeff") if offset == 0 else text
            offset += len(raw)

    def take_fault(self) -> BadRow | None:
        fault, self.fault = self.fault, None
        return fault


def _csv(path: Path, label: str, delimiter: str) -> Iterator[Placed]:
    """Yield CSV rows; every value is text, so that NA, null and 007 stay what they are."""
    csv.field_size_limit(_MAX_FIELD)
    with path.open("rb") as file:
        lines = _Decoded(file)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end" in str(error) or "field larger" in str(error):
                    raise DataError(
                        "a quote that opens in this row is never closed",
                        f"{path}:{line}",
                        'close it; a quote within a quoted field is written twice: "a ""b"" c"',
                    ) from None
                yield f"{label}:{line}", BadRow("broken CSV", str(error))
                continue
            fault = lines.take_fault()
            if not fields:
                continue
            if header is None:
                header = fields
                _check_header(path, header)
            elif fault:
                yield f"{label}:{line}", fault
            elif len(fields) != len(header):
                yield (
                    f"{label}:{line}",
                    BadRow(
                        f"{len(fields)} fields where the header has {len(header)}",
                        excerpt(delimiter.join(fields)),
                    ),
                )
            else:
                yield f"{label}:{line}", dict(zip(header, fields, strict=True))


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(
            f"{path} has the column {' and '.join(twice)} more than once",
            f"{path}:1",
            f"rename one of {', '.join(header)}",
        )
    if len(header) == 1:
        for character, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if character in header[0]:
                raise DataError(
                    f"{path} parts its columns by {name}",
                    f"{path}:1",
                    "write it with commas, or with tabs and the ending .tsv",
                )


def _parquet(path: Path, label: str) -> Iterator[Placed]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                number += 1
                yield f"{label} row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is no Parquet file, or a broken one: {excerpt(error)}",
            f"{path}, after row {number}",
            "write or download it again",
        ) from None
