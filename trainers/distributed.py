"""What the libraries need to be told so that several processes really train together.

Measured on accelerate 1.15 and DeepSpeed 0.19: on the CPU, accelerate switches FSDP on only where
it believes to be on GPUs, and ACCELERATE_USE_CPU or use_cpu turn FSDP and DeepSpeed into plain DDP
without a word. So the settings differ by strategy, and the worker looks at what came of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fai_rl.launch.plan import is_deepspeed
from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.errors import LaunchError

if TYPE_CHECKING:
    from transformers import Trainer

_WRAPPERS = {
    "ddp": "DistributedDataParallel",
    "fsdp2": "FSDP",
    "zero1": "DeepSpeedEngine",
    "zero2": "DeepSpeedEngine",
    "zero3": "DeepSpeedEngine",
    "deepspeed": "DeepSpeedEngine",
}


def strategy_arguments(recipe: Recipe, strategy: str) -> dict[str, Any]:
    """Return the config fields that the strategy needs on this device."""
    if recipe.trl.get("use_cpu") and is_deepspeed(strategy):
        import deepspeed.ops

        # Its gloo shared-memory op is compiled at first use, for a minute, and isn't needed.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        return {"use_cpu": False, "ddp_backend": "gloo"}
    if strategy == "ddp" and "ddp_find_unused_parameters" not in recipe.trl:
        # transformers searches for them whenever gradient checkpointing is off, at every step.
        return {"ddp_find_unused_parameters": False}
    return {}


def after_arguments(recipe: Recipe, strategy: str) -> None:
    """Finish the set-up once the config object has started the process group.

    Raises:
        LaunchError: The processes didn't find each other: N trainings of one are no run.
    """
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    state = PartialState()
    if recipe.trl.get("use_cpu") and strategy == "fsdp2":
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    wanted = recipe.launch.num_processes or 1
    if state.num_processes != wanted:
        raise LaunchError(
            f"{wanted} processes were to train together and this one sees {state.num_processes}",
            hint="this is a fault of the launch, not of the recipe: see the log",
        )


def assert_shared(trainer: Trainer, strategy: str) -> None:
    """Make sure, once training has begun, that the model is shared as the plan says.

    Raises:
        LaunchError: Every process would train a model of its own.
    """
    wanted = _WRAPPERS.get(strategy)
    wrapped = trainer.model_wrapped
    names = {cls.__name__ for module in (wrapped, trainer.model) for cls in type(module).__mro__}
    if wanted and not any(wanted in name for name in names):
        raise LaunchError(
            f"{strategy} was asked for and the model is a {type(wrapped).__name__}",
            hint="this is a fault of the launch, not of the recipe: see the log",
        )
