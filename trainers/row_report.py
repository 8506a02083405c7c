"""Counting what happens to rows, so that none disappears without being said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fai_rl.utils.errors import DataError

MAX_EXAMPLES = 5


class BadRow(Exception):
    """A row that can't be trained on.

    Args:
        reason: What is wrong, in words that are the same for every such row.
        excerpt: A piece of the row.
    """

    def __init__(self, reason: str, excerpt: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.excerpt = excerpt


@dataclass
class RowReport:
    """What became of one source's rows.

    Attributes:
        source: The dataset as the recipe names it.
        read: Rows met so far.
        kept: Rows handed on.
        bad: By reason: how many, and the places and an excerpt of the first few.
        notes: What else a person should know about this source.
    """

    source: str
    read: int = 0
    kept: int = 0
    bad: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def num_bad(self) -> int:
        """Rows that were dropped."""
        return sum(entry["count"] for entry in self.bad.values())

    def add_bad(self, place: str, error: BadRow) -> None:
        """Count a bad row."""
        entry = self.bad.setdefault(error.reason, {"count": 0, "places": [], "excerpt": ""})
        entry["count"] += 1
        if len(entry["places"]) < MAX_EXAMPLES:
            entry["places"].append(place)
        entry["excerpt"] = entry["excerpt"] or error.excerpt

    def note(self, text: str) -> None:
        """Add a note once."""
        if text not in self.notes:
            self.notes.append(text)

    def reasons(self) -> list[str]:
        """Return a line for every reason: count, places, excerpt."""
        lines = []
        for reason, entry in self.bad.items():
            places = ", ".join(entry["places"])
            more = entry["count"] - len(entry["places"])
            if more:
                places += f" and {more:,} more"
            excerpt = f": {entry['excerpt']}" if entry["excerpt"] else ""
            rows = "row" if entry["count"] == 1 else "rows"
            lines.append(f"{entry['count']:,} {rows} with {reason} ({places}){excerpt}")
        return lines

    def enforce(self, max_bad_rows: float, finished: bool) -> None:
        """Refuse the source when more rows are bad than the recipe allows.

        Args:
            max_bad_rows: `data.max_bad_rows`: below 1 a share of the rows, from 1 a number.
            finished: Whether all rows were met; a share can be judged only then.

        Raises:
            DataError: Too many bad rows, or no row left.
        """
        limit = max_bad_rows if max_bad_rows >= 1 else max_bad_rows * self.read
        judged = finished or (max_bad_rows >= 1 and self.num_bad > limit + 1000)
        if judged and self.num_bad > limit:
            raise DataError(
                f"{self.source}: {self.num_bad:,} of {self.read:,} rows can't be trained on",
                hint="\n".join(
                    [
                        *self.reasons(),
                        f"mend them, or drop them with data.max_bad_rows={self.num_bad}",
                    ]
                ),
            )
        if finished and self.read == 0:
            raise DataError(f"0 rows in {self.source}", hint="the file or split is empty")
        if finished and self.kept == 0:
            raise DataError(
                f"no row of {self.source} can be trained on", hint="\n".join(self.reasons())
            )


def excerpt(value: Any, length: int = 80) -> str:
    """Return the start of a value on one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= length else text[: length - 1] + "…"
