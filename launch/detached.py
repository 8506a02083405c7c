"""A run that outlives its terminal: `--nohup`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from fai_rl.launch.attached import move_secrets
from fai_rl.launch.events import read_events
from fai_rl.launch.follow import Follower
from fai_rl.launch.plan import LaunchPlan, command
from fai_rl.launch.process import child_environment, supervise
from fai_rl.launch.run_folder import RunFolder, create
from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.files import read_json
from fai_rl.utils.terminal import print_line


def start_detached(recipe: Recipe, plan: LaunchPlan, overwrite: bool) -> int:
    """Start a supervisor, wait for the first step or the first error, and return.

    The supervisor is this module run as a program: it has a session of its own, ignores SIGHUP,
    holds the run's lock and writes the exit code into the run's status file.

    Raises:
        LaunchError: Another run took the folder.
    """
    move_secrets(recipe)
    folder, lock = create(recipe, plan.accelerate_yaml(), overwrite)
    with lock, folder.log.open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "fai_rl.launch.detached", str(folder.path), folder.stamp,
             json.dumps(plan.environment)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )  # fmt: skip
    with Follower() as follower:
        position = 0
        while follower.steps_seen < 2 and supervisor.poll() is None:
            events, position = read_events(folder.events, position)
            follower.show(events)
            time.sleep(0.1)
    code = supervisor.poll()
    status = read_json(folder.status)
    if code not in (None, 0):
        print_line(f"\n{status.get('error') or 'the run ended before its first step'}")
        print_line(f"log: {folder.log}")
        return code
    print_line(f"\nrun   {status.get('id')}, process {supervisor.pid}")
    print_line(f"log   {folder.log}")
    print_line(f"follow it with  tail -f {folder.log}")
    print_line(f"stop it with    kill {supervisor.pid}")
    print_line(f"its exit code will be in {folder.status}")
    return 0


def main() -> int:
    """Supervise a run to its end; the program behind `start_detached`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    path, stamp, environment = sys.argv[1:]
    folder = RunFolder(Path(path), stamp)
    argv = command(folder.path, folder.accelerate_config, stamp)
    outcome = supervise(folder, argv, child_environment(json.loads(environment)))
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
