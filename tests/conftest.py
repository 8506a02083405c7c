"""Shared by all tests: the command line as a user runs it, and where real data lies."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k"
# A run that is as short as a run can be.
SHORT = (
    "training.max_steps=3",
    "training.logging_steps=1",
    "training.save_strategy=no",
    "training.eval_strategy=no",
    "training.per_device_train_batch_size=8",
    "training.gradient_checkpointing=false",
    "evaluation.exact_match=false",
    "launch.cpu_threads=1",
)


@dataclass
class Result:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class CommandLine:
    """Runs fai-rl's commands in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "WANDB_API_KEY": "",
            "WANDB_DISABLED": "",
        }

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-c", "import sys; from fai_rl.trainers.train import main; "
                "sys.exit(main())", *words]  # fmt: skip

    def train(self, *words: str, timeout: float = 300) -> Result:
        return self.run(self.argv(*words), timeout)

    def fai_rl(self, *words: str, timeout: float = 300) -> Result:
        program = "import sys; from fai_rl.trainers.main import main; sys.exit(main())"
        return self.run([sys.executable, "-c", program, *words], timeout)

    def run(self, argv: list[str], timeout: float) -> Result:
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def metrics(self, run: str) -> list[dict[str, float]]:
        lines = (self.folder / run / "metrics.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def losses(self, run: str) -> list[float]:
        return [entry["loss"] for entry in self.metrics(run) if "loss" in entry]


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def gsm8k() -> Path:
    if not GSM8K.is_dir():
        pytest.skip("the GSM8K files are not beside the checkout (../shared/data/gsm8k)")
    return GSM8K
