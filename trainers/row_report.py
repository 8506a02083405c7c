"""Counting what happens to rows, so that none disappears without being said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fai_rl.utils.errors import DataError

MAX_EXAMPLES = 5
# Reading goes on for this many bad rows beyond the limit, so that the report shows the whole of it.
_SLACK = 10_000


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
        bad: By reason: how many, and the places and an excerpt of the first few.
        notes: What else a person should know about this source.
        where: The place in the recipe that names the source.
        form: The first training column of its rows: prompt, messages or text.
    """

    source: str
    read: int = 0
    bad: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    where: str | None = None
    form: str = ""

    @property
    def num_bad(self) -> int:
        """Rows that were dropped."""
        return sum(entry["count"] for entry in self.bad.values())

    @property
    def kept(self) -> int:
        """Rows that can be trained on."""
        return self.read - self.num_bad

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
            shown = f": {entry['excerpt']}" if entry["excerpt"] else ""
            rows = "row" if entry["count"] == 1 else "rows"
            lines.append(f"{entry['count']:,} {rows} with {reason} ({places}){shown}")
        return lines

    def enforce(self, max_bad_rows: float) -> None:
        """Refuse the source when all its rows were met and more are bad than the recipe allows.

        Args:
            max_bad_rows: `data.max_bad_rows`: below 1 a share of the rows, from 1 a number.

        Raises:
            DataError: Too many bad rows, or no row left.
        """
        if self.read == 0:
            raise DataError(
                f"0 rows in {self.source}",
                self.where,
                "\n".join(self.notes) or "there is nothing in it: is it the right file or split?",
            )
        if self.kept == 0:
            raise DataError(
                f"{self.source}: none of {self.read:,} rows can be trained on",
                self.where,
                "\n".join([*self.reasons(), "mend them, or name other columns"]),
            )
        limit = max_bad_rows if max_bad_rows >= 1 else max_bad_rows * self.read
        if self.num_bad > limit:
            self._refuse(limit, f"{self.num_bad:,} of {self.read:,} rows")

    def enforce_so_far(self, max_bad_rows: float, slack: int = _SLACK) -> None:
        """Refuse the source before its end, where the number of bad rows already settles it.

        Args:
            max_bad_rows: As in `enforce`; a share is settled only at the end.
            slack: Bad rows beyond the limit that are still put up with, for a fuller report.

        Raises:
            DataError: Too many bad rows.
        """
        if (max_bad_rows >= 1 or max_bad_rows == 0) and self.num_bad > max_bad_rows + slack:
            self._refuse(max_bad_rows, f"{self.num_bad:,} of the first {self.read:,} rows")

    def _refuse(self, limit: float, how_many: str) -> None:
        allowed = f" (data.max_bad_rows allows {int(limit):,})" if limit else ""
        raise DataError(
            f"{self.source}: {how_many} can't be trained on{allowed}",
            self.where,
            "\n".join(
                [
                    *self.reasons(),
                    f"mend them, or drop them with data.max_bad_rows={self.num_bad}",
                ]
            ),
        )


def excerpt(value: Any, length: int = 80) -> str:
    """Return the start of a value on one line."""
    text = " ".join(str(value)[: 4 * length].split())
    return text if len(text) <= length else text[: length - 1] + "…"
