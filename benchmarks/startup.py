"""Seconds to the first step, and steps a second, against a hand-written TRL script and `trl sft`.

All train the built-in model on the same rows with the same settings; rounds alternate, so that
whatever else the machine does meets all of them. Run: `python benchmarks/startup.py [--rounds 3]`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results_file import entry, write

STEPS = 60
BATCH = 8
HAND_WRITTEN = f"""
import json, sys, time
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

class Clock(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        with open(sys.argv[2], "a") as file:
            file.write(json.dumps({{"step": state.global_step, "time": time.time()}}) + "\\n")

model, _, output = sys.argv[1:]
rows = [json.loads(line) for line in open("rows.jsonl")]
SFTTrainer(
    model=model,
    args=SFTConfig(output_dir=output, max_steps={STEPS}, per_device_train_batch_size={BATCH},
                   use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
                   disable_tqdm=True, save_strategy="no", max_length=64),
    train_dataset=Dataset.from_list(rows),
    processing_class=AutoTokenizer.from_pretrained(model),
    callbacks=[Clock()],
).train()
"""


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = prepare(work)
        times: dict[str, list[tuple[float, float]]] = {}
        for number in range(rounds):
            for name, run in RUNS.items():
                times.setdefault(name, []).append(run(work, model, number))
                print(f"round {number + 1}  {name:28} first step after {times[name][-1][0]:6.2f} s")
    report(times)


def prepare(work: Path) -> str:
    """Write the model and the rows that all use."""
    from fai_rl.trainers.builtin_data import builtin_rows
    from fai_rl.trainers.builtin_model import build_model, build_tokenizer

    model = work / "model"
    build_model().save_pretrained(model)
    build_tokenizer().save_pretrained(model)
    rows = [
        {
            "prompt": [{"role": "user", "content": row["question"]}],
            "completion": [{"role": "assistant", "content": row["answer"]}],
        }
        for row in builtin_rows("addition", "train")
    ]
    (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (work / "pairs.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in builtin_rows("addition", "train"))
    )
    (work / "hand.py").write_text(HAND_WRITTEN)
    return str(model)


def _start(argv: list[str], work: Path, **variables: str) -> float:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **variables}
    start = time.time()
    done = subprocess.run(
        argv, cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{argv[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return start


def hand(
    work: Path, model: str, number: int, launcher: tuple[str, ...] = ()
) -> tuple[float, float]:
    """Run the hand-written script; return seconds to the first step and steps a second after it."""
    clock = work / f"clock-{len(launcher)}-{number}"
    start = _start([sys.executable, *launcher, "hand.py", model, str(clock), "out"], work)
    lines = [json.loads(line) for line in clock.read_text().splitlines()]
    pace = (lines[-1]["step"] - lines[0]["step"]) / (lines[-1]["time"] - lines[0]["time"])
    return lines[0]["time"] - start, pace


def hand_under_accelerate(work: Path, model: str, number: int) -> tuple[float, float]:
    """Run the same script as accelerate's users do."""
    return hand(work, model, number, ("-m", "accelerate.commands.launch", "--cpu"))


def trl_sft(work: Path, model: str, number: int) -> tuple[float, float]:
    """Run `trl sft`; its own log times the steps."""
    output = work / f"trl-{number}"
    argv = [
        str(Path(sys.executable).with_name("trl")), "sft", "--model_name_or_path", model,
        "--dataset_name", "json", "--output_dir", str(output), "--max_steps", str(STEPS),
        "--per_device_train_batch_size", str(BATCH), "--use_cpu", "--bf16", "false",
        "--gradient_checkpointing", "false", "--report_to", "none", "--save_strategy", "no",
        "--max_length", "64", "--logging_steps", "1", "--disable_tqdm", "true",
    ]  # fmt: skip
    config = work / "trl.yaml"
    config.write_text(
        "datasets:\n  - path: json\n    data_files: rows.jsonl\n    split: train\n",
        encoding="utf-8",
    )
    argv = [word for word in argv if word not in ("--dataset_name", "json")] + [
        "--config",
        str(config),
    ]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    start = time.time()
    process = subprocess.Popen(
        argv, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    stamps, lines = [], []
    for line in process.stdout:
        lines.append(line)
        if "'loss'" in line:
            stamps.append(time.time())
    if process.wait() or len(stamps) < 2:
        sys.exit(f"trl sft failed:\n{''.join(lines)[-3000:]}")
    return stamps[0] - start, (len(stamps) - 1) / (stamps[-1] - stamps[0])


def ours(work: Path, model: str, number: int) -> tuple[float, float]:
    """Run fai-rl-train on the same rows."""
    argv = [
        str(Path(sys.executable).with_name("fai-rl-train")), "--recipe", "sft/tiny_cpu",
        f"model.base_model_name={model}", "data.datasets[0].name=pairs.jsonl",
        "data.eval_datasets=[]",
        "evaluation.exact_match=false", "training.eval_strategy=no", f"training.max_steps={STEPS}",
        f"training.per_device_train_batch_size={BATCH}", "training.save_strategy=no",
        "training.logging_steps=10", "training.max_length=64",
        "training.gradient_checkpointing=false", "launch.cpu_threads=1",
        f"training.output_dir=ours-{number}",
    ]  # fmt: skip
    start = _start(argv, work)
    (events,) = (work / f"ours-{number}" / "logs").glob("events_*.jsonl")
    return _from_events(events, start)


def worker_by_hand(work: Path, model: str, number: int) -> tuple[float, float]:
    """Start fai-rl's worker without the command and `accelerate launch`, on the folder it left."""
    folder = work / f"ours-{number}"
    stamp = "by_hand"
    argv = [
        sys.executable, "-m", "fai_rl.trainers.worker", "--run-folder", str(folder),
        "--stamp", stamp,
    ]  # fmt: skip
    start = _start(argv, work, ACCELERATE_USE_CPU="true")
    return _from_events(folder / "logs" / f"events_{stamp}.jsonl", start)


def _from_events(path: Path, start: float) -> tuple[float, float]:
    steps = [json.loads(line) for line in path.read_text().splitlines()]
    steps = [event for event in steps if event["kind"] == "step" and event["step"] > 0]
    pace = (steps[-1]["step"] - steps[0]["step"]) / (steps[-1]["time"] - steps[0]["time"])
    return steps[0]["time"] - start, pace


RUNS = {
    "hand-written": hand,
    "hand-written, accelerate": hand_under_accelerate,
    "trl sft": trl_sft,
    "fai-rl-train": ours,
    "fai-rl's worker by hand": worker_by_hand,
}


def report(times: dict[str, list[tuple[float, float]]]) -> None:
    """Print and write medians and ratios."""
    entries = [
        entry(f"seconds to first step: {name}", [first for first, _ in pairs], None, "lower")
        for name, pairs in times.items()
    ]
    own = times["fai-rl-train"]
    for name, target in (
        ("hand-written", 1.5),
        ("hand-written, accelerate", 1.1),
        ("trl sft", 1.0),
        ("fai-rl's worker by hand", 1.5),
    ):
        ratios = [mine[0] / theirs[0] for mine, theirs in zip(own, times[name], strict=True)]
        entries.append(entry(f"first step: fai-rl-train ÷ {name}", ratios, target, "lower"))
    pace = [mine[1] / theirs[1] for mine, theirs in zip(own, times["hand-written"], strict=True)]
    entries.append(entry("steps a second: fai-rl-train ÷ hand-written", pace, 1.0, "higher"))
    write("startup", entries)


if __name__ == "__main__":
    main()
