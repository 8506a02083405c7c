"""Reading rows from files, the hub and the built-in sets, each with the place it stands at.

Local text formats are read line by line by the standard library rather than by Arrow's readers:
those stop at the first broken line without naming it, turn `NA` into null and date-like text into
dates.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from fai_rl.recipes.schema import DatasetConfig
from fai_rl.trainers.builtin_data import BUILTIN_DATASETS, builtin_rows
from fai_rl.trainers.row_report import BadRow, excerpt
from fai_rl.utils.errors import DataError
from fai_rl.utils.suggest import did_you_mean

# A row, or what is wrong with it, after the place it stands at ("train.jsonl:17", "row 17").
Placed = tuple[str, dict[str, Any] | BadRow]
SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt")
_SLICE = re.compile(r"^(?P<split>[\w.-]+)\[(?P<start>\d*)(?P<sp>%?):(?P<stop>\d*)(?P<ep>%?)\]$")


def read_rows(
    entry: DatasetConfig, max_row_bytes: int, streaming: bool = False
) -> Iterator[Placed]:
    """Yield the rows of one dataset, at most `max_samples`.

    Args:
        entry: The dataset as the recipe names it.
        max_row_bytes: Larger rows are bad rows.
        streaming: Read hub datasets as a stream instead of downloading them first.

    Raises:
        DataError: The dataset can't be found or read at all.
    """
    name = entry.name
    if name.startswith("builtin:"):
        rows = _builtin(name.removeprefix("builtin:"), entry.split)
    elif _is_local(name):
        rows = _local(entry, max_row_bytes)
    else:
        rows = _hub(entry, streaming)
    return islice(rows, entry.max_samples)


def _is_local(name: str) -> bool:
    path = Path(name).expanduser()
    return path.exists() or path.suffix.lower() in SUFFIXES or name.startswith((".", "/", "~"))


def _builtin(name: str, split: str) -> Iterator[Placed]:
    if name not in BUILTIN_DATASETS:
        raise DataError(
            f"no built-in dataset {name}",
            hint=did_you_mean(name, BUILTIN_DATASETS)
            or f"the built-in datasets are {', '.join(BUILTIN_DATASETS)}",
        )
    try:
        rows = builtin_rows(name, split)
    except ValueError as error:
        raise DataError(str(error)) from None
    return ((f"row {number}", dict(row)) for number, row in enumerate(rows, 1))


def _files(name: str) -> list[Path]:
    path = Path(name).expanduser()
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(f"no data file in {name}", hint=f"files end in {', '.join(SUFFIXES)}")
        return found
    if "*" in name:
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        pattern = str(path.relative_to(anchor)) if path.is_absolute() else str(path)
        found = sorted(p for p in anchor.glob(pattern) if p.is_file())
        if not found:
            raise DataError(f"no file matches {name}")
        return found
    if not path.exists():
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(
            f"there is no file {name}",
            hint=did_you_mean(path.name, names, f"{path.parent}/")
            or f"relative paths start at {Path.cwd()}",
        )
    return [path]


def _local(entry: DatasetConfig, max_row_bytes: int) -> Iterator[Placed]:
    split = _SLICE.match(entry.split)
    if entry.split != "train" and not (split and split["split"] == "train"):
        raise DataError(
            f"{entry.name} is a file: it has no split {entry.split}",
            hint="leave split out, or cut a part with split: train[:100]; "
            "data.eval_size cuts off an evaluation set",
        )
    files = _files(entry.name)
    rows = (placed for path in files for placed in _file(path, max_row_bytes))
    return _sliced(rows, split) if split else rows


def _sliced(rows: Iterator[Placed], split: re.Match[str]) -> Iterator[Placed]:
    """Apply a `[10%:20]` slice, as hub datasets do."""
    everything = list(rows)

    def bound(text: str, percent: str, default: int) -> int:
        if not text:
            return default
        return round(int(text) * len(everything) / 100) if percent else int(text)

    start = bound(split["start"], split["sp"], 0)
    return iter(everything[start : bound(split["stop"], split["ep"], len(everything))])


def _file(path: Path, max_row_bytes: int) -> Iterator[Placed]:
    suffix = path.suffix.lower()
    if path.stat().st_size == 0:
        return
    if suffix == ".parquet":
        yield from _parquet(path)
    elif suffix in (".csv", ".tsv"):
        yield from _csv(path, "\t" if suffix == ".tsv" else ",", max_row_bytes)
    elif suffix == ".txt":
        for number, line in _lines(path, max_row_bytes):
            if isinstance(line, BadRow):
                yield f"{path.name}:{number}", line
            elif line.strip():
                yield f"{path.name}:{number}", {"text": line}
    else:
        yield from _json(path, max_row_bytes)


def _lines(path: Path, max_row_bytes: int) -> Iterator[tuple[int, str | BadRow]]:
    """Yield numbered lines; a line that isn't UTF-8 or is too large is a bad row."""
    with path.open("rb") as file:
        offset = 0
        for number, raw in enumerate(file, 1):
            if number == 1:
                _refuse_utf16(path, raw)
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if len(raw) > max_row_bytes:
                yield number, _too_large(len(raw), max_row_bytes)
            else:
                try:
                    yield number, raw.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    bad = raw[error.start]
                    reason = "bytes that are not UTF-8"
                    yield number, BadRow(reason, f"byte {offset + error.start} is 0x{bad:02x}")
            offset += len(raw)


def _too_large(size: int, limit: int) -> BadRow:
    return BadRow(f"more than data.max_row_bytes={limit:,}", f"the first has {size:,} bytes")


def _refuse_utf16(path: Path, raw: bytes) -> None:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(
            f"{path} is in UTF-16, not UTF-8",
            f"{path}, byte 0",
            f"convert it: iconv -f UTF-16 -t UTF-8 {path.name}",
        )


def _json(path: Path, max_row_bytes: int) -> Iterator[Placed]:
    with path.open("rb") as file:
        head = file.read(4096)
        _refuse_utf16(path, head)
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"[" or (path.suffix.lower() == ".json" and not _is_json_lines(path)):
        yield from _json_document(path, max_row_bytes)
        return
    for number, line in _lines(path, max_row_bytes):
        place = f"{path.name}:{number}"
        if isinstance(line, BadRow):
            yield place, line
        elif line.strip():
            yield place, _json_row(line)


def _is_json_lines(path: Path) -> bool:
    """Tell whether the first line alone is a JSON value."""
    with path.open("rb") as file:
        try:
            json.loads(file.readline())
        except ValueError:
            return False
        rest = file.readline()
    return True if rest else path.suffix.lower() == ".jsonl"


def _json_row(line: str) -> dict[str, Any] | BadRow:
    try:
        row = json.loads(line)
    except ValueError as error:
        column = getattr(error, "colno", 1)
        return BadRow(
            "broken JSON", f"{getattr(error, 'msg', error)} at column {column}: {excerpt(line, 60)}"
        )
    if not isinstance(row, dict):
        return BadRow("a JSON value that is no object", excerpt(line))
    return row


def _json_document(path: Path, max_row_bytes: int) -> Iterator[Placed]:
    try:
        document = json.loads(path.read_bytes())
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}",
            str(path),
        ) from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"broken JSON: {error.msg}",
            f"{path}:{error.lineno}",
            f"column {error.colno}: {excerpt(error.doc[max(0, error.pos - 30) :], 60)}",
        ) from None
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        if len(lists) != 1:
            raise DataError(
                f"{path} is one JSON object, not rows", str(path), "write a list of rows, or JSONL"
            )
        document = lists[0]
    for number, row in enumerate(document, 1):
        place = f"{path.name} row {number}"
        if not isinstance(row, dict):
            yield place, BadRow("a JSON value that is no object", excerpt(row))
        elif len(size := json.dumps(row)) > max_row_bytes:
            yield place, _too_large(len(size), max_row_bytes)
        else:
            yield place, row


def _csv(path: Path, delimiter: str, max_row_bytes: int) -> Iterator[Placed]:
    """Yield CSV rows; every value is text, so that NA, null and 007 stay what they are."""
    with path.open("rb") as file:
        _refuse_utf16(path, file.read(2))
    csv.field_size_limit(max(max_row_bytes, 131_072))
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            place = f"{path.name}:{reader.line_num + 1}"
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield place, BadRow("broken CSV", str(error))
                continue
            if header is None:
                header = fields
                if len(set(header)) < len(header):
                    raise DataError(f"{path} has a column twice: {', '.join(header)}", f"{path}:1")
                continue
            if not fields:
                continue
            yield place, _csv_row(header, fields)


def _csv_row(header: list[str], fields: list[str]) -> dict[str, Any] | BadRow:
    for field in fields:
        if any("\udc80" <= character <= "\udcff" for character in field):
            shown = field.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            return BadRow("bytes that are not UTF-8", excerpt(shown))
    if len(fields) != len(header):
        return BadRow(
            f"{len(fields)} fields where the header has {len(header)}", excerpt(",".join(fields))
        )
    return dict(zip(header, fields, strict=True))


def _parquet(path: Path) -> Iterator[Placed]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is no Parquet file: {excerpt(error)}", str(path)) from None
    number = 0
    for batch in file.iter_batches(batch_size=1000):
        for row in batch.to_pylist():
            number += 1
            yield f"{path.name} row {number}", row


def _hub(entry: DatasetConfig, streaming: bool) -> Iterator[Placed]:
    import datasets
    from datasets import load_dataset

    datasets.disable_progress_bars()
    try:
        dataset = load_dataset(
            entry.name,
            entry.subset,
            split=entry.split,
            revision=entry.revision,
            streaming=streaming,
        )
    except Exception as error:  # every cause is the user's to mend: name, access, network, split
        raise _hub_error(entry, error) from error
    return ((f"row {number}", dict(row)) for number, row in enumerate(dataset, 1))


def _hub_error(entry: DatasetConfig, error: Exception) -> DataError:
    text = excerpt(error, 300)
    kind = type(error).__name__
    if "Unknown split" in text or "BuilderConfig" in text or "Config name" in text:
        hint = "set split or subset to one of those"
    elif "gated" in text.lower() or "401" in text or "403" in text:
        hint = "ask for access on the dataset's page, then set HF_TOKEN"
    elif kind in ("ConnectionError", "OfflineModeIsEnabled", "ConnectTimeout") or "offline" in text:
        hint = "the hub can't be reached from here: give a local file as the name, or HF_ENDPOINT"
    else:
        hint = "check the name on the hub; a local file needs its ending (.jsonl, .csv, …)"
    return DataError(f"can't load {entry.name}: {text}", hint=hint)
