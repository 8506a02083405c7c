"""What this machine has, found without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_QUERY = "index,uuid,name,memory.total,memory.used,compute_cap,driver_version"


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU that this process may use.

    Attributes:
        index: Its number to nvidia-smi.
        name: Its model.
        memory_bytes: All of its memory.
        used_bytes: Memory in use by anyone.
        capability: CUDA compute capability, major and minor.
        driver: The driver's version.
    """

    index: int
    name: str
    memory_bytes: int
    used_bytes: int
    capability: tuple[int, int]
    driver: str

    @property
    def has_bf16(self) -> bool:
        """Whether bfloat16 runs natively (Ampere and newer)."""
        return self.capability >= (8, 0)


@dataclass(frozen=True)
class Machine:
    """The machine, as far as training cares.

    Attributes:
        gpus: GPUs this process may use.
        hidden_gpus: GPUs that CUDA_VISIBLE_DEVICES hides.
        num_cores: CPU cores this process may use.
        memory_bytes: Main memory.
        cpu_flags: The CPU's instruction sets, as the kernel names them.
    """

    gpus: tuple[Gpu, ...]
    hidden_gpus: int
    num_cores: int
    memory_bytes: int
    cpu_flags: frozenset[str]

    @property
    def abilities(self) -> frozenset[str]:
        """What profiles choose by: cpu, gpu, gpu-bf16."""
        if not self.gpus:
            return frozenset({"cpu"})
        bf16 = {"gpu-bf16"} if all(gpu.has_bf16 for gpu in self.gpus) else set()
        return frozenset({"gpu", *bf16})

    @property
    def cpu_has_bf16(self) -> bool:
        """Whether the CPU multiplies bfloat16 natively."""
        return bool(self.cpu_flags & {"avx512_bf16", "amx_bf16", "bf16", "asimdbf16"})


@cache
def this_machine() -> Machine:
    """Return what this machine has; asked once."""
    found = _nvidia_gpus()
    visible = _visible(found)
    try:
        num_cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        num_cores = os.cpu_count() or 1
    return Machine(
        gpus=visible,
        hidden_gpus=len(found) - len(visible),
        num_cores=num_cores,
        memory_bytes=psutil.virtual_memory().total,
        cpu_flags=_cpu_flags(),
    )


def _nvidia_gpus() -> list[tuple[str, Gpu]]:
    """Return (uuid, GPU) for every NVIDIA GPU, none where there is no driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        answer = subprocess.run(
            [tool, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = []
    for line in answer.splitlines():
        fields = [part.strip() for part in line.split(",")]
        if len(fields) != 7:
            continue
        index, uuid, name, total, used, capability, driver = fields
        major, _, minor = capability.partition(".")
        gpu = Gpu(
            index=int(index),
            name=name,
            memory_bytes=int(float(total)) * 2**20,
            used_bytes=int(float(used)) * 2**20,
            capability=(int(major), int(minor or 0)),
            driver=driver,
        )
        gpus.append((uuid, gpu))
    return gpus


def _visible(found: list[tuple[str, Gpu]]) -> tuple[Gpu, ...]:
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return tuple(gpu for _, gpu in found)
    chosen = []
    for word in (part.strip() for part in listed.split(",")):
        match = [
            gpu
            for uuid, gpu in found
            if word == str(gpu.index) or (word.startswith("GPU-") and uuid.startswith(word))
        ]
        if not match:  # CUDA itself ignores everything after the first unknown entry
            break
        chosen.append(match[0])
    return tuple(chosen)


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
