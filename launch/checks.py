"""What can be known of a run before it starts: devices, libraries, strategies and disk."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fai_rl.launch.devices import Machine
from fai_rl.launch.plan import LaunchPlan, is_deepspeed
from fai_rl.launch.run_folder import nearest_folder
from fai_rl.recipes.algorithms import ALGORITHMS
from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.errors import LaunchError, Problem

_LOW_DISK_BYTES = 2 * 2**30
_LONG_ROW_TOKENS = 16_384


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: "ok", "warning" or "error"; an error means the run would fail or teach nothing.
        subject: What was looked at.
        text: What was found.
        fix: What to do about it.
        where: The place in the recipe.
    """

    level: str
    subject: str
    text: str
    fix: str = ""
    where: str | None = None

    def problem(self) -> Problem:
        """Return the finding as an error message."""
        return Problem(self.text, self.where, self.fix or None)


def check_machine(recipe: Recipe, plan: LaunchPlan, machine: Machine) -> list[Finding]:
    """Return what was found, errors first."""
    findings = [
        *_algorithm(recipe),
        *_devices(plan, machine),
        *_precision(recipe, plan, machine),
        *_libraries(recipe, plan),
        *_combinations(recipe, plan),
        *_disk(recipe),
        *(Finding("warning", "recipe", note) for note in recipe.notes),
    ]
    return by_severity(findings)


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Return the findings, worst first."""
    order = {"error": 0, "warning": 1, "ok": 2}
    return sorted(findings, key=lambda finding: order[finding.level])


def refuse_errors(findings: list[Finding]) -> None:
    """Stop when any finding is an error.

    Raises:
        LaunchError: With all of them.
    """
    problems = [finding.problem() for finding in findings if finding.level == "error"]
    if problems:
        raise LaunchError(problems)


def _error(recipe: Recipe, key: str, text: str, fix: str) -> Finding:
    return Finding("error", key, text, fix, recipe.where(key))


def _algorithm(recipe: Recipe) -> Iterator[Finding]:
    if recipe.algorithm.adapter is None:
        ready = [name for name, entry in ALGORITHMS.items() if entry.adapter]
        yield _error(
            recipe,
            "training.algorithm",
            f"training.algorithm {recipe.training.algorithm} is known, but there is no trainer "
            "for it yet",
            f"the trainers there are: {', '.join(ready)}",
        )


def _devices(plan: LaunchPlan, machine: Machine) -> Iterator[Finding]:
    yield Finding("ok", "launch", plan.describe())
    idle = len(machine.gpus) - len(plan.gpus)
    if plan.device == "cuda" and idle > 0:
        yield Finding(
            "warning",
            "devices",
            f"{idle} other GPU{'s' * (idle > 1)} stay idle",
            f"--num-gpus {len(machine.gpus)} uses all",
        )
    if plan.device == "cpu" and machine.gpus:
        yield Finding(
            "warning", "devices", f"{len(machine.gpus)} GPUs stay idle: training is on the CPU"
        )
    for gpu in machine.gpus:
        if gpu.index in plan.gpus and gpu.used_bytes > gpu.memory_bytes // 10:
            yield Finding(
                "warning",
                "devices",
                f"GPU {gpu.index} has {gpu.used_bytes / 2**30:.1f} GiB in use by others",
                "CUDA_VISIBLE_DEVICES chooses other GPUs",
            )


def _precision(recipe: Recipe, plan: LaunchPlan, machine: Machine) -> Iterator[Finding]:
    bf16, fp16 = recipe.trl_value("bf16"), recipe.trl_value("fp16")
    if bf16 is None:
        bf16 = not fp16
    dtype = recipe.model.torch_dtype
    how = "bf16 autocast" if bf16 else "fp16 autocast" if fp16 else "no autocast"
    yield Finding("ok", "precision", f"{dtype} weights, {how}")
    if plan.device == "cuda":
        lacking = [g for g in machine.gpus if g.index in plan.gpus and not g.has_bf16]
        if lacking and (bf16 or dtype == "bfloat16"):
            yield _error(
                recipe,
                "training.bf16",
                f"bfloat16 is asked for and {lacking[0].name} doesn't have it",
                "set training.bf16=false training.fp16=true, and under LoRA "
                "model.torch_dtype=float16",
            )
        return
    if fp16:
        yield _error(
            recipe,
            "training.fp16",
            "training.fp16 (mixed precision) needs a GPU",
            "set training.fp16=false; --profile cpu-bf16 is the fast one on the CPU",
        )
    if dtype == "float16":
        yield Finding(
            "warning",
            "precision",
            "float16 arithmetic on a CPU is about 20 times slower than float32",
            "--profile cpu-bf16 or cpu-fp32, and leave model.torch_dtype out",
        )
    large = not recipe.model.base_model_name.startswith("builtin:")
    if large and not bf16 and dtype == "float32" and machine.cpu_has_bf16:
        yield Finding(
            "warning",
            "precision",
            "this CPU has bfloat16 instructions and the run is in float32",
            "--profile cpu-bf16 is up to 2.5 times as fast",
        )
    if bf16 and not machine.cpu_has_bf16:
        yield Finding(
            "warning",
            "precision",
            "this CPU has no bfloat16 instructions: bf16 is slower than float32 here",
            "set training.bf16=false, or --profile cpu-fp32",
        )


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _libraries(recipe: Recipe, plan: LaunchPlan) -> Iterator[Finding]:
    quantized = recipe.model.load_in_4bit or recipe.model.load_in_8bit
    optimizer = str(recipe.trl.get("optim") or "")
    needs_bnb = "8bit" in optimizer or "bnb" in optimizer or optimizer.startswith("paged_")
    if (quantized or needs_bnb) and not _installed("bitsandbytes"):
        key = (
            "training.optim"
            if needs_bnb and not quantized
            else ("model.load_in_4bit" if recipe.model.load_in_4bit else "model.load_in_8bit")
        )
        yield _error(
            recipe,
            key,
            f"{key} needs bitsandbytes, which is not installed",
            'pip install "fai-rl[quant]"',
        )
    if is_deepspeed(plan.strategy) and not _installed("deepspeed"):
        yield _error(
            recipe,
            "launch.strategy",
            f"{plan.strategy} needs deepspeed, which is not installed",
            'pip install "fai-rl[quant]"',
        )
    flash = (recipe.model.attn_implementation or "").startswith("flash_attention")
    if flash and plan.device == "cpu":
        yield _error(
            recipe,
            "model.attn_implementation",
            f"{recipe.model.attn_implementation} needs a GPU",
            "leave it out: sdpa is the default",
        )
    elif flash and not (_installed("flash_attn") or _installed("kernels")):
        yield _error(
            recipe,
            "model.attn_implementation",
            f"{recipe.model.attn_implementation} is not installed",
            "pip install flash-attn, or leave it out: sdpa is the default",
        )
    if recipe.trl.get("use_liger_kernel") and not _installed("liger_kernel"):
        yield _error(
            recipe,
            "training.use_liger_kernel",
            "training.use_liger_kernel: liger-kernel is not installed",
            'pip install "fai-rl[liger]"',
        )


def _combinations(recipe: Recipe, plan: LaunchPlan) -> Iterator[Finding]:
    model = recipe.model
    quantized = "4-bit" if model.load_in_4bit else "8-bit" if model.load_in_8bit else ""
    key = "training.deepspeed_config" if plan.strategy == "deepspeed" else "launch.strategy"
    if quantized and plan.splits_weights:
        yield _error(
            recipe,
            key,
            f"{quantized} weights can't be split by {plan.strategy}",
            "launch.strategy=ddp or zero2 keeps a whole quantized base per device",
        )
    if plan.splits_weights and recipe.evaluation.exact_match:
        yield _error(
            recipe,
            "evaluation.exact_match",
            f"evaluation.exact_match can't generate from weights split by {plan.strategy}",
            "set evaluation.exact_match=false, or launch.strategy=ddp",
        )
    if (
        is_deepspeed(plan.strategy)
        and plan.device == "cpu"
        and (recipe.trl_value("bf16") is not False)
    ):
        yield _error(
            recipe,
            "training.bf16",
            f"{plan.strategy} on the CPU trains in float32 only",
            "set training.bf16=false, or launch.strategy=ddp",
        )
    if plan.device == "cpu" and recipe.trl.get("activation_offloading"):
        yield _error(
            recipe,
            "training.activation_offloading",
            "training.activation_offloading moves activations off a GPU, and there is none",
            "leave it out",
        )
    if (
        recipe.trl.get("padding_free")
        and not recipe.trl_value("packing")
        and recipe.trl_value("max_length") is not None
    ):
        yield _error(
            recipe,
            "training.padding_free",
            "training.padding_free without packing can't cut rows at max_length",
            "set training.packing=true, or training.max_length=null",
        )
    yield from _packing(recipe, plan)
    if recipe.trl.get("gradient_checkpointing") and recipe.trl.get("use_cache"):
        yield Finding("warning", "recipe", "training.use_cache is off under gradient checkpointing")


def _packing(recipe: Recipe, plan: LaunchPlan) -> Iterator[Finding]:
    """Warn of long flattened batches: without flash attention their cost grows by the square."""
    flash = (recipe.model.attn_implementation or "").startswith("flash")
    if (
        not recipe.trl_value("packing")
        or flash
        or recipe.trl_value("packing_strategy") == "wrapped"
    ):
        return
    batch = int(recipe.trl_value("per_device_train_batch_size"))
    tokens = batch * int(recipe.trl_value("max_length"))
    limit = _LONG_ROW_TOKENS if plan.device == "cuda" else _LONG_ROW_TOKENS // 4
    if tokens > limit:
        yield Finding(
            "warning",
            "packing",
            f"packing lays a batch end to end: {batch} packs are a row of {tokens:,} tokens, whose "
            "attention costs the square of that without flash attention",
            f"lower training.per_device_train_batch_size to {max(1, batch * limit // tokens)} and "
            "raise gradient_accumulation_steps, or set model.use_flash_attention=true on a GPU",
            recipe.where("training.packing"),
        )


def _disk(recipe: Recipe) -> Iterator[Finding]:
    free = shutil.disk_usage(nearest_folder(recipe.output_dir)).free
    level = "warning" if free < _LOW_DISK_BYTES else "ok"
    yield Finding(level, "output", f"{_short(recipe.output_dir)}, {free / 2**30:,.0f} GiB free")


def _short(path: Path) -> str:
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
