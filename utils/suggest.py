"""«Did you mean»: the nearest known names to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, candidates: Iterable[str], count: int = 3) -> list[str]:
    """Return up to `count` candidates that resemble `word`, nearest first."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    if word.lower() in by_lower:
        return [by_lower[word.lower()]]
    found = get_close_matches(word.lower(), by_lower, n=count, cutoff=0.6)
    return [by_lower[name] for name in found]


def did_you_mean(word: str, candidates: Iterable[str], prefix: str = "") -> str | None:
    """Return a «did you mean» line for `word`, or None when nothing is near.

    Args:
        word: What was written.
        candidates: What may be written.
        prefix: Text set before each name, such as `"training."`.
    """
    names = [prefix + name for name in nearest(word, candidates)]
    if not names:
        return None
    if len(names) == 1:
        return f"did you mean {names[0]}?"
    return f"did you mean {', '.join(names[:-1])} or {names[-1]}?"
