"""What a training run tells while it goes."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from fai_rl.launch.events import EventWriter
from fai_rl.launch.run_folder import RunFolder
from fai_rl.trainers.distributed import assert_shared
from fai_rl.utils.errors import EXIT_FAILED, LaunchError

_STEP_SECONDS = 0.2


class NonFiniteLoss(LaunchError):
    """The loss became NaN or infinite."""

    exit_code = EXIT_FAILED


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Sends steps, metrics and saves as events, and keeps `metrics.jsonl`.

    Args:
        run: The run's folder.
        events: Where to tell.
        trainer: The trainer it reports on.
        strategy: How the processes share the model.
    """

    def __init__(
        self, run: RunFolder, events: EventWriter, trainer: Trainer, strategy: str
    ) -> None:
        self.run = run
        self.events = events
        self.trainer = trainer
        self.strategy = strategy
        self.main_process = trainer.is_world_process_zero()
        self.metrics: dict[str, float] = {}
        self._last_step = 0.0
        self._last_log = 0.0
        self._last_tokens = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock, and say how long the run is."""
        assert_shared(self.trainer, self.strategy)
        self._last_log = time.monotonic()
        self.events.send("phase", text="training")
        self.events.send("step", step=state.global_step, total=state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Move the progress line, a few times a second at most; log the last step in any case."""
        if state.global_step == state.max_steps:
            control.should_log = True
        now = time.monotonic()
        if now - self._last_step > _STEP_SECONDS or state.global_step == state.max_steps:
            self._last_step = now
            self.events.send("step", step=state.global_step, total=state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Write the metrics down, and stop at a loss that isn't a number."""
        metrics = {k: v for k, v in (logs or {}).items() if isinstance(v, int | float)}
        if not self.main_process or not metrics:
            return
        if "num_tokens" in metrics and "loss" in metrics:
            now = time.monotonic()
            tokens = metrics["num_tokens"] - self._last_tokens
            metrics["tokens_per_second"] = tokens / max(now - self._last_log, 1e-9)
            self._last_log, self._last_tokens = now, metrics["num_tokens"]
        self.metrics.update(metrics)
        entry = {"step": state.global_step, "time": round(time.time(), 3), **metrics}
        with self.run.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if "loss" in metrics or any(name.startswith("eval_") for name in metrics):
            self.events.send("log", step=state.global_step, total=state.max_steps, metrics=metrics)
        loss = metrics.get("loss", 0.0)
        if not math.isfinite(loss):
            raise NonFiniteLoss(
                f"the loss is {loss} at step {state.global_step}: training stops here",
                hint="lower training.learning_rate, raise training.warmup_steps, or train in "
                "float32 or bfloat16 instead of float16",
            )

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Say where a checkpoint was written."""
        self.events.send("saved", path=str(self.run.path / f"checkpoint-{state.global_step}"))
