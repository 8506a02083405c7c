"""What a running worker tells: one JSON object a line, and the same in words.

The worker appends to the events file; whoever follows a run (the foreground command, a detached
run's starter) reads it. The run's log holds the words.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fai_rl.utils.redaction import redact
from fai_rl.utils.terminal import print_line

Event = dict[str, Any]


class EventWriter:
    """Appends events to a file and their words to stdout, which is the log.

    Args:
        path: The events file, or None for a process that stays silent (every rank but the first).
    """

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", encoding="utf-8") if path else None

    def send(self, kind: str, **content: Any) -> None:
        """Tell that something happened."""
        if self._file is None:
            return
        event = redact({"kind": kind, "time": round(time.time(), 3), **content})
        self._file.write(json.dumps(event, ensure_ascii=False) + "\n")
        self._file.flush()
        for line in words(event):
            print_line(line)


def read_events(path: Path, position: int) -> tuple[list[Event], int]:
    """Return the whole events after `position`, and the position after them."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            raw = file.read()
    except FileNotFoundError:
        return [], position
    whole = raw[: raw.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], position + len(whole)


def words(event: Event) -> Iterator[str]:
    """Yield the lines that say an event; none for those that only move the progress bar."""
    kind = event["kind"]
    if kind == "phase":
        yield f"{event['text']} …"
    elif kind in ("note", "warning"):
        yield f"{kind}: {event['text']}"
    elif kind == "text":
        yield from event["lines"]
    elif kind == "log":
        yield log_line(event)
    elif kind == "saved":
        yield f"saved {event['path']}"
    elif kind == "error":
        yield event["text"]


def log_line(event: Event) -> str:
    """Return one training step's metrics on a line."""
    metrics = event["metrics"]
    parts = [f"step {event['step']}/{event['total']}"]
    for name, value in metrics.items():
        if name in _LOGGED or name.startswith("eval_loss"):
            parts.append(f"{_LOGGED.get(name, name)} {_number(value)}")
    return "  ".join(parts)


# Metrics worth a place on the line, by the trainer's name, with the name shown.
_LOGGED = {
    "loss": "loss",
    "reward": "reward",
    "mean_token_accuracy": "token accuracy",
    "eval_mean_token_accuracy": "eval token accuracy",
    "grad_norm": "grad norm",
    "learning_rate": "lr",
    "tokens_per_second": "tokens/s",
}


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
