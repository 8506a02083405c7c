"""`fai-rl doctor`: what this machine can do."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fai_rl.launch.checks import Finding
from fai_rl.launch.devices import Machine, this_machine
from fai_rl.launch.table import print_findings

_CORE = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "omegaconf")
_OPTIONAL = {
    "bitsandbytes": "4-bit and 8-bit weights and optimizers: pip install 'fai-rl[quant]'",
    "deepspeed": "ZeRO: pip install 'fai-rl[quant]'",
    "flash_attn": "flash attention: pip install flash-attn",
    "vllm": "fast generation: pip install 'fai-rl[vllm]'",
    "liger-kernel": "fused kernels: pip install 'fai-rl[liger]'",
    "wandb": "tracking: pip install wandb",
}


def main(arguments: list[str], prog: str) -> int:
    """Print what there is and what it allows."""
    argparse.ArgumentParser(prog=prog, description="Say what this machine can do.").parse_args(
        arguments
    )
    machine = this_machine()
    findings = [*_devices(machine), *_libraries(), *_surroundings()]
    print_findings(findings)
    return 0


def _devices(machine: Machine) -> Iterator[Finding]:
    for gpu in machine.gpus:
        precision = "bf16" if gpu.has_bf16 else "fp16, no bf16"
        yield Finding(
            "ok",
            f"GPU {gpu.index}",
            f"{gpu.name}, {gpu.memory_bytes / 2**30:.0f} GiB "
            f"({gpu.used_bytes / 2**30:.1f} in use), {precision}, driver {gpu.driver}",
        )
    if not machine.gpus:
        hidden = (
            f"; CUDA_VISIBLE_DEVICES hides {machine.hidden_gpus}" if machine.hidden_gpus else ""
        )
        yield Finding("warning", "GPU", f"none{hidden}: training is on the CPU")
    best = "cpu-bf16" if machine.cpu_has_bf16 else "cpu-fp32"
    yield Finding(
        "ok",
        "CPU",
        f"{machine.num_cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, "
        f"{'has' if machine.cpu_has_bf16 else 'no'} bf16 instructions",
        f"for larger models the fastest profile here is {best}",
    )


def _libraries() -> Iterator[Finding]:
    yield Finding("ok", "python", sys.version.split()[0])
    for name in _CORE:
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            yield Finding("error", name, "not installed", f"pip install {name}")
    for name, use in _OPTIONAL.items():
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            yield Finding("ok", name, "not installed", use)


def _surroundings() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    yield Finding("ok", "disk", f"{free / 2**30:,.0f} GiB free here")
    cache = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    token = (
        "HF_TOKEN is set"
        if os.environ.get("HF_TOKEN") or (cache / "token").exists()
        else ("no token: gated models such as Llama need HF_TOKEN")
    )
    yield Finding("ok", "hub", token)
    key = "WANDB_API_KEY is set" if os.environ.get("WANDB_API_KEY") else "no WANDB_API_KEY"
    yield Finding("ok", "wandb", key)
