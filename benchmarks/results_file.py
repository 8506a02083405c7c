"""Writing a benchmark's figures: a table for people, JSON for comparison."""

import json
import statistics
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("torch", "transformers", "trl", "accelerate", "fai-rl")


def entry(measure: str, values: list[float], target: float | None, better: str) -> dict:
    """Return one figure: the median of `values`, and how far they spread."""
    return {
        "measure": measure,
        "value": round(statistics.median(values), 3),
        "target": target,
        "better": better,
        "spread": [round(min(values), 3), round(max(values), 3)],
        "versions": {name: version(name) for name in _PACKAGES},
        "date": time.strftime("%Y-%m-%d"),
    }


def write(name: str, entries: list[dict]) -> None:
    """Write `results/<name>.json` and print the same as a table."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    for item in entries:
        low, high = item["spread"]
        target = "" if item["target"] is None else f"   target {item['target']}"
        print(f"{item['measure']:60} {item['value']:8.3f}   ({low:.3f} to {high:.3f}){target}")
