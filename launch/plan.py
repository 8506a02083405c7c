"""From a recipe and a machine to the processes, devices and configuration of a run."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fai_rl.launch.devices import Machine
from fai_rl.recipes.recipe import Recipe
from fai_rl.recipes.shipped import ROOM
from fai_rl.utils.errors import LaunchError
from fai_rl.utils.suggest import did_you_mean

CONFIGS = ROOM / "accelerate"
_WORKER = "fai_rl.trainers.worker"
_ZERO = ("zero1", "zero2", "zero3")


@dataclass
class LaunchPlan:
    """How a run is started.

    Attributes:
        device: "cuda" or "cpu".
        num_processes: Processes that train together.
        strategy: ddp, fsdp2, zero1, zero2, zero3, or "single" for one process.
        gpus: Numbers of the GPUs used.
        config: What `accelerate launch` is given.
        environment: Variables of the training processes.
        splits_weights: Whether no process holds the whole model (FSDP2, ZeRO-3).
    """

    device: str
    num_processes: int
    strategy: str
    gpus: list[int] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    splits_weights: bool = False

    def accelerate_yaml(self) -> str:
        """Return the accelerate config as a file's text."""
        import yaml

        return yaml.safe_dump(self.config, sort_keys=False)

    def describe(self) -> str:
        """Return the plan in words: `2 processes on the CPU, ddp`."""
        gpus = ", ".join(map(str, self.gpus))
        where = "on the CPU" if self.device == "cpu" else f"on GPU {gpus}"
        count = f"{self.num_processes} process{'es' * (self.num_processes > 1)}"
        shared = "" if self.strategy == "single" else f", {self.strategy}"
        return f"{count} {where}{shared}"


def make_plan(recipe: Recipe, machine: Machine, num_gpus: int | None) -> LaunchPlan:
    """Return how the recipe is run on this machine; the recipe's launch section is settled by it.

    Args:
        recipe: Changed in place: `launch.num_processes`, `cpu_threads` and `model.torch_dtype`
            are filled in.
        machine: What there is.
        num_gpus: `--num-gpus`; None leaves it to the recipe, 0 asks for the CPU.

    Raises:
        LaunchError: Devices are asked for that aren't there, or contradict each other.
    """
    if num_gpus == 0:
        recipe.trl.update(use_cpu=True)
        if recipe.trl.get("fp16"):
            recipe.trl.update(fp16=False)
    use_cpu = bool(recipe.trl.get("use_cpu"))
    processes = _num_processes(recipe, machine, num_gpus, use_cpu)
    recipe.launch.num_processes = processes
    strategy = _strategy(recipe, processes)
    recipe.launch.strategy = strategy
    _settle_dtype(recipe)
    gpus = [] if use_cpu else [gpu.index for gpu in machine.gpus[:processes]]
    plan = LaunchPlan("cpu" if use_cpu else "cuda", processes, strategy, gpus)
    plan.splits_weights = strategy == "fsdp2"
    if use_cpu:
        threads = recipe.launch.cpu_threads or max(1, machine.num_cores // processes)
        recipe.launch.cpu_threads = threads
        plan.environment.update(
            OMP_NUM_THREADS=str(threads), CUDA_VISIBLE_DEVICES="", DS_ACCELERATOR="cpu"
        )
        if strategy in ("single", "ddp"):
            # Without it torchrun's workers train alone; with it FSDP and DeepSpeed are left out.
            plan.environment["ACCELERATE_USE_CPU"] = "true"
    else:
        # One process sees one GPU, so that nothing can wrap the model in DataParallel.
        plan.environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
        plan.environment["OMP_NUM_THREADS"] = str(max(1, machine.num_cores // processes))
    plan.config = _config(recipe, plan)
    return plan


def _num_processes(recipe: Recipe, machine: Machine, num_gpus: int | None, use_cpu: bool) -> int:
    asked = recipe.launch.num_processes
    if num_gpus is not None and num_gpus < 0:
        raise LaunchError(f"--num-gpus {num_gpus} is no number of GPUs", "--num-gpus")
    if use_cpu and num_gpus:
        raise LaunchError(
            f"--num-gpus {num_gpus} and training.use_cpu=true contradict each other"
            if machine.gpus
            else f"--num-gpus {num_gpus}: this machine has no GPU that can be used",
            "--num-gpus",
            _no_gpu_hint(machine),
        )
    if use_cpu:
        return asked or 1
    if num_gpus and asked and asked != num_gpus:
        raise LaunchError(
            f"--num-gpus {num_gpus} and launch.num_processes={asked} contradict each other",
            recipe.where("launch.num_processes"),
            "keep one of them",
        )
    wanted = num_gpus or asked or 1
    if wanted > len(machine.gpus):
        have = len(machine.gpus)
        where = "launch.num_processes" if asked else "training.use_cpu"
        gpus = f"{wanted} GPUs are" if wanted > 1 else "a GPU is"
        raise LaunchError(
            f"{gpus} asked for and this machine has {have or 'none'}",
            "--num-gpus" if num_gpus else recipe.where(where),
            f"--num-gpus {have} takes what is there" if have else _no_gpu_hint(machine),
        )
    return wanted


def _no_gpu_hint(machine: Machine) -> str:
    if machine.gpus:
        return "leave one of them out"
    if machine.hidden_gpus:
        return (
            f"CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')} hides "
            f"{machine.hidden_gpus} GPUs"
        )
    return (
        "leave --num-gpus out, or give --num-gpus 0, to train on the CPU; "
        "launch.num_processes=2 trains on it with two processes"
    )


def _strategy(recipe: Recipe, processes: int) -> str:
    asked = recipe.launch.strategy
    named = recipe.training.deepspeed_config
    if named and asked in ("auto", "deepspeed"):
        return _deepspeed_strategy(recipe, named)
    if asked == "fsdp2" and processes == 1:
        recipe.notes.append("launch.strategy fsdp2 splits nothing over one process: it is left out")
        return "single"
    if asked == "ddp" and processes == 1:
        return "single"
    if asked == "single" and processes > 1:
        raise LaunchError(
            f"launch.strategy single and {processes} processes contradict each other",
            recipe.origin.get("launch.strategy"),
            "leave launch.strategy out, or use one process",
        )
    if asked != "auto":
        return asked
    return "ddp" if processes > 1 else "single"


def is_deepspeed(strategy: str) -> bool:
    """Tell whether a strategy is one of DeepSpeed's."""
    return strategy.startswith(("zero", "deepspeed"))


def _deepspeed_strategy(recipe: Recipe, named: str) -> str:
    """Return the shipped configuration that is named, or "deepspeed" for a file."""
    if named in _ZERO:
        return named
    stem = Path(named).stem
    stage = next((known for known in _ZERO if stem.startswith(known)), None)
    if stage and not os.path.isfile(os.path.expanduser(named)):
        recipe.notes.append(
            f"training.deepspeed_config: there is no file {named}; the shipped {stage} is used"
        )
        return stage
    return "deepspeed"


def _settle_dtype(recipe: Recipe) -> None:
    """Fill in the weights' type: float32 where they are trained, half precision where frozen."""
    if recipe.model.torch_dtype is not None:
        return
    half = (
        "bfloat16" if recipe.trl_value("bf16") else "float16" if recipe.trl_value("fp16") else None
    )
    recipe.model.torch_dtype = half if recipe.model.use_lora and half else "float32"


def _config(recipe: Recipe, plan: LaunchPlan) -> dict[str, Any]:
    """Return the accelerate config: the shipped one of the strategy, with this run's numbers."""
    import yaml

    shipped = CONFIGS / f"{'deepspeed' if is_deepspeed(plan.strategy) else plan.strategy}.yaml"
    config: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    config["num_processes"] = plan.num_processes
    config["use_cpu"] = plan.device == "cpu" and plan.strategy in ("single", "ddp")
    if is_deepspeed(plan.strategy):
        own = CONFIGS / f"{plan.strategy}.json"
        file = _deepspeed_file(recipe) if plan.strategy == "deepspeed" else own
        zero = json.loads(file.read_text("utf-8")).get("zero_optimization") or {}
        plan.splits_weights = zero.get("stage") == 3
        config["deepspeed_config"]["deepspeed_config_file"] = str(file)
        config["deepspeed_config"]["zero3_init_flag"] = plan.splits_weights
    return config


def _deepspeed_file(recipe: Recipe) -> Path:
    name = recipe.training.deepspeed_config
    where = recipe.origin.get("training.deepspeed_config")
    if not name:
        raise LaunchError(
            "launch.strategy deepspeed needs training.deepspeed_config",
            recipe.origin.get("launch.strategy"),
            f"name a JSON file, or one of {', '.join(_ZERO)}",
        )
    path = Path(os.path.expanduser(name))
    if not os.path.isfile(path):
        hint = did_you_mean(name, _ZERO) or f"a JSON file, or one of {', '.join(_ZERO)}"
        raise LaunchError(f"training.deepspeed_config: there is no file {name}", where, hint)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LaunchError(
            f"training.deepspeed_config: {name} is not JSON: {error}", where
        ) from None
    if not isinstance(content, dict):
        raise LaunchError(f"training.deepspeed_config: {name} holds no JSON object", where)
    return path.resolve()


def command(folder: Path, config: Path, stamp: str) -> list[str]:
    """Return the argument list that starts the training processes."""
    return [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(config),
        "-m", _WORKER, "--run-folder", str(folder), "--stamp", stamp,
    ]  # fmt: skip
