"""Data sets that come with the package, for runs that need no download.

`addition` is two-digit addition, one of the smallest tasks on which a model can be seen to
generalise: it has 4,095 different sums, few enough to train on in a minute and too many for a
model to answer the held-out ones without having learned to add and carry.

Rows are made, not stored, and come out the same on every machine and in every Python version.
"""

import hashlib
from collections.abc import Callable

BUILTIN_DATASETS: dict[str, str] = {
    "addition": "two-digit addition, 23+58 -> 81; the sums in the test split are never in train",
}

_NUM_HELD_OUT = 400


def builtin_rows(name: str, split: str) -> list[dict[str, str]]:
    """Return the rows of one split of a built-in data set.

    Args:
        name: A key of `BUILTIN_DATASETS`.
        split: `"train"` or `"test"`.

    Returns:
        Rows `{"question": ..., "answer": ...}`, new dictionaries on every call, always in the
        same order. For `addition`: 7,304 rows of train and 400 of test.

    Raises:
        KeyError: No built-in data set has this name.
        ValueError: The data set has no such split.
    """
    make = _MAKERS[name]
    if split not in ("train", "test"):
        raise ValueError(f"{name} has the splits train and test, not {split!r}")
    return make(split)


def _addition(split: str) -> list[dict[str, str]]:
    """Return sums of two numbers from 10 to 99.

    The split is drawn over unordered pairs, because a + b gives away b + a: a held-out pair is
    in test in one of its two orders and in train in neither; every other pair is in train in both.
    """
    pairs = [(a, b) for a in range(10, 100) for b in range(a, 100)]
    pairs.sort(key=_shuffled)
    if split == "test":
        sums = [pair if _shuffled(pair) % 2 else pair[::-1] for pair in pairs[:_NUM_HELD_OUT]]
    else:
        # A set, because a + a has one order only.
        sums = list({order for pair in pairs[_NUM_HELD_OUT:] for order in (pair, pair[::-1])})
        # Sorted by another key than the pairs, or the two orders of a pair would be neighbours.
        sums.sort(key=lambda order: _shuffled((*order, 1)))
    return [{"question": f"{a}+{b}", "answer": f"{a + b}"} for a, b in sums]


def _shuffled(numbers: tuple[int, ...]) -> int:
    """Return a fixed pseudo-random sort key, from 0 to 2**64 - 1.

    A hash and not `random.shuffle`, whose sequence for a seed is not promised between versions.
    """
    digest = hashlib.blake2b(" ".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


_MAKERS: dict[str, Callable[[str], list[dict[str, str]]]] = {"addition": _addition}
