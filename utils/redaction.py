"""Keeping secrets out of recipes, logs, trackers and process lists."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

REDACTED = "<redacted>"
_SECRET_KEY = re.compile(r"(^|_)(api_?key|token|password|passwd|secret|credentials?)$", re.I)
# Keys of the trainers whose names end like a secret's but hold none.
_NOT_SECRET = re.compile(r"(^|_)(pad|eos|bos|unk|stop|image|response|special)_token$", re.I)
_SECRET_VALUE = re.compile(
    r"\b(hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|tml-[A-Za-z0-9_-]{16,})\b"
)


def is_secret_key(key: str) -> bool:
    """Tell whether the last part of a dotted key names a secret (`api_key`, `hub_token`, …)."""
    last = key.rsplit(".", 1)[-1]
    return bool(_SECRET_KEY.search(last)) and not _NOT_SECRET.search(last)


def is_secret_value(value: object) -> bool:
    """Tell whether a value has the shape of a well-known service's key."""
    return isinstance(value, str) and bool(_SECRET_VALUE.search(value))


def literal_secrets(
    value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[str | int, ...]]:
    """Yield the paths of a tree's secrets that stand there in full, not as `${…}`."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from literal_secrets(item, (*path, str(name)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from literal_secrets(item, (*path, index))
    elif value not in (None, "", True, False) and not str(value).startswith("${"):
        name = next((part for part in reversed(path) if isinstance(part, str)), "")
        if is_secret_key(name) or is_secret_value(value):
            yield path


def redact(value: Any, key: str = "") -> Any:
    """Return a copy of a recipe-like tree in which every secret reads `<redacted>`."""
    if isinstance(value, dict):
        return {name: redact(item, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [redact(item, key) for item in value]
    if value and isinstance(value, str) and is_secret_key(key):
        return REDACTED
    return redact_text(value) if isinstance(value, str) else value


def redact_text(text: str) -> str:
    """Return `text` without anything shaped like a key, or equal to a secret of the environment."""
    for name, secret in os.environ.items():
        if is_secret_key(name) and len(secret) >= 8:
            text = text.replace(secret, REDACTED)
    return _SECRET_VALUE.sub(REDACTED, text)
