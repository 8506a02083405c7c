"""Whole runs through the command line, on the built-in model and real data."""

import json

import pytest

from tests.conftest import SHORT, CommandLine

GSM8K_WORDS = (
    "data.datasets[0].split=train[:64]",
    "data.eval_datasets=[]",
    "training.max_length=512",
)


def on_gsm8k(gsm8k) -> list[str]:
    return [f"data.datasets[0].name={gsm8k / 'train.jsonl'}", *GSM8K_WORDS]


def test_the_tiny_recipe_learns_addition_and_says_so(cli: CommandLine):
    result = cli.train("--recipe", "sft/tiny_cpu", timeout=600)
    assert result.code == 0, result.text
    run = cli.folder / "outputs" / "tiny_cpu"
    line = next(line for line in result.out.splitlines() if "held-out exact match" in line)
    before, after = (float(word.rstrip("%,")) for word in line.split() if "%" in word)
    assert before < 5
    assert after >= 90
    assert "question" in result.out and "correct" in result.out
    assert str(run.relative_to(cli.folder) / "final") in result.out
    assert (run / "recipe.yaml").exists() and list((run / "logs").glob("training_*.log"))
    # What was saved answers as what was trained did.
    again = cli.fai_rl("evaluate", "outputs/tiny_cpu", "--samples", "200")
    assert again.code == 0, again.text
    score = float(again.out.split("match: ")[1].split("%")[0])
    assert abs(score - after) <= 5

    refused = cli.train("--recipe", "sft/tiny_cpu")
    assert refused.code == 2
    assert "finished run" in refused.err and "--overwrite" in refused.err


@pytest.mark.parametrize("profile", ["cpu-fp32", "cpu-bf16", "cpu-fp16", "lora", "qlora", "int8"])
@pytest.mark.parametrize("processes", [1, 2])
def test_real_rows_train_in_every_cpu_profile(cli: CommandLine, gsm8k, profile, processes):
    if profile in ("qlora", "int8"):
        pytest.importorskip("bitsandbytes", reason="the quant extra is not installed")
    result = cli.train(
        "--recipe", "sft/tiny_cpu", "--profile", profile, *SHORT, *on_gsm8k(gsm8k),
        f"launch.num_processes={processes}", "training.output_dir=run",
    )  # fmt: skip
    assert result.code == 0, result.text
    losses = cli.losses("run")
    assert len(losses) == 3
    assert losses[-1] < losses[0] + 0.05
    adapter = (cli.folder / "run/final/adapter_config.json").exists()
    assert adapter == (profile not in ("cpu-fp32", "cpu-bf16"))
    assert "64 rows read, 64 kept" in result.out


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "zero1", "zero2", "zero3"])
def test_two_processes_train_one_model(cli: CommandLine, strategy):
    """The losses are one process's with the same global batch, so gradients are shared."""
    if strategy.startswith("zero"):
        pytest.importorskip("deepspeed", reason="the quant extra is not installed")
    two = cli.train(
        "--recipe", "sft/tiny_cpu", *SHORT, "training.per_device_train_batch_size=4",
        "launch.num_processes=2", f"launch.strategy={strategy}", "training.output_dir=two",
    )  # fmt: skip
    assert two.code == 0, two.text
    one = cli.train("--recipe", "sft/tiny_cpu", *SHORT, "training.output_dir=one")
    assert one.code == 0, one.text
    assert cli.losses("two") == pytest.approx(cli.losses("one"), abs=1e-4)

    from safetensors.torch import load_file

    weights = [load_file(cli.folder / run / "final/model.safetensors") for run in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        assert tensor.shape == weights[1][name].shape
        assert (tensor - weights[1][name]).abs().max() < 1e-3


def test_an_adapter_is_saved_as_one_and_merged_on_request(cli: CommandLine):
    pytest.importorskip("bitsandbytes", reason="the quant extra is not installed")
    result = cli.train(
        "--recipe", "sft/tiny_cpu", "--profile", "qlora", *SHORT, "training.merge_adapter=true",
        "training.output_dir=run",
    )  # fmt: skip
    assert result.code == 0, result.text
    config = json.loads((cli.folder / "run/final/adapter_config.json").read_text())
    assert config["peft_type"] == "LORA"

    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(cli.folder / "run/merged")
    assert merged.config.model_type in ("llama", "qwen3")
    assert not hasattr(merged.config, "quantization_config")


def test_text_is_pretrained_on_packed_and_streamed(cli: CommandLine):
    text = cli.folder / "corpus.txt"
    text.write_text("".join(f"The number after {i} is {i + 1}.\n" for i in range(400)))
    common = (
        "model.base_model_name=builtin:tiny", "data.datasets=[{name: corpus.txt}]",
        "training.algorithm=pretrain", "training.max_length=128", "training.max_steps=3",
        "training.logging_steps=1", "training.per_device_train_batch_size=4",
        "training.save_strategy=no", "launch.cpu_threads=1",
    )  # fmt: skip
    (cli.folder / "empty.yaml").write_text("{}\n")
    packed = cli.train("--recipe", "empty.yaml", *common, "training.output_dir=packed")
    assert packed.code == 0, packed.text
    streamed = cli.train(
        "--recipe", "empty.yaml", *common, "training.packing=false", "data.streaming=true",
        "training.output_dir=streamed",
    )  # fmt: skip
    assert streamed.code == 0, streamed.text
    assert len(cli.losses("packed")) == len(cli.losses("streamed")) == 3


def test_training_from_python_returns_the_run(tmp_path, monkeypatch):
    from fai_rl.trainers import train

    monkeypatch.chdir(tmp_path)
    run = train("sft/tiny_cpu", *SHORT, "training.logging_steps=2")
    assert run.model == tmp_path / "outputs/tiny_cpu/final"
    losses = {entry["step"]: entry["loss"] for entry in run.history if "loss" in entry}
    assert list(losses) == [2, 3]  # the last step is logged in any case
    assert run.metrics["loss"] == losses[3]


def test_wandb_without_a_key_goes_on_offline_and_leaks_nothing(cli: CommandLine):
    cli.environment["CANARY_TOKEN"] = "canary-0123456789"
    result = cli.train(
        "--recipe", "sft/tiny_cpu", *SHORT, "wandb.enabled=true", "wandb.project=test",
        "training.output_dir=run",
    )  # fmt: skip
    assert result.code == 0, result.text
    assert "no key" in result.out and "offline" in result.out
    run = cli.folder / "run"
    assert list((run / "wandb").glob("offline-run-*"))
    for path in run.rglob("*"):
        if path.is_file():
            assert b"canary-0123456789" not in path.read_bytes(), path


def test_wandb_with_a_server_out_of_reach_goes_on_offline(cli: CommandLine):
    cli.environment["WANDB_API_KEY"] = key = "0123456789" * 4
    result = cli.train(
        "--recipe", "sft/tiny_cpu", *SHORT, "wandb.enabled=true",
        "wandb.base_url=http://127.0.0.1:9", "training.output_dir=run",
    )  # fmt: skip
    assert result.code == 0, result.text
    assert "127.0.0.1:9 can't be reached" in result.out and "offline" in result.out
    for path in (cli.folder / "run").rglob("*"):
        assert not path.is_file() or key.encode() not in path.read_bytes(), path


def test_a_loss_that_is_no_number_stops_the_run(cli: CommandLine):
    result = cli.train(
        "--recipe", "sft/tiny_cpu", *SHORT, "training.learning_rate=1.0e+30",
        "training.max_grad_norm=0", "training.max_steps=20", "training.output_dir=run",
    )  # fmt: skip
    assert result.code == 1
    assert "the loss is" in result.text and "learning_rate" in result.text
    assert not (cli.folder / "run/final").exists()


def test_a_prompt_longer_than_max_length_is_said(cli: CommandLine):
    rows = [{"question": "x" * 40, "answer": "y"}] * 2 + [{"question": "x", "answer": "y"}] * 20
    path = cli.folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli.train(
        "--recipe", "sft/tiny_cpu", *SHORT, "data.datasets[0].name=rows.jsonl",
        "data.eval_datasets=[]", "training.max_length=16", "training.output_dir=run",
    )  # fmt: skip
    assert result.code == 0, result.text
    assert "2 rows are longer than training.max_length=16" in result.out
    assert "2 rows were dropped: no token to train on was left" in result.out
    assert "rows.jsonl:1" in result.out


def test_every_answer_beyond_max_length_is_refused(cli: CommandLine):
    path = cli.folder / "rows.jsonl"
    path.write_text((json.dumps({"question": "x" * 40, "answer": "y"}) + "\n") * 4)
    result = cli.train(
        "--recipe", "sft/tiny_cpu", *SHORT, "data.datasets[0].name=rows.jsonl",
        "data.eval_datasets=[]", "training.max_length=16", "training.output_dir=run",
    )  # fmt: skip
    assert result.code == 2
    assert "none of its 4 rows has a token to train on" in result.text
    assert "training.max_length=16" in result.text
