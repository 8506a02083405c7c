"""Running the training processes to their end, and telling how it was."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from fai_rl.launch.events import Event, read_events
from fai_rl.launch.run_folder import RunFolder
from fai_rl.utils.errors import EXIT_FAILED, EXIT_OK

_GRACE_SECONDS = 10.0


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        exit_code: What the command exits with.
        message: What went wrong; empty where nothing did.
        result: The worker's last word: the final step and the model's folder.
    """

    exit_code: int
    message: str
    result: Event


def supervise(
    folder: RunFolder,
    argv: list[str],
    environment: dict[str, str],
    on_events: Callable[[list[Event]], None] = lambda events: None,
) -> Outcome:
    """Start the training processes and stay until all of them have ended.

    SIGTERM and SIGINT to this process end them all. The folder's status file is kept true.

    Args:
        folder: The run's folder.
        argv: The command.
        environment: Variables beside this process's own.
        on_events: Is given what the worker tells, as it comes.
    """
    stopped: list[int] = []
    handlers = {
        number: signal.signal(number, lambda received, _: stopped.append(received))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    position = 0
    last: dict[str, Event] = {}

    def pump() -> None:
        nonlocal position
        events, position = read_events(folder.events, position)
        for event in events:
            if event["kind"] != "error" or "error" not in last:  # the first error is the cause
                last[event["kind"]] = event
        on_events(events)

    try:
        child = _start(folder, argv, environment)
        folder.update_status(state="running", pid=os.getpid(), started=time.time())
        while child.poll() is None and not stopped:
            pump()
            time.sleep(0.1)
        if stopped:
            _end_tree(child.pid)
        child.wait()
        pump()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    outcome = _outcome(folder, child.returncode, stopped, last)
    folder.update_status(
        state="finished" if outcome.exit_code == EXIT_OK else "failed",
        exit_code=outcome.exit_code,
        error=outcome.message or None,
        ended=time.time(),
    )
    return outcome


def _start(
    folder: RunFolder, argv: list[str], environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    with folder.log.open("ab") as log:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # a terminal's Ctrl-C reaches this process alone
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is gone (Linux)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _end_tree(pid: int) -> None:
    """End a process and everything below it: politely, then surely."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=_GRACE_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _outcome(
    folder: RunFolder, returncode: int, stopped: list[int], last: dict[str, Event]
) -> Outcome:
    result: Event = last.get("done", {})
    if result and returncode == 0:
        return Outcome(EXIT_OK, "", result)
    if stopped:
        name = signal.Signals(stopped[0]).name
        return Outcome(EXIT_FAILED, f"stopped by {name}", {})
    error = last.get("error")
    if error and error["exit_code"] != EXIT_FAILED:
        return Outcome(int(error["exit_code"]), str(error["text"]), {})
    if killed := _killed(folder):
        return Outcome(EXIT_FAILED, f"{killed}\n  the whole log: {folder.log}", {})
    if error:
        return Outcome(EXIT_FAILED, str(error["text"]), {})
    how = (
        f"was killed by {signal.Signals(-returncode).name}"
        if returncode < 0
        else (f"ended with code {returncode}" if returncode else "ended before its last step")
    )
    return Outcome(EXIT_FAILED, f"error: training {how}\n{log_tail(folder)}", {})


# How accelerate and torchrun name a process that ended by a signal; a process killed so can tell
# nothing itself, and the others of its run tell of a lost connection only.
_DIED_ALONE = re.compile(r"died with <Signals\.(SIG\w+)")
_DIED_FIRST = re.compile(
    r"Root Cause.*?rank\s*: (\d+).*?exitcode\s*: -\d+ \(pid: \d+\)\s+\((SIG\w+)\)", re.DOTALL
)


def _killed(folder: RunFolder) -> str | None:
    """Return the message for a training process that something killed, or None."""
    text = folder.log.read_text(encoding="utf-8", errors="replace")
    if match := _DIED_FIRST.search(text):
        who, name = f"the process of rank {match[1]}", match[2]
    elif match := _DIED_ALONE.search(text):
        who, name = "the training process", match[1]
    else:
        return None
    why = "\n  where nobody did so, the machine was out of memory" if name == "SIGKILL" else ""
    return f"error: {who} was killed by {name}{why}"


def log_tail(folder: RunFolder, num_lines: int = 12) -> str:
    """Return the end of the log, indented, and where the rest is."""
    text = folder.log.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()][-num_lines:]
    return "\n".join([*(f"  {line}" for line in lines), f"  the whole log: {folder.log}"])


def child_environment(plan_environment: dict[str, Any]) -> dict[str, str]:
    """Return the variables the training processes get beside the shell's own.

    Each yields to what the user has set.
    """
    quiet = {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "PYTHONUNBUFFERED": "1",
    }
    chosen = {name: value for name, value in quiet.items() if name not in os.environ}
    return {**chosen, **{name: str(value) for name, value in plan_environment.items()}}
