"""Showing a run while it goes: a progress line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fai_rl.launch.events import Event, words
from fai_rl.utils.terminal import print_line

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID


_BLANK: dict[str, Any] = {"count": "", "metrics": "", "left": ""}


class Follower:
    """Prints events; a context manager, since a progress line has to be closed."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._began: tuple[float, int] | None = None
        self.steps_seen = 0

    def __enter__(self) -> Follower:
        if sys.stdout.isatty():
            from rich.progress import (
                BarColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeElapsedColumn,
            )

            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[count]}", markup=False),
                TextColumn("{task.fields[metrics]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}", markup=False),
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task("starting", total=None, **_BLANK)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()

    def show(self, events: list[Event]) -> None:
        """Print what the events say."""
        for event in events:
            self.steps_seen += event["kind"] == "step"
            self._advance(event)
            if event["kind"] == "error" or (self._progress and event["kind"] == "phase"):
                continue  # an error is printed once, at the end; a phase is the line's own text
            for line in words(event):
                if self._progress:
                    self._progress.console.print(line, markup=False, highlight=False)
                else:
                    print_line(line)

    def _advance(self, event: Event) -> None:
        if self._progress is None or self._task is None:
            return
        kind = event["kind"]
        if kind in ("phase", "done"):
            text = event.get("text", "closing")
            self._progress.reset(self._task, description=text, **_BLANK)
            self._progress.tasks[0].total = None  # reset() takes None for «leave it»
            self._began = None
        elif kind == "step":
            step, total = event["step"], event["total"]
            self._began = self._began or (event["time"], step)
            self._progress.update(
                self._task,
                completed=step,
                total=total,
                count=f"{step:,}/{total:,}",
                left=_time_left(event, *self._began),
            )
        elif kind == "log":
            metrics = event["metrics"]
            shown = [
                f"{name} {metrics[name]:.4g}" for name in ("loss", "reward") if name in metrics
            ]
            if "tokens_per_second" in metrics:
                shown.append(f"{metrics['tokens_per_second']:,.0f} tokens/s")
            if shown:
                self._progress.update(self._task, metrics="  ".join(shown))


def _time_left(event: Event, began: float, first: int) -> str:
    """Return the time to the last step at the pace since training began, `3:20 left`."""
    done = event["step"] - first
    if done <= 0:
        return ""
    seconds = round((event["time"] - began) / done * (event["total"] - event["step"]))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{clock} left"
