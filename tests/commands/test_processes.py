"""Signals, detached runs and failing workers: nothing is orphaned, every end is told."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import SHORT, CommandLine

LONG = (*SHORT, "training.max_steps=100000", "training.logging_steps=50", "training.output_dir=run")


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return the live processes whose command line names the run's folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder / "run") in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def wait_for(condition, seconds: float = 120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.2)
    raise AssertionError("it did not happen in time")


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ending_the_command_ends_every_process(cli: CommandLine, how, processes):
    argv = cli.argv("--recipe", "sft/tiny_cpu", *LONG, f"launch.num_processes={processes}")
    with (cli.folder / "out").open("w") as out:
        command = subprocess.Popen(
            argv, cwd=cli.folder, env=cli.environment, stdout=out, stderr=out
        )
    wait_for(lambda: "step 50/" in (cli.folder / "out").read_text())
    assert len(processes_of(cli.folder)) >= processes
    command.send_signal(how)
    assert command.wait(60) != 0
    wait_for(lambda: not processes_of(cli.folder), 20)
    if how != signal.SIGKILL:
        assert f"stopped by {how.name}" in (cli.folder / "out").read_text()
        assert json.loads((cli.folder / "run/run.json").read_text())["state"] == "failed"


def test_a_detached_run_survives_its_terminal_and_records_its_end(cli: CommandLine):
    started = cli.train(
        "--recipe", "sft/tiny_cpu", "--nohup", *SHORT, "training.max_steps=300",
        "training.output_dir=run",
    )  # fmt: skip
    assert started.code == 0, started.text
    assert "tail -f" in started.out and "kill " in started.out
    status = json.loads((cli.folder / "run/run.json").read_text())
    assert status["state"] == "running"
    supervisor = psutil.Process(status["pid"])
    assert os.getsid(supervisor.pid) == supervisor.pid
    supervisor.send_signal(signal.SIGHUP)
    busy = cli.train("--recipe", "sft/tiny_cpu", *SHORT, "training.output_dir=run", "--overwrite")
    assert busy.code == 2 and "in use by a run" in busy.err
    ended = wait_for(
        lambda: (
            (s := json.loads((cli.folder / "run/run.json").read_text()))["exit_code"] is not None
            and s
        )
    )
    assert ended["state"] == "finished" and ended["exit_code"] == 0
    assert (cli.folder / "run/final/model.safetensors").exists()
    assert "step 300/300" in Path(ended["log"]).read_text()
    wait_for(lambda: not processes_of(cli.folder), 20)


def test_a_detached_run_that_fails_at_once_says_why_in_the_foreground(cli: CommandLine):
    (cli.folder / "broken").mkdir()
    (cli.folder / "broken/config.json").write_text("{}")
    result = cli.train(
        "--recipe", "sft/tiny_cpu", "--nohup", *SHORT, "model.base_model_name=./broken",
        "training.output_dir=run",
    )  # fmt: skip
    assert result.code == 2
    assert "can't load the tokenizer of ./broken" in result.text
    assert "Traceback" not in result.text
    assert json.loads((cli.folder / "run/run.json").read_text())["exit_code"] == 2


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_worker_is_a_failure_with_its_cause(cli: CommandLine, processes):
    argv = cli.argv("--recipe", "sft/tiny_cpu", *LONG, f"launch.num_processes={processes}")
    with (cli.folder / "out").open("w") as out:
        command = subprocess.Popen(
            argv, cwd=cli.folder, env=cli.environment, stdout=out, stderr=out
        )
    wait_for(lambda: "step 50/" in (cli.folder / "out").read_text())
    workers = [p for p in processes_of(cli.folder) if "accelerate" not in " ".join(p.cmdline())]
    workers[-1].kill()
    assert command.wait(60) == 1
    text = (cli.folder / "out").read_text()
    who = "the training process" if processes == 1 else "the process of rank"
    assert f"error: {who}" in text and "was killed by SIGKILL" in text
    assert "the whole log:" in text
    wait_for(lambda: not processes_of(cli.folder), 20)


def test_overrides_never_reach_a_shell(cli: CommandLine):
    trap = cli.folder / "trap"
    result = cli.train(
        "--recipe", "sft/tiny_cpu", "--nohup", *SHORT, "training.output_dir=run",
        f"wandb.name=$(touch {trap}); touch {trap} `touch {trap}` '\"\nx",
    )  # fmt: skip
    assert result.code == 0, result.text
    assert not trap.exists()
    wait_for(lambda: not processes_of(cli.folder), 60)
