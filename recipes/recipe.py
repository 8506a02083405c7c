"""A recipe, resolved: typed sections, and where each value came from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fai_rl.recipes.algorithms import ALGORITHMS, Algorithm
from fai_rl.recipes.config_reader import config_keys
from fai_rl.recipes.schema import (
    DataConfig,
    DatasetConfig,
    EvaluationConfig,
    LaunchConfig,
    ModelConfig,
    TrainingConfig,
    WandbConfig,
)
from fai_rl.recipes.yaml_tree import dump, parse
from fai_rl.utils.redaction import redact


@dataclass
class Recipe:
    """Everything a run needs to know.

    Attributes:
        model: What to train.
        data: What to train on.
        training: Our own keys of `training`.
        trl: TRL's keys of `training`, those that were given; the rest keep TRL's defaults.
        evaluation: Held-out answers.
        launch: Processes and devices.
        wandb: Tracking.
        name: The recipe file's stem.
        origin: Where each given value came from, by dotted key: `file:line`, an override, a
            profile.
        notes: What a person should know though it isn't an error.
    """

    model: ModelConfig
    data: DataConfig
    training: TrainingConfig
    trl: dict[str, Any]
    evaluation: EvaluationConfig
    launch: LaunchConfig
    wandb: WandbConfig
    name: str = "recipe"
    origin: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def algorithm(self) -> Algorithm:
        """The algorithm's entry in the schema."""
        return ALGORITHMS[self.training.algorithm]

    @property
    def output_dir(self) -> Path:
        """The run's folder."""
        return Path(self.training.output_dir or f"outputs/{self.name}")

    @property
    def has_evaluation(self) -> bool:
        """Whether the recipe names an evaluation set, or cuts one off."""
        return bool(self.data.eval_datasets) or self.data.eval_size is not None

    def where(self, key: str) -> str | None:
        """Return the place that gave `key`, or the list item or mapping around it."""
        while key not in self.origin and "." in key:
            key = key.rpartition("[" if key.endswith("]") else ".")[0]
        return self.origin.get(key) if "." in key else None

    def trl_value(self, key: str) -> Any:
        """Return a TRL key's value: as given, or TRL's own default."""
        if key in self.trl:
            return self.trl[key]
        known = config_keys(self.algorithm.config).get(key)
        return known.default if known else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain sections, ready for YAML; loading them gives this recipe again."""
        training = {
            **dataclasses.asdict(self.training),
            "output_dir": str(self.output_dir),
            **self.trl,
        }
        return {
            "model": dataclasses.asdict(self.model),
            "data": dataclasses.asdict(self.data),
            "training": training,
            "evaluation": dataclasses.asdict(self.evaluation),
            "launch": dataclasses.asdict(self.launch),
            "wandb": dataclasses.asdict(self.wandb),
        }

    def as_yaml(self) -> str:
        """Return the recipe as a recipe file's text, without secrets."""
        return dump(_map_text(redact(self.as_dict()), _escaped))

    @classmethod
    def from_yaml(cls, text: str, name: str = "recipe") -> Recipe:
        """Return the recipe that `as_yaml` wrote, without checking it again."""
        return cls.from_dict(_map_text(parse(text).value, _unescaped), name)

    @classmethod
    def from_dict(cls, sections: dict[str, Any], name: str = "recipe") -> Recipe:
        """Return the recipe that `sections`, already validated, describe."""
        training = dict(sections.get("training") or {})
        own = {f.name for f in dataclasses.fields(TrainingConfig)}
        data = dict(sections.get("data") or {})
        for key in ("datasets", "eval_datasets"):
            data[key] = [DatasetConfig(**entry) for entry in data.get(key) or []]
        return cls(
            model=ModelConfig(**(sections.get("model") or {})),
            data=DataConfig(**data),
            training=TrainingConfig(**{k: v for k, v in training.items() if k in own}),
            trl={k: v for k, v in training.items() if k not in own},
            evaluation=EvaluationConfig(**(sections.get("evaluation") or {})),
            launch=LaunchConfig(**(sections.get("launch") or {})),
            wandb=WandbConfig(**(sections.get("wandb") or {})),
            name=name,
        )


def _map_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _map_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_map_text(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def _escaped(text: str) -> str:
    """Return text in which `${` means itself; backslashes before it are doubled."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def _unescaped(text: str) -> str:
    return re.sub(r"(\\+)\$\{", lambda match: match[1][: len(match[1]) // 2] + "${", text)
