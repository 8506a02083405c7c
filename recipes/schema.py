"""Every key of a recipe that is ours, with its type, default and meaning.

The keys of `training` that are TRL's own are not listed here: they are read from the installed
TRL (see `config_reader`). What stands here makes the reference, the JSON schema and `fai-rl keys`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def key(default: Any, help: str, choices: Sequence[Any] | None = None) -> Any:
    """Declare a key: its default, what it means, and the values it may take."""
    metadata: dict[str, Any] = {"help": help}
    if choices is not None:
        metadata["choices"] = tuple(choices)
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class ModelConfig:
    """The model to train and the form it is loaded in."""

    base_model_name: str = key(
        "", "Model to train: a Hugging Face id, a local folder, or builtin:tiny. Required."
    )
    revision: str | None = key(None, "Branch, tag or commit of the model on the hub.")
    trust_remote_code: bool = key(
        False, "Run the Python code that the model's repository ships. Needs model.revision."
    )
    torch_dtype: str | None = key(
        None,
        "Type of the loaded weights. Unset: float32 when all weights are trained (autocast still "
        "computes in half precision), the device's half precision under LoRA or quantization.",
        choices=("auto", "bfloat16", "float16", "float32"),
    )
    attn_implementation: str | None = key(
        None, "Attention implementation by transformers' name: sdpa, eager, flash_attention_2, …"
    )
    use_flash_attention: bool = key(False, "Short for attn_implementation: flash_attention_2.")
    ignore_mismatched_sizes: bool = key(
        False, "Load weights whose shapes differ from the config's, newly initialised."
    )
    value_model_name: str | None = key(None, "Model the PPO critic starts from.")
    reward_model_name: str | None = key(None, "Sequence classifier that scores completions.")
    load_in_4bit: bool = key(False, "Quantize the frozen base to 4 bits (QLoRA). Needs use_lora.")
    load_in_8bit: bool = key(False, "Quantize the frozen base to 8 bits. Needs use_lora.")
    bnb_4bit_compute_dtype: str | None = key(
        None,
        "Type that 4-bit layers compute in. Unset: torch_dtype.",
        choices=("bfloat16", "float16", "float32"),
    )
    bnb_4bit_quant_type: str = key("nf4", "4-bit number format.", choices=("nf4", "fp4"))
    bnb_4bit_use_double_quant: bool = key(
        True, "Quantize the quantization constants too (0.4 bit per parameter less)."
    )
    use_lora: bool = key(False, "Train low-rank adapters (arXiv:2106.09685) on a frozen base.")
    lora_r: int = key(8, "Rank of the adapters.")
    lora_alpha: int = key(16, "Scale of the adapters: they are multiplied by lora_alpha / lora_r.")
    lora_dropout: float = key(0.05, "Dropout before the adapters, 0 to 1.")
    lora_target_modules: str | list[str] = key(
        "all-linear", "Layers that get adapters: names, one regular expression, or all-linear."
    )
    lora_exclude_modules: str | list[str] | None = key(
        None, "Layers that get none: names or one regular expression."
    )
    lora_bias: str = key("none", "Biases that are trained.", choices=("none", "all", "lora_only"))
    lora_modules_to_save: list[str] | None = key(
        None, "Modules trained whole beside the adapters, such as lm_head."
    )
    use_rslora: bool = key(False, "Scale by lora_alpha / sqrt(lora_r) (arXiv:2312.03732).")
    use_dora: bool = key(False, "Weight-decomposed LoRA (arXiv:2402.09353).")


@dataclass
class DatasetConfig:
    """One source of rows and how its columns are read."""

    name: str = key(
        "",
        "Hugging Face id, a local .json, .jsonl, .csv, .parquet or .txt file (also a folder or a "
        "* pattern of such files), or builtin:addition. A folder's files are told apart by split "
        "where their names say it (train*, test*). Required.",
    )
    split: str = key("train", "Split to read; slices such as train[:10%] work.")
    subset: str | None = key(None, "Subset (configuration) of a hub dataset.")
    revision: str | None = key(None, "Branch, tag or commit of a hub dataset.")
    prompt_column: str | None = key(None, "Column with the prompt: text, or a list of messages.")
    answer_column: str | None = key(None, "Column with the answer that is trained on.")
    chosen_column: str | None = key(None, "Column with the preferred answer (preference rows).")
    rejected_column: str | None = key(None, "Column with the other answer (preference rows).")
    messages_column: str | None = key(
        None, "Column with whole conversations: OpenAI messages or ShareGPT turns."
    )
    text_column: str | None = key(None, "Column with plain text, all of which is trained on.")
    dataset_columns: list[str] | None = key(
        None, "Columns that data.system_prompt, user_prompt and assistant_prompt refer to."
    )
    weight: float | None = key(
        None,
        "Share of this dataset in the mixture. Give it for all datasets or none; none means all "
        "rows of all datasets, shuffled by the trainer (a stream is shuffled within 1,000 rows).",
    )
    max_samples: int | None = key(None, "Use only this many rows, from the start.")


@dataclass
class DataConfig:
    """What is trained on."""

    datasets: list[DatasetConfig] = key([], "Sources of training rows. Required.")
    eval_datasets: list[DatasetConfig] = key([], "Sources of evaluation rows.")
    eval_size: float | None = key(
        None,
        "Cut an evaluation set off the training rows: below 1 a share, from 1 a number of rows.",
    )
    system_prompt: str | None = key(
        None,
        "System message put before every conversation. With dataset_columns alone: a str.format "
        "template for the whole training text.",
    )
    user_prompt: str | None = key(None, "str.format template of the user's turn.")
    assistant_prompt: str | None = key(
        None, "str.format template of the answer. Goes with user_prompt."
    )
    format: str = key(
        "auto",
        "Prompt and answer as chat turns through the model's chat template, or as plain text. "
        "auto: chat where the model has a template.",
        choices=("auto", "chat", "plain"),
    )
    max_length: int | None = key(
        None, "Longest sequence in tokens; the same as training.max_length."
    )
    max_prompt_length: int | None = key(
        None, "Longest prompt in tokens, where TRL has no such key."
    )
    max_bad_rows: float = key(
        0,
        "How many unreadable, empty or malformed rows of each dataset may be dropped before a run "
        "is refused: below 1 a share of its rows, from 1 a number of rows.",
    )
    max_row_bytes: int = key(
        1_000_000,
        "Rows larger than this count as malformed (a 10 MB row takes seconds to tokenize).",
    )
    streaming: bool = key(
        False, "Read rows while training instead of preparing them first. Needs training.max_steps."
    )
    dataset_num_proc: int | None = key(
        None,
        "Processes for TRL's packing; the same as training.dataset_num_proc. Tokenization uses the "
        "tokenizer's own threads instead (RAYON_NUM_THREADS).",
    )


@dataclass
class TrainingConfig:
    """Our own keys of `training`; every other key is the algorithm's TRL config's."""

    algorithm: str = key("", "How to train: sft, dpo, grpo, … Required.")
    output_dir: str | None = key(
        None, "Folder for checkpoints, logs and the final model. Unset: outputs/<recipe's name>."
    )
    deepspeed_config: str | None = key(
        None, "DeepSpeed configuration: a JSON file, or zero1, zero2, zero3 as shipped."
    )
    merge_adapter: bool = key(
        False, "Also save a copy of the model with the adapter merged into the weights."
    )


@dataclass
class EvaluationConfig:
    """Held-out answers, generated before and after training."""

    exact_match: bool = key(
        False, "Generate an answer to held-out prompts and count those that equal the reference."
    )
    num_samples: int = key(200, "Held-out rows to answer, from the start of the evaluation set.")
    max_new_tokens: int = key(256, "Longest answer, in tokens.")
    batch_size: int = key(64, "Prompts answered at once.")
    num_examples: int = key(3, "Questions shown with the answers before and after training.")


@dataclass
class LaunchConfig:
    """Processes and devices."""

    num_processes: int | None = key(
        None, "Processes, one per GPU; on CPU, data-parallel ones. --num-gpus sets it for GPUs."
    )
    strategy: str = key(
        "auto",
        "How several processes share the model. auto: single for one process, ddp for several; "
        "deepspeed: as the file in training.deepspeed_config says.",
        choices=("auto", "single", "ddp", "fsdp2", "zero1", "zero2", "zero3", "deepspeed"),
    )
    cpu_threads: int | None = key(
        None, "Threads per process on CPU. Unset: the machine's cores divided by the processes."
    )


@dataclass
class WandbConfig:
    """Weights & Biases tracking."""

    enabled: bool = key(False, "Log to Weights & Biases.")
    project: str | None = key(None, "Project name.")
    entity: str | None = key(None, "User or team.")
    name: str | None = key(None, "Name of the run. Unset: the output folder's name.")
    tags: list[str] = key([], "Tags of the run.")
    api_key: str | None = key(
        None, "Not stored in a recipe: set WANDB_API_KEY, or use ${oc.env:WANDB_API_KEY}."
    )
    base_url: str | None = key(None, "Address of a self-hosted server.")


SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "evaluation": EvaluationConfig,
    "launch": LaunchConfig,
    "wandb": WandbConfig,
}
REQUIRED = ("model.base_model_name", "data.datasets", "training.algorithm")
