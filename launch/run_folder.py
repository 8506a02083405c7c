"""The folder of a run: what it holds, and that it holds one run at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.errors import LaunchError
from fai_rl.utils.files import read_json, write_json, write_text

# What a run makes, and --overwrite may remove; anything else in the folder is the user's.
_MADE = (
    "checkpoint-*", "final", "merged", "base", "logs", "data", "metrics.jsonl", "run.json",
    "recipe.yaml", "accelerate.yaml", "README.md", "wandb", ".staging-*",
)  # fmt: skip


@dataclass
class RunFolder:
    """Paths of a run, all below `path`.

    Attributes:
        path: The run's `output_dir`.
        stamp: `YYYYMMDD_HHMMSS` of this attempt, in the names of its log and events.
    """

    path: Path
    stamp: str

    @property
    def recipe(self) -> Path:
        """The resolved recipe, which the worker reads."""
        return self.path / "recipe.yaml"

    @property
    def accelerate_config(self) -> Path:
        """What `accelerate launch` is given."""
        return self.path / "accelerate.yaml"

    @property
    def status(self) -> Path:
        """State, process and exit code of the run."""
        return self.path / "run.json"

    @property
    def log(self) -> Path:
        """Everything the processes of this attempt print."""
        return self.path / "logs" / f"training_{self.stamp}.log"

    @property
    def events(self) -> Path:
        """What the worker of this attempt tells, one JSON object a line."""
        return self.path / "logs" / f"events_{self.stamp}.jsonl"

    @property
    def metrics(self) -> Path:
        """Every logged metric, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def data(self) -> Path:
        """Tokenized rows, removed when the run ends."""
        return self.path / "data"

    @property
    def final(self) -> Path:
        """The trained model (or adapter) with its tokenizer."""
        return self.path / "final"

    @property
    def merged(self) -> Path:
        """The model with the adapter merged in, where the recipe asks for it."""
        return self.path / "merged"

    def update_status(self, **changes: Any) -> None:
        """Change some of the status file's entries."""
        write_json(self.status, {**read_json(self.status), **changes})


def new_stamp() -> str:
    """Return this second as `YYYYMMDD_HHMMSS`."""
    return time.strftime("%Y%m%d_%H%M%S")


def check_free(recipe: Recipe, overwrite: bool) -> None:
    """Refuse a folder that holds another run, or that can't be written.

    Raises:
        LaunchError: With the ways out.
    """
    path = recipe.output_dir
    another = "training.output_dir=another/folder starts beside it"
    where = recipe.where("training.output_dir")
    if os.path.exists(path) and not path.is_dir():
        raise LaunchError(f"training.output_dir {path} is a file", where, another)
    parent = nearest_folder(path)
    if not os.access(parent, os.W_OK) or str(parent).startswith("/proc"):
        raise LaunchError(f"training.output_dir: can't write to {parent}", where, another)
    if max(len(part) for part in path.parts) > 255:
        raise LaunchError("training.output_dir is longer than a name may be", where, another)
    holder = _holder(path)
    if holder:
        raise LaunchError(
            f"{path} is in use by a run: process {holder.get('pid')} on {holder.get('host')}",
            hint=f"wait for it, or stop it with kill {holder.get('pid')}; {another}",
        )
    if overwrite:
        return
    status = read_json(path / "run.json")
    checkpoints = sorted(path.glob("checkpoint-*"), key=lambda p: _step(p))
    if status.get("state") == "finished":
        raise LaunchError(
            f"{path} holds a finished run",
            hint=f"--overwrite deletes it and starts anew; {another}",
        )
    resume = recipe.trl.get("resume_from_checkpoint")
    if resume:
        _check_resumable(recipe, str(resume), [path.name for path in checkpoints])
        return
    if checkpoints:
        raise LaunchError(
            f"{path} holds an unfinished run, saved at step {_step(checkpoints[-1])}",
            hint=f"training.resume_from_checkpoint=true goes on from there\n"
            f"--overwrite deletes it and starts anew; {another}",
        )
    if not status and path.is_dir() and any(entry.name != ".lock" for entry in path.iterdir()):
        raise LaunchError(f"{path} holds files that are no run of fai-rl", hint=another)


def _check_resumable(recipe: Recipe, resume: str, checkpoints: list[str]) -> None:
    where = recipe.where("training.resume_from_checkpoint")
    if resume.lower() == "true":
        if not checkpoints:
            raise LaunchError(f"{recipe.output_dir} holds no checkpoint to resume from", where)
    elif not os.path.isfile(os.path.join(resume, "trainer_state.json")):
        raise LaunchError(
            f"training.resume_from_checkpoint: {resume} is no checkpoint folder",
            where,
            f"the checkpoints are {', '.join(checkpoints)}" if checkpoints else None,
        )


def nearest_folder(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    # os.path's questions answer False where Path's raise, as for overlong names.
    return next(p for p in (path, *path.absolute().parents) if os.path.isdir(p))


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def create(recipe: Recipe, accelerate_yaml: str, overwrite: bool) -> tuple[RunFolder, IO[str]]:
    """Make the run's folder, take its lock and write what the worker reads.

    Returns:
        The folder, and the lock: it is held as long as that file stays open in some process.

    Raises:
        LaunchError: Another process took the folder first.
    """
    path = recipe.output_dir
    path.mkdir(parents=True, exist_ok=True)
    lock = _take_lock(path)
    if overwrite:
        for pattern in _MADE:
            for old in path.glob(pattern):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
    folder = RunFolder(path.resolve(), new_stamp())
    folder.log.parent.mkdir(exist_ok=True, mode=0o700)
    while folder.log.exists():  # two attempts within one second
        time.sleep(0.2)
        folder.stamp = new_stamp()
    for file in (folder.log, folder.events):
        file.touch(mode=0o600)
    write_text(folder.recipe, f"# The recipe of this run, resolved.\n{recipe.as_yaml()}")
    write_text(folder.accelerate_config, accelerate_yaml)
    write_json(
        folder.status,
        {
            "id": f"{recipe.name}-{folder.stamp}",
            "state": "starting",
            "algorithm": recipe.training.algorithm,
            "host": socket.gethostname(),
            "log": str(folder.log),
            "events": str(folder.events),
            "exit_code": None,
        },
    )
    return folder, lock


def _take_lock(path: Path) -> IO[str]:
    lock = (path / ".lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise LaunchError(f"{path} is in use by a run that has just started") from None
    return lock


def _holder(path: Path) -> dict[str, Any] | None:
    """Return the status of the run that holds the folder's lock, or None."""
    try:
        with (path / ".lock").open("r+", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        return read_json(path / "run.json") or {"pid": "unknown", "host": "this machine"}
    return None
