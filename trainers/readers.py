"""Reading rows from files, the hub and the built-in sets, each with the place it stands at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from fai_rl.recipes.rules import DATA_FILES
from fai_rl.recipes.schema import DatasetConfig
from fai_rl.trainers.builtin_data import BUILTIN_DATASETS, builtin_rows
from fai_rl.trainers.file_readers import Placed, read_file, too_large
from fai_rl.trainers.row_report import BadRow, RowReport, excerpt
from fai_rl.utils.errors import DataError
from fai_rl.utils.suggest import did_you_mean

_SLICE = re.compile(r"^(?P<split>[\w.-]+)\[(?P<start>-?\d*%?):(?P<stop>-?\d*%?)\]$")
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
}
Note = Callable[[str], None]


def read_rows(
    entry: DatasetConfig, max_row_bytes: int, streaming: bool, report: RowReport
) -> Iterator[Placed]:
    """Yield the rows of one dataset, at most `max_samples`.

    Args:
        entry: The dataset as the recipe names it.
        max_row_bytes: Larger rows are bad rows.
        streaming: Read hub datasets as a stream instead of downloading them first.
        report: Told what a person should know about the source.

    Raises:
        DataError: The dataset can't be found or read at all.
    """
    if is_here(entry.name):
        for key in ("subset", "revision"):
            if getattr(entry, key):
                raise DataError(
                    f"{entry.name} is no hub dataset: {key} means nothing to it",
                    hint=f"leave {key} out",
                )
        rows = _sliced(entry, max_row_bytes, report)
    else:
        rows = _hub(entry, streaming)
    for place, row in islice(rows, entry.max_samples):
        if not isinstance(row, BadRow) and (size := _size(row)) > max_row_bytes:
            row = too_large(size, max_row_bytes)
        yield place, row


def is_here(name: str) -> bool:
    """Tell whether a dataset needs no network: it is built in, or a file's name."""
    path = Path(name).expanduser()
    return (
        name.startswith(("builtin:", ".", "/", "~"))
        or "*" in name
        or path.suffix.lower() in DATA_FILES
        or path.exists()
    )


def _size(value: Any) -> int:
    """Return the number of characters in a row's texts; only what is large matters."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else 0


def _sliced(entry: DatasetConfig, max_row_bytes: int, report: RowReport) -> Iterator[Placed]:
    """Yield local rows, cut to a `[10%:20%]` slice as hub datasets are."""
    cut = _SLICE.match(entry.split)
    if not cut:
        return _whole(entry, entry.split, max_row_bytes, report)
    rows = _whole(entry, cut["split"], max_row_bytes, report)
    start, stop = cut["start"], cut["stop"]
    if not any(character in start + stop for character in "-%"):
        kept = islice(rows, int(start or 0), int(stop) if stop else None)
        return _said_if_empty(kept, entry, report)
    everything = list(rows)

    def bound(text: str) -> int | None:
        if not text:
            return None
        return round(int(text[:-1]) * len(everything) / 100) if text[-1] == "%" else int(text)

    return _said_if_empty(iter(everything[bound(start) : bound(stop)]), entry, report)


def _said_if_empty(
    rows: Iterator[Placed], entry: DatasetConfig, report: RowReport
) -> Iterator[Placed]:
    number = 0
    for number, placed in enumerate(rows, 1):  # noqa: B007 - the count is wanted after the loop
        yield placed
    if not number:
        report.note(f"split {entry.split} lies beyond its end, or is empty")


def _whole(
    entry: DatasetConfig, split: str, max_row_bytes: int, report: RowReport
) -> Iterator[Placed]:
    name = entry.name
    if name.startswith("builtin:"):
        return _builtin(name.removeprefix("builtin:"), split)
    files = _files(name, split, report.note)
    twice = Counter(path.name for path in files)
    return (
        placed
        for path in files
        for placed in _noted(path, str(path) if twice[path.name] > 1 else path.name, max_row_bytes)
    )


def _noted(path: Path, label: str, max_row_bytes: int) -> Iterator[Placed]:
    if path.suffix.lower() not in DATA_FILES:
        raise DataError(
            f"{path}: files of this kind aren't read",
            hint=f"rows are read from files that end in {', '.join(DATA_FILES)}",
        )
    try:
        yield from read_file(path, label, max_row_bytes)
    except PermissionError:
        raise DataError(f"{path} may not be read", hint="change its permissions") from None


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
        raise DataError(str(error), hint="set split to one of them") from None
    return ((f"row {number}", dict(row)) for number, row in enumerate(rows, 1))


def _files(name: str, split: str, note: Note) -> list[Path]:
    path = Path(name).expanduser()
    if path.is_dir():
        found = [p for p in path.iterdir() if p.is_file()]
        return _said(_of_split(name, found, split, note), note)
    if "*" in name and not path.exists():
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        pattern = str(path.relative_to(path.anchor))
        found = sorted(p for p in anchor.glob(pattern) if p.is_file())
        if not found:
            raise DataError(f"no file matches {name}", hint=f"relative paths start at {Path.cwd()}")
        _refuse_split(name, split, "a pattern of files")
        return _said(found, note)
    if not path.exists():
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(
            f"there is no file {name}",
            hint=did_you_mean(path.name, names, f"{path.parent}/")
            or f"relative paths start at {Path.cwd()}",
        )
    _refuse_split(name, split, "a file")
    return [path]


def _refuse_split(name: str, split: str, what: str) -> None:
    if split != "train":
        raise DataError(
            f"{name} is {what}: it has no split {split}",
            hint="leave split out, or cut a part with split: train[:100]; "
            "data.eval_size cuts off an evaluation set",
        )


def _said(files: list[Path], note: Note) -> list[Path]:
    """Return the files, and note what a person may not expect of them."""
    if len(files) > 1:
        note(f"{len(files)} files: {_listed([p.name for p in files])}")
    empty = [p.name for p in files if p.stat().st_size == 0]
    if empty and len(files) > 1:
        note(f"empty: {_listed(empty)}")
    return files


def _of_split(name: str, found: list[Path], split: str, note: Note) -> list[Path]:
    """Return the files of a split: where files are called train or test, these words tell."""
    files = sorted(p for p in found if p.suffix.lower() in DATA_FILES)
    if not files:
        saved = any(p.name in ("state.json", "dataset_dict.json") for p in found)
        raise DataError(
            f"no data file in {name}",
            hint="it was saved by Dataset.save_to_disk: write it with to_parquet or to_json"
            if saved or any(p.suffix == ".arrow" for p in found)
            else f"files end in {', '.join(DATA_FILES)}; {name.rstrip('/')}/**/*.jsonl looks into "
            "folders within",
        )
    if any(p.name in ("state.json", "dataset_dict.json") for p in files):
        raise DataError(
            f"{name} was saved by Dataset.save_to_disk",
            hint="write it with to_parquet or to_json, and name that file",
        )
    by_split: dict[str, list[Path]] = {}
    for path in files:
        words = re.split(r"[^a-z]+", path.stem.lower())
        named = next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), "")
        by_split.setdefault(named, []).append(path)
    splits = sorted(key for key in by_split if key)
    if not splits and split == "train":
        chosen = files
    elif split in by_split:
        chosen = by_split[split]
    else:
        raise DataError(
            f"{name} has no split {split}",
            hint=f"its files are named after {', '.join(splits)}"
            if splits
            else "no file's name has the word in it; leave split out to read them all",
        )
    left = [p.name for p in files if p not in chosen]
    if left:
        note(f"read {_listed([p.name for p in chosen])} as split {split}; left {_listed(left)}")
    return chosen


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


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
        raise _hub_error(entry, error, streaming) from error
    return ((f"row {number}", dict(row)) for number, row in enumerate(dataset, 1))


def _hub_error(entry: DatasetConfig, error: Exception, streaming: bool) -> DataError:
    text = excerpt(error, 300)
    kind = type(error).__name__
    if streaming and "[" in entry.split:
        hint = "a stream has no slices: set data.streaming=false, or use max_samples"
    elif any(said in text for said in ("Unknown split", "Bad split", "BuilderConfig", "Config")):
        hint = "set split or subset to one of those"
    elif "gated" in text.lower() or "401" in text or "403" in text:
        hint = "ask for access on the dataset's page, then set HF_TOKEN"
    elif kind in ("ConnectionError", "OfflineModeIsEnabled", "ConnectTimeout") or "offline" in text:
        hint = "the hub can't be reached from here: give a local file as the name, or HF_ENDPOINT"
    else:
        hint = "check the name on the hub; a local file needs its ending (.jsonl, .csv, …)"
    return DataError(f"can't load {entry.name}: {text}", hint=hint)
