"""Numbers that a key's type allows and its meaning doesn't."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.errors import Problem


@dataclass(frozen=True)
class Range:
    """What a number may be.

    Attributes:
        least: The smallest value; `above` leaves it out.
        above: Whether the value must be greater than `least`.
        below: What the value must stay below.
        also: One value outside of the range that has a meaning of its own.
        whole_from_one: Whether the value is a share below 1 and a count from 1.
        hint: What to write instead.
    """

    least: float
    above: bool = False
    below: float = math.inf
    also: float | None = None
    whole_from_one: bool = False
    hint: str | None = None

    def fault(self, value: float) -> str | None:
        """Return what the value must be and isn't, or None."""
        if value == self.also:
            return None
        if not (value > self.least if self.above else value >= self.least):
            return f"{'above' if self.above else 'at least'} {self.least:g}"
        if not value < self.below:
            return "a finite number" if self.below == math.inf else f"below {self.below:g}"
        if self.whole_from_one and value >= 1 and value != int(value):
            return "a share below 1 or a whole number"
        return None


_COUNT = Range(1)
_NOT_NEGATIVE = Range(0)
_RANGES = {
    "training.per_device_train_batch_size": _COUNT,
    "training.per_device_eval_batch_size": _COUNT,
    "training.gradient_accumulation_steps": _COUNT,
    "training.learning_rate": _NOT_NEGATIVE,
    "training.weight_decay": _NOT_NEGATIVE,
    "training.warmup_steps": Range(0, whole_from_one=True),
    "training.max_grad_norm": _NOT_NEGATIVE,
    "training.max_length": Range(2),
    "training.dataset_num_proc": _COUNT,
    "training.dataloader_num_workers": _NOT_NEGATIVE,
    "training.num_train_epochs": Range(0, above=True),
    "training.max_steps": Range(1, also=-1, hint="-1 counts by num_train_epochs"),
    "training.logging_steps": Range(
        0, above=True, whole_from_one=True, hint="training.logging_strategy=no logs nothing"
    ),
    "training.save_steps": Range(
        0, above=True, whole_from_one=True, hint="training.save_strategy=no saves only the end"
    ),
    "training.eval_steps": Range(
        0, above=True, whole_from_one=True, hint="training.eval_strategy=no evaluates nothing"
    ),
    "training.save_total_limit": Range(1, hint="null keeps all checkpoints"),
    "training.seed": Range(0, below=2**32),
    "model.lora_r": _COUNT,
    "model.lora_alpha": _COUNT,
    "model.lora_dropout": Range(0, below=1),
    "data.max_bad_rows": Range(0, whole_from_one=True),
    "data.max_row_bytes": _COUNT,
    "data.max_length": Range(2),
    "data.max_prompt_length": _COUNT,
    "data.dataset_num_proc": _COUNT,
    "data.eval_size": Range(
        0, above=True, whole_from_one=True, hint="null cuts no evaluation set off"
    ),
    "launch.num_processes": _COUNT,
    "launch.cpu_threads": _COUNT,
    "evaluation.num_samples": _COUNT,
    "evaluation.max_new_tokens": _COUNT,
    "evaluation.batch_size": _COUNT,
    "evaluation.num_examples": _NOT_NEGATIVE,
}


# Schedules that fail when training starts unless lr_scheduler_kwargs holds one of these.
_SCHEDULER_NEEDS = {
    "warmup_stable_decay": ("num_decay_steps",),
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate"),
}


def check(recipe: Recipe) -> Iterator[Problem]:
    """Yield the numbers that are out of range, and those that a schedule lacks."""
    yield from _scheduler(recipe)
    for key, allowed in _RANGES.items():
        value = _value(recipe, key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if key.startswith("training.") and getattr(recipe.data, key[9:], None) == value:
            continue  # one setting of two names, told once
        wanted = allowed.fault(value)
        if wanted:
            yield Problem(f"{key} must be {wanted}, not {value}", recipe.where(key), allowed.hint)


def _scheduler(recipe: Recipe) -> Iterator[Problem]:
    name = recipe.trl.get("lr_scheduler_type")
    needs = _SCHEDULER_NEEDS.get(str(name), ())
    given = recipe.trl.get("lr_scheduler_kwargs")
    if needs and not isinstance(given, str) and not set(needs) & set(given or {}):
        yield Problem(
            f"training.lr_scheduler_type {name} needs {' or '.join(needs)}",
            recipe.where("training.lr_scheduler_type"),
            f"set training.lr_scheduler_kwargs={{{needs[0]}: …}}",
        )


def _value(recipe: Recipe, key: str) -> Any:
    section, _, name = key.partition(".")
    return (
        recipe.trl.get(name) if section == "training" else getattr(getattr(recipe, section), name)
    )
