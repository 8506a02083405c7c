"""What a machine has, and what is refused on it: told through a stand-in nvidia-smi on the PATH."""

import os
import stat

import pytest

from fai_rl.launch import devices
from fai_rl.trainers.train import main

H100 = "{i}, GPU-{i}aaa, NVIDIA H100, 81559, 100, 9.0, 570.10"
T4 = "{i}, GPU-{i}bbb, Tesla T4, 15360, 3, 7.5, 535.10"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that gives this machine GPUs, as nvidia-smi would list them."""

    def have(line: str, count: int) -> None:
        tool = tmp_path / "bin" / "nvidia-smi"
        tool.parent.mkdir(exist_ok=True)
        rows = "\n".join(line.format(i=i) for i in range(count))
        tool.write_text(f"#!/bin/sh\ncat <<END\n{rows}\nEND\n")
        tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
        devices.this_machine.cache_clear()

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.chdir(tmp_path)
    devices.this_machine.cache_clear()
    yield have
    devices.this_machine.cache_clear()


def dry_run(capsys, *words: str) -> tuple[int, str, str]:
    code = main(["--recipe", "sft/tiny_cpu", "--dry-run", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_eight_gpus_asked_for_and_none_there_is_refused(machine, capsys):
    code, _, err = dry_run(capsys, "--num-gpus", "8")
    assert code == 2
    assert "--num-gpus 8: this machine has no GPU" in err
    assert "--num-gpus 0" in err


def test_more_gpus_than_there_are_is_refused_with_the_number_there_is(machine, capsys):
    machine(H100, 2)
    code, _, err = dry_run(capsys, "--num-gpus", "8")
    assert code == 2
    assert "8 GPUs are asked for and this machine has 2" in err
    assert "--num-gpus 2" in err


def test_one_gpu_of_several_sees_only_itself(machine, capsys):
    machine(H100, 4)
    code, out, err = dry_run(capsys)
    assert code == 0, err
    assert "CUDA_VISIBLE_DEVICES=0 " in out
    assert "distributed_type: 'NO'" in out


def test_several_gpus_train_data_parallel_in_bf16(machine, capsys):
    machine(H100, 4)
    code, out, err = dry_run(capsys, "--num-gpus", "4")
    assert code == 0, err
    assert "CUDA_VISIBLE_DEVICES=0,1,2,3 " in out
    assert "distributed_type: MULTI_GPU" in out and "num_processes: 4" in out
    assert "bf16: true" in out and "ACCELERATE_USE_CPU" not in out


def test_hidden_gpus_are_not_counted_and_are_named(machine, capsys, monkeypatch):
    machine(H100, 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    code, out, _ = dry_run(capsys, "--num-gpus", "2")
    assert code == 0
    assert "CUDA_VISIBLE_DEVICES=2,3 " in out
    devices.this_machine.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    code, _, err = dry_run(capsys, "--num-gpus", "2")
    assert code == 2
    assert "hides 4 GPUs" in err


def test_a_gpu_without_bf16_gets_fp16_and_refuses_bf16(machine, capsys):
    machine(T4, 1)
    code, out, _ = dry_run(capsys)
    assert code == 0
    assert "fp16: true" in out and "bf16: false" in out
    code, _, err = dry_run(capsys, "training.bf16=true", "training.fp16=false")
    assert code == 2
    assert "Tesla T4 doesn't have it" in err


def test_idle_gpus_are_mentioned(machine, capsys):
    machine(H100, 4)
    assert main(["--recipe", "sft/tiny_cpu", "--check"]) == 0
    assert "3 other GPUs stay idle" in capsys.readouterr().out


def test_zero_gpus_means_the_cpu(machine, capsys):
    machine(H100, 2)
    code, out, _ = dry_run(capsys, "--num-gpus", "0")
    assert code == 0
    assert "use_cpu: true" in out and "CUDA_VISIBLE_DEVICES='' " in out
