"""The algorithms a recipe can name, and the TRL config each one's `training` is checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Algorithm:
    """What the recipe room knows of an algorithm; its adapter is `trainers/<adapter>.py`.

    Attributes:
        config: Dotted name of the TRL config class.
        summary: One line for people.
        adapter: Module in the trainers room, or None where there is no trainer yet.
        defaults: `training` keys whose default differs from the config class's.
    """

    config: str
    summary: str
    adapter: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


ALGORITHMS: dict[str, Algorithm] = {
    "sft": Algorithm("trl.SFTConfig", "supervised fine-tuning on answers or text", "sft"),
    "pretrain": Algorithm(
        "trl.SFTConfig",
        "continued pretraining on plain text, packed",
        "sft",
        MappingProxyType({"packing": True, "packing_strategy": "wrapped"}),
    ),
    "dpo": Algorithm("trl.DPOConfig", "direct preference optimization (arXiv:2305.18290)"),
    "grpo": Algorithm("trl.GRPOConfig", "group relative policy optimization (arXiv:2402.03300)"),
    "gspo": Algorithm(
        "trl.GRPOConfig",
        "group sequence policy optimization (arXiv:2507.18071)",
        None,
        MappingProxyType(
            {
                "importance_sampling_level": "sequence",
                "epsilon": 3e-4,
                "epsilon_high": 4e-4,
                "beta": 0.0,
                "steps_per_generation": 4,
            }
        ),
    ),
}
ALIASES = {"cpt": "pretrain"}


def algorithm_name(name: str) -> str:
    """Return the algorithm's own name for `name`, which may be another name in use (`cpt`)."""
    lowered = name.lower()
    return ALIASES.get(lowered, lowered)
