"""What is said of keys that have no effect, and of numbers at the edge of their range."""

import pytest

from fai_rl.recipes.load import load
from fai_rl.utils.errors import RecipeError


def tiny(*words: str):
    return load("sft/tiny_cpu", list(words))


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (("model.lora_r=4",), "model.lora_r has no effect without model.use_lora"),
        (
            ("model.lora_r=4", "model.lora_alpha=8"),
            "model.lora_r, model.lora_alpha have no effect without model.use_lora",
        ),
        (
            ("model.bnb_4bit_quant_type=fp4",),
            "model.bnb_4bit_quant_type has no effect without model.load_in_4bit",
        ),
        (("data.max_prompt_length=10",), "data.max_prompt_length has no effect on sft"),
        (("model.value_model_name=x",), "model.value_model_name has no effect on sft"),
        (
            ("training.eval_steps=5", "data.eval_datasets=[]", "evaluation.exact_match=false"),
            "training.eval_steps has no effect without an evaluation set",
        ),
        (("training.save_only_model=true",), "this run can't be resumed"),
        (("model.torch_dtype=float16",), "set training.adam_epsilon=1e-4"),
    ],
)
def test_what_has_no_effect_is_said(words: tuple[str, ...], note: str):
    assert any(note in said for said in tiny(*words).notes)


@pytest.mark.parametrize("words", [("model.lora_r=8",), ("model.lora_r=4", "model.use_lora=true")])
def test_what_changes_nothing_or_has_an_effect_is_not(words: tuple[str, ...]):
    assert not tiny(*words).notes


@pytest.mark.parametrize(
    "word",
    [
        "training.max_steps=-1",
        "training.warmup_steps=0.1",
        "training.save_steps=0.5",
        "training.save_total_limit=null",
        "training.max_length=null",
        "training.learning_rate=0",
        "data.max_bad_rows=0.01",
        "model.lora_dropout=0",
    ],
)
def test_numbers_with_a_meaning_are_taken(word: str):
    assert tiny(word)


@pytest.mark.parametrize(
    "word",
    [
        "training.max_steps=-2",
        "training.warmup_steps=1.5",
        "training.save_steps=0",
        "training.save_total_limit=0",
        "training.seed=4294967296",
        "training.seed=-1",
        "training.weight_decay=-0.1",
        "training.learning_rate=.nan",
        "data.max_bad_rows=-1",
        "data.max_row_bytes=0",
        "data.dataset_num_proc=0",
        "data.datasets[0].max_samples=0",
        "model.lora_alpha=0",
        "launch.cpu_threads=0",
        "evaluation.max_new_tokens=0",
    ],
)
def test_numbers_without_one_are_refused(word: str):
    with pytest.raises(RecipeError) as caught:
        tiny(word)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].where == f"override {word}"


def test_the_two_names_of_one_setting_may_agree():
    assert tiny("data.max_length=64", "training.max_length=64").trl["max_length"] == 64


def test_flash_attention_has_a_short_name():
    assert tiny("model.use_flash_attention=true").model.attn_implementation == "flash_attention_2"


def test_a_kernel_of_the_hub_is_an_attention_implementation():
    name = "kernels-community/flash-attn2"
    assert tiny(f"model.attn_implementation={name}").model.attn_implementation == name


@pytest.mark.parametrize(
    ("words", "report_to"),
    [
        ((), "none"),
        (("wandb.enabled=true",), "wandb"),
        (("training.report_to=tensorboard",), "tensorboard"),
    ],
)
def test_trackers_are_chosen_by_the_recipe_alone(words: tuple[str, ...], report_to: str):
    assert tiny(*words).trl["report_to"] == report_to


def test_a_schedule_without_what_it_needs_is_refused():
    words = ["training.lr_scheduler_type=warmup_stable_decay"]
    with pytest.raises(RecipeError, match="needs num_decay_steps"):
        load("sft/tiny_cpu", words)
    load("sft/tiny_cpu", [*words, "training.lr_scheduler_kwargs={num_decay_steps: 5}"])


def test_a_folder_without_a_model_is_refused(tmp_path):
    words = [f"model.base_model_name={tmp_path}"]
    with pytest.raises(RecipeError, match=r"config.json is missing"):
        load("sft/tiny_cpu", words)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(RecipeError, match="it holds an adapter"):
        load("sft/tiny_cpu", words)
