"""The rows of a recipe's `data` section, brought to training columns, with every fault told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

from fai_rl.recipes.recipe import Recipe
from fai_rl.recipes.schema import DatasetConfig
from fai_rl.trainers.formats import make_format
from fai_rl.trainers.readers import is_here, read_rows
from fai_rl.trainers.row_report import BadRow, RowReport
from fai_rl.utils.errors import DataError, FaiRLError, Problem

_CLOCK_ROWS = 1000
# Rows whose columns are taken together: a first row may lack what the others have.
_LOOK_AHEAD = 100
Row = dict[str, Any]


def formatted_rows(
    entry: DatasetConfig, recipe: Recipe, chat: bool, report: RowReport
) -> Iterator[tuple[str, Row]]:
    """Yield the places and training columns of a dataset's good rows.

    Args:
        entry: The dataset.
        recipe: Its data section gives templates and limits.
        chat: Whether prompt and answer become chat turns.
        report: Rows and faults are counted in it.

    Raises:
        DataError: The dataset can't be read, or too many rows are bad.
    """
    data = recipe.data
    where = _places(entry, recipe)
    report.where = where("name")
    rows = read_rows(entry, data.max_row_bytes, data.streaming, report)
    first = list(islice(rows, _LOOK_AHEAD))
    columns = dict.fromkeys(name for _, row in first if not isinstance(row, BadRow) for name in row)
    convert = make_format(entry, data, columns, chat, report, where) if columns else None
    for place, row in chain(first, rows):
        report.read += 1
        try:
            if isinstance(row, BadRow):
                raise row
            if convert is None:
                convert = make_format(entry, data, row, chat, report, where)
            result = convert(row)
        except BadRow as bad:
            report.add_bad(place, bad)
            report.enforce_so_far(data.max_bad_rows)
            continue
        report.form = report.form or next(iter(result))
        yield place, result
    report.enforce(data.max_bad_rows)


def _places(entry: DatasetConfig, recipe: Recipe) -> Callable[[str], str | None]:
    """Return a function that gives the place in the recipe of a key of the dataset or of `data`."""
    prefix = next(
        (
            f"data.{kind}[{index}]"
            for kind in ("datasets", "eval_datasets")
            for index, other in enumerate(getattr(recipe.data, kind))
            if other is entry
        ),
        "data.datasets",
    )

    def where(key: str) -> str | None:
        keys = (f"{prefix}.{key}", f"data.{key}", prefix)
        return next((recipe.origin[key] for key in keys if key in recipe.origin), None)

    return where


def check_sources(recipe: Recipe, seconds: float = 5.0) -> list[RowReport]:
    """Read local and built-in datasets without a tokenizer, and report every fault at once.

    Args:
        recipe: The recipe.
        seconds: Reading stops after this long; what follows is met when training starts.

    Raises:
        DataError: With the faults of all datasets.
    """
    problems: list[Problem] = []
    reports = []
    end = time.monotonic() + seconds
    chat = recipe.data.format != "plain"
    for entry in [*recipe.data.datasets, *recipe.data.eval_datasets]:
        report = RowReport(entry.name)
        reports.append(report)
        if not is_here(entry.name):
            report.note("on the hub: read when training starts")
            continue
        try:
            for _ in formatted_rows(entry, recipe, chat, report):
                if report.read % _CLOCK_ROWS == 0 and time.monotonic() > end:
                    report.enforce_so_far(recipe.data.max_bad_rows, slack=0)
                    report.note(f"the first {report.read:,} rows were looked at")
                    break
        except FaiRLError as error:
            problems.extend(p for p in error.problems if p not in problems)
    if not problems and recipe.data.eval_size is not None:
        count = len(recipe.data.datasets)
        if all(is_here(e.name) for e in recipe.data.datasets) and time.monotonic() < end:
            eval_rows(recipe, sum(report.kept for report in reports[:count]))
    if problems:
        raise DataError(problems)
    return reports


def eval_rows(recipe: Recipe, num_rows: int) -> int:
    """Return how many of `num_rows` rows `data.eval_size` cuts off.

    Raises:
        DataError: None would be left on one of the sides.
    """
    size = recipe.data.eval_size or 0
    count = round(size * num_rows) if size < 1 else int(size)
    if not 0 < count < num_rows:
        raise DataError(
            f"data.eval_size={size:g} leaves {max(0, num_rows - count):,} rows to train on "
            f"and {count:,} to evaluate on",
            recipe.where("data.eval_size"),
            f"there are {num_rows:,} rows: name a smaller share or number",
        )
    return count
