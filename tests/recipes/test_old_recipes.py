"""Recipes of the original FAI-RL load unchanged."""

from pathlib import Path

import pytest

from fai_rl.recipes.load import load
from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.errors import RecipeError

MODEL = """\
model:
  base_model_name: "meta-llama/Llama-3.2-3B-Instruct"
  torch_dtype: "bfloat16"
  low_cpu_mem_usage: true
  load_in_8bit: false
  load_in_4bit: true
  use_flash_attention: false
  bnb_4bit_compute_dtype: "bfloat16"
  bnb_4bit_quant_type: "nf4"
  bnb_4bit_use_double_quant: true
  ignore_mismatched_sizes: false
  use_lora: true
  lora_r: 16
  lora_alpha: 32
  lora_dropout: 0.05
  lora_target_modules: ["q_proj", "k_proj", "v_proj", "o_proj"]
  lora_exclude_modules: null
  lora_bias: "none"
  freeze_vision_tower: true
  s3_region: null
  s3_endpoint_url: null
"""
TRAINING = """\
  per_device_train_batch_size: 1
  gradient_accumulation_steps: 16
  learning_rate: 1.0e-5
  num_train_epochs: 3
  max_steps: -1
  warmup_steps: 50
  logging_steps: 10
  save_steps: 500
  eval_steps: 500
  bf16: true
  fp16: false
  gradient_checkpointing: true
  deepspeed_config: "configs/deepspeed/zero3_config.json"
  dataloader_num_workers: 0
  dataloader_pin_memory: false
  dataloader_drop_last: true
  ddp_find_unused_parameters: false
  save_only_model: true
  prediction_loss_only: true
"""
REST = """\
wandb:
  enabled: false
  project: "llama3-3b"
  entity: "team"
  name: "run"
  tags: ["llama3", "3b"]
  api_key: ""
  base_url: null
s3:
  enabled: false
  bucket: "models"
  prefix: ""
  region: "us-west-2"
  endpoint_url: null
  upload_final_model: true
  upload_checkpoints: false
  delete_local_after_upload: false
  uploader: "boto3"
"""
SFT_TEMPLATE = """\
data:
  datasets:
    - name: "nvidia/Aegis-AI-Content-Safety-Dataset-2.0"
      split: "train"
      dataset_columns: ["prompt", "prompt_label"]
      s3_region: null
  system_prompt: |
    Classify the prompt: {prompt}
    Answer: {prompt_label}
  max_length: 2048
  remove_unused_columns: false
  dataset_num_proc: 4
"""
SFT_FILE = """\
data:
  datasets:
    - name: "{folder}/train.jsonl"
      prompt_column: "question"
      answer_column: "answer"
      image_columns: null
      video_columns: []
  max_length: 2048
"""
SFT_TURNS = """\
data:
  datasets:
    - name: "openai/gsm8k"
      subset: "main"
      split: "train"
      dataset_columns: ["question", "answer"]
  system_prompt: "You are a tutor."
  user_prompt: "{question}"
  assistant_prompt: "{answer}"
  max_length: 1024
"""
CPT = """\
data:
  datasets:
    - name: "wikimedia/wikipedia"
      subset: "20231101.en"
      text_column: "text"
  max_length: 4096
"""
DPO = """\
data:
  datasets:
    - name: "Anthropic/hh-rlhf"
      split: "train"
      prompt_column: "prompt"
      chosen_column: "chosen"
      rejected_column: "rejected"
  max_length: 2048
  max_prompt_length: 1024
  remove_unused_columns: false
"""
GRPO = """\
data:
  datasets:
    - name: "openai/gsm8k"
      subset: "main"
      split: "train"
      prompt_column: "question"
      answer_column: "answer"
  max_length: 2048
  max_prompt_length: 1024
  system_prompt: "Think, then answer."
  dataset_num_proc: 1
"""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("train.jsonl").write_text('{"question": "1+1", "answer": "2"}\n')

    def old(algorithm: str, data: str, more: str = "", rest: str = REST) -> Recipe:
        head = f'training:\n  output_dir: "models/run"\n  algorithm: "{algorithm}"\n'
        data = data.replace("{folder}", str(tmp_path))
        Path("old.yaml").write_text(MODEL + data + head + TRAINING + more + rest)
        return load("old.yaml", abilities=frozenset({"gpu", "gpu-bf16"}))

    return old


def test_sft_with_one_template_for_the_whole_text(old):
    recipe = old("sft", SFT_TEMPLATE)
    assert recipe.data.system_prompt.endswith("Answer: {prompt_label}\n")
    assert recipe.data.datasets[0].dataset_columns == ["prompt", "prompt_label"]
    assert recipe.trl["remove_unused_columns"] is False
    assert recipe.trl["max_length"] == 2048
    assert recipe.trl["dataset_num_proc"] == 4


def test_sft_from_a_local_file(old):
    assert old("sft", SFT_FILE).data.datasets[0].answer_column == "answer"


def test_sft_with_templates_for_both_turns(old):
    recipe = old("sft", SFT_TURNS)
    assert (recipe.data.user_prompt, recipe.data.assistant_prompt) == ("{question}", "{answer}")


def test_cpt_is_pretraining(old):
    recipe = old("cpt", CPT)
    assert recipe.training.algorithm == "pretrain"
    assert recipe.trl["packing"] is True


def test_dpo(old):
    recipe = old("dpo", DPO, "  beta: 0.1\n")
    assert recipe.trl["beta"] == 0.1
    assert recipe.trl["max_length"] == 2048
    assert recipe.data.max_prompt_length == 1024


GRPO_KEYS = "  num_generations: 8\n  beta: 0\n  epsilon: 3.0e-4\n  epsilon_high: 4.0e-4\n"
GSPO_KEYS = GRPO_KEYS + '  steps_per_generation: 4\n  importance_sampling_level: "sequence"\n'


@pytest.mark.parametrize(("algorithm", "more"), [("grpo", GRPO_KEYS), ("gspo", GSPO_KEYS)])
def test_grpo_and_gspo_keep_lengths_that_trl_has_no_key_for(old, algorithm: str, more: str):
    recipe = old(algorithm, GRPO, more)
    assert (recipe.data.max_length, recipe.data.max_prompt_length) == (2048, 1024)
    assert not {"max_length", "dataset_num_proc"} & set(recipe.trl)
    assert recipe.trl["num_generations"] == 8


def test_what_means_nothing_here_is_left_out_of_the_resolved_recipe(old):
    text = old("sft", SFT_TEMPLATE).as_yaml()
    for key in ("low_cpu_mem_usage", "freeze_vision_tower", "s3", "uploader"):
        assert key not in text


def test_a_run_that_can_t_be_resumed_is_said(old):
    assert any("can't be resumed" in note for note in old("sft", SFT_TURNS).notes)


def test_old_keys_that_ask_for_what_isn_t_there_are_refused(old):
    with pytest.raises(RecipeError) as caught:
        old("sft", SFT_TEMPLATE.replace("s3_region: null", "s3_region: eu"), rest="")
    assert "data.datasets[0].s3_region: eu can't be had here" in str(caught.value)
    with pytest.raises(RecipeError, match="leave s3\\.enabled false"):
        old("sft", SFT_TURNS, rest="s3:\n  enabled: true\n")


def test_s3_can_be_disabled_by_an_override(old, tmp_path: Path):
    with pytest.raises(RecipeError):
        old("sft", SFT_TURNS, rest="s3:\n  enabled: true\n")
    assert load("old.yaml", ["s3.enabled=false"]).training.algorithm == "sft"
