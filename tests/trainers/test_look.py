"""What the command knows of model and data before any process is started."""

import json

from fai_rl.trainers.train import main

CONVERSATION = {
    "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
}
RECIPE = """\
model: {base_model_name: ./model}
data: {datasets: [{name: rows.jsonl}]}
training: {algorithm: sft}
"""


def test_conversations_for_a_model_without_a_chat_template_are_refused(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text(json.dumps(CONVERSATION) + "\n")
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    assert main(["--recipe", "r.yaml", "--check"]) == 2
    out = capsys.readouterr().out
    assert "./model has no chat template" in out and "training.chat_template_path" in out
    (tmp_path / "model/chat_template.jinja").write_text("{{ messages }}")
    assert main(["--recipe", "r.yaml", "--check"]) == 0


def test_an_evaluation_set_larger_than_the_data_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["data.eval_datasets=[]", "data.eval_size=20000", "--check"]
    assert main(["--recipe", "sft/tiny_cpu", *words]) == 2
    assert "there are 7,304 rows" in capsys.readouterr().err


def test_long_packed_batches_without_flash_attention_are_warned_of(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--recipe", "sft/tiny_cpu", "training.packing=true", "--check"]) == 0
    out = capsys.readouterr().out
    assert "one row" not in out and "128 packs are a row of 131,072 tokens" in out


def test_a_hub_out_of_reach_is_known_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["--recipe", "sft/llama3_3B_lora", "--check"]) == 0
    out = capsys.readouterr().out
    assert "127.0.0.1 can't be reached" in out
    assert "meta-llama/Llama-3.2-3B-Instruct, openai/gsm8k must be in its cache" in out
    assert main(["--recipe", "sft/llama3_3B_lora", "--dry-run"]) == 0
    assert "HF_HUB_OFFLINE=1" in capsys.readouterr().out
