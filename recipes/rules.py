"""What must hold between the keys of a recipe, whatever the machine."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from fai_rl.recipes import ranges
from fai_rl.recipes.config_reader import config_keys
from fai_rl.recipes.recipe import Recipe
from fai_rl.recipes.schema import DatasetConfig, ModelConfig
from fai_rl.utils.errors import Problem
from fai_rl.utils.suggest import did_you_mean

# transformers' own names; anything else it takes is a kernel's repository on the hub.
_ATTENTION = (
    "eager", "sdpa", "flex_attention",
    "flash_attention_2", "flash_attention_3", "flash_attention_4",
)  # fmt: skip
DATA_FILES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt")


def check(recipe: Recipe) -> list[Problem]:
    """Settle keys that have two names, note what is ignored, and return what contradicts.

    Args:
        recipe: Changed in place: `data.max_length` becomes TRL's `max_length`, and so on.
    """
    problems = [*_two_names(recipe), *_model(recipe), *_data(recipe), *_training(recipe)]
    problems.extend(ranges.check(recipe))
    _wandb(recipe)
    recipe.notes.extend(_ignored(recipe))
    return problems


def _problem(recipe: Recipe, key: str, message: str, hint: str | None = None) -> Problem:
    return Problem(message, recipe.where(key), hint)


def _two_names(recipe: Recipe) -> Iterator[Problem]:
    """Let `data.max_length` and `data.dataset_num_proc` stand for TRL's keys of that name."""
    known = config_keys(recipe.algorithm.config)
    for key in ("max_length", "dataset_num_proc"):
        given = getattr(recipe.data, key)
        if given is None or key not in known:
            continue
        if key in recipe.trl and recipe.trl[key] != given:
            yield _problem(
                recipe,
                f"data.{key}",
                f"data.{key} is {given} and training.{key} is {recipe.trl[key]}",
                "they are one setting: keep one of them",
            )
        if key not in recipe.trl:
            recipe.trl[key] = given
            recipe.origin.setdefault(f"training.{key}", recipe.where(f"data.{key}") or "")
    model = recipe.model
    if model.use_flash_attention:
        if model.attn_implementation not in (None, "flash_attention_2"):
            yield _problem(
                recipe,
                "model.use_flash_attention",
                f"model.use_flash_attention contradicts attn_implementation "
                f"{model.attn_implementation}",
                "keep one of them",
            )
        model.attn_implementation = "flash_attention_2"


def _model(recipe: Recipe) -> Iterator[Problem]:
    model = recipe.model
    if model.load_in_4bit and model.load_in_8bit:
        yield _problem(
            recipe,
            "model.load_in_8bit",
            "model.load_in_4bit and model.load_in_8bit are both true",
            "keep one of them",
        )
    elif (model.load_in_4bit or model.load_in_8bit) and not model.use_lora:
        key = "model.load_in_4bit" if model.load_in_4bit else "model.load_in_8bit"
        yield _problem(
            recipe,
            key,
            f"{key} without model.use_lora: quantized weights can't be trained",
            "set model.use_lora=true to train adapters on them, or load unquantized weights",
        )
    if model.trust_remote_code and not model.revision and not _is_local(model.base_model_name):
        yield _problem(
            recipe,
            "model.trust_remote_code",
            "model.trust_remote_code runs the repository's code, whatever it becomes",
            "pin what you have read: set model.revision to a commit",
        )
    attention = model.attn_implementation
    if attention and "/" not in attention and attention not in _ATTENTION:
        yield _problem(
            recipe,
            "model.attn_implementation",
            f"unknown model.attn_implementation {attention}",
            did_you_mean(attention, _ATTENTION) or f"there are {', '.join(_ATTENTION)}",
        )
    name = model.base_model_name
    if name.startswith((".", "/", "~")) and not _is_local(name):
        yield _problem(
            recipe,
            "model.base_model_name",
            f"model.base_model_name: there is no folder {name}",
            f"relative paths start at {Path.cwd()}",
        )
    elif os.path.isdir(folder := os.path.expanduser(name)) and not os.path.isfile(
        os.path.join(folder, "config.json")
    ):
        adapter = os.path.isfile(os.path.join(folder, "adapter_config.json"))
        yield _problem(
            recipe,
            "model.base_model_name",
            f"model.base_model_name: the folder {name} holds no model: config.json is missing",
            "it holds an adapter: name a merged model (training.merge_adapter makes one)"
            if adapter
            else "name a folder that save_pretrained wrote, such as a run's final",
        )
    elif "://" in name:
        yield _problem(
            recipe,
            "model.base_model_name",
            f"model.base_model_name: models are not read from {name.split(':')[0]} addresses",
            "copy the model folder here with your own tool and give its path",
        )
    elif name.startswith(("builtin:", "builtin/")) and name != "builtin:tiny":
        yield _problem(
            recipe,
            "model.base_model_name",
            f"no built-in model {name}",
            "did you mean builtin:tiny?",
        )


def _is_local(name: str) -> bool:
    return name.startswith("builtin:") or os.path.isdir(os.path.expanduser(name))


def _data(recipe: Recipe) -> Iterator[Problem]:
    data = recipe.data
    if bool(data.user_prompt) != bool(data.assistant_prompt):
        given = "user_prompt" if data.user_prompt else "assistant_prompt"
        other = "assistant_prompt" if data.user_prompt else "user_prompt"
        yield _problem(
            recipe,
            f"data.{given}",
            f"data.{given} without data.{other}",
            "the two make one row: give both or neither",
        )
    for kind in ("datasets", "eval_datasets"):
        entries: list[DatasetConfig] = getattr(data, kind)
        weighted = [entry.weight is not None for entry in entries]
        if any(weighted) and not all(weighted):
            yield _problem(
                recipe,
                f"data.{kind}",
                f"only some of data.{kind} have a weight",
                "give every dataset a weight, or none to use all rows",
            )
        for index, entry in enumerate(entries):
            where = f"data.{kind}[{index}]"
            if entry.weight is not None and entry.weight <= 0:
                yield _problem(recipe, f"{where}.weight", f"{where}.weight must be above 0")
            if entry.max_samples is not None and entry.max_samples < 1:
                yield _problem(
                    recipe, f"{where}.max_samples", f"{where}.max_samples must be at least 1"
                )
            if entry.answer_column and not entry.prompt_column and not entry.messages_column:
                yield _problem(
                    recipe,
                    f"{where}.answer_column",
                    f"{where} has an answer_column but no prompt_column",
                    "name the column that holds the prompt, or call it text_column to train on all "
                    "of a column",
                )
            yield from _local_file(recipe, where, entry.name)
    if data.eval_size is not None and data.eval_datasets:
        yield _problem(
            recipe,
            "data.eval_size",
            "data.eval_size and data.eval_datasets both name an evaluation set",
            "keep one of them",
        )
    if data.streaming and recipe.trl_value("max_steps") in (None, -1):
        yield _problem(
            recipe,
            "data.streaming",
            "data.streaming without training.max_steps: a stream has no length to count epochs by",
            "set training.max_steps",
        )
    if data.eval_size is not None and data.eval_size > 1 and data.eval_size % 1:
        yield _problem(
            recipe,
            "data.eval_size",
            f"data.eval_size {data.eval_size:g} is neither a share below 1 nor a number of rows",
        )
    if data.streaming and data.eval_size is not None:
        yield _problem(
            recipe,
            "data.eval_size",
            "data.eval_size can't be cut off a stream",
            "name an evaluation set in data.eval_datasets",
        )


def _local_file(recipe: Recipe, where: str, name: str) -> Iterator[Problem]:
    """Say at once that a local data file isn't there."""
    if "://" in name:
        yield _problem(
            recipe,
            f"{where}.name",
            f"{where}.name: rows are not read from {name.split(':')[0]} addresses",
            "copy the file here with your own tool and give its path",
        )
        return
    path = Path(os.path.expanduser(name))
    is_file = path.suffix.lower() in DATA_FILES
    if not (is_file or name.startswith((".", "/", "~"))) or "*" in name:
        return
    if not os.path.exists(path):
        folder = path.parent if os.path.isdir(path.parent) else None
        names = os.listdir(folder) if folder else []
        hint = did_you_mean(path.name, names, f"{folder}/") or (
            f"relative paths start at {Path.cwd()}" if not path.is_absolute() else None
        )
        yield _problem(recipe, f"{where}.name", f"{where}.name: there is no file {name}", hint)
    elif path.is_file() and not is_file:
        yield _problem(
            recipe,
            f"{where}.name",
            f"{where}.name: {name} is none of {', '.join(DATA_FILES)}",
            "convert it, or rename it to what it is",
        )


def _training(recipe: Recipe) -> Iterator[Problem]:
    trl = recipe.trl_value
    if trl("bf16") and trl("fp16"):
        yield _problem(
            recipe,
            "training.fp16",
            "training.bf16 and training.fp16 are both true",
            "keep the one that your device is fast in: bf16 on Ampere and newer",
        )
    has_eval = recipe.has_evaluation
    if trl("eval_strategy") not in ("no", None) and not has_eval:
        yield _problem(
            recipe,
            "training.eval_strategy",
            f"training.eval_strategy is {trl('eval_strategy')} and there is no evaluation set",
            "cut one off with data.eval_size=0.05, or name one in data.eval_datasets",
        )
    if recipe.evaluation.exact_match and not has_eval:
        yield _problem(
            recipe,
            "evaluation.exact_match",
            "evaluation.exact_match needs held-out rows",
            "cut them off with data.eval_size=200, or name a set in data.eval_datasets",
        )
    yield from _best_model(recipe, has_eval)
    for key, instead in (
        ("deepspeed", "training.deepspeed_config"),
        ("fsdp", "launch.strategy=fsdp2"),
        ("fsdp_config", "launch.strategy=fsdp2"),
    ):
        if recipe.trl.get(key):
            yield _problem(
                recipe,
                f"training.{key}",
                f"training.{key} would change the trainer but not the launcher",
                f"write {instead}, which sets up both",
            )
    if trl("packing") and trl("max_length") is None:
        yield _problem(
            recipe,
            "training.packing",
            "training.packing needs training.max_length",
            "it is the length that rows are packed to",
        )
    if recipe.training.merge_adapter and not recipe.model.use_lora:
        yield _problem(
            recipe,
            "training.merge_adapter",
            "training.merge_adapter without model.use_lora: there is no adapter to merge",
            "leave it out: the final model is already whole",
        )
    if trl("assistant_only_loss") and recipe.data.format == "plain":
        yield _problem(
            recipe,
            "training.assistant_only_loss",
            "training.assistant_only_loss needs chat turns and data.format is plain",
            "set data.format=chat",
        )
    config, strategy = recipe.training.deepspeed_config, recipe.launch.strategy
    if config and strategy not in ("auto", "deepspeed"):
        yield _problem(
            recipe,
            "training.deepspeed_config",
            f"training.deepspeed_config and launch.strategy {strategy} each choose how the model "
            "is shared",
            "keep one of them",
        )


def _best_model(recipe: Recipe, has_eval: bool) -> Iterator[Problem]:
    if not recipe.trl_value("load_best_model_at_end"):
        return
    if not has_eval:
        yield _problem(
            recipe,
            "training.load_best_model_at_end",
            "training.load_best_model_at_end needs an evaluation set to tell which is best",
            "cut one off with data.eval_size=0.05, or name one in data.eval_datasets",
        )
        return
    default = "steps" if recipe.trl.get("eval_steps") else "epoch"
    evaluated, saved = recipe.trl.get("eval_strategy", default), recipe.trl_value("save_strategy")
    if saved not in (evaluated, "best"):
        yield _problem(
            recipe,
            "training.load_best_model_at_end",
            f"training.load_best_model_at_end: the model is saved by {saved} and evaluated by "
            f"{evaluated}, so the best one need not be saved",
            f"set training.save_strategy={evaluated}",
        )


def _wandb(recipe: Recipe) -> None:
    if recipe.wandb.enabled and recipe.trl.get("report_to") in (
        None,
        "none",
        [],
        "wandb",
        ["wandb"],
    ):
        recipe.trl["report_to"] = "wandb"
    else:
        recipe.trl.setdefault("report_to", "none")


def _ignored(recipe: Recipe) -> Iterator[str]:
    """Name the given keys that will have no effect."""
    has_eval = recipe.has_evaluation
    if recipe.training.algorithm in ("sft", "pretrain"):
        if recipe.data.max_prompt_length is not None:
            yield (
                "data.max_prompt_length has no effect on sft: whole rows are cut at "
                "training.max_length"
            )
        for name in ("value_model_name", "reward_model_name"):
            if getattr(recipe.model, name):
                yield f"model.{name} has no effect on {recipe.training.algorithm}"
    if not has_eval and "eval_steps" in recipe.trl:
        yield (
            "training.eval_steps has no effect without an evaluation set: "
            "data.eval_size=0.05 cuts one off"
        )
    if not recipe.model.use_lora:
        yield from _unused(recipe, "lora_", "use_lora")
    if not recipe.model.load_in_4bit:
        yield from _unused(recipe, "bnb_4bit_", "load_in_4bit")
    if recipe.trl.get("save_only_model"):
        yield "training.save_only_model leaves out the optimizer: this run can't be resumed"
    if recipe.model.torch_dtype == "float16" and not recipe.model.use_lora:
        epsilon = recipe.trl_value("adam_epsilon")
        if isinstance(epsilon, float) and epsilon < 1e-5:
            yield (
                f"float16 weights with training.adam_epsilon={epsilon}: Adam's epsilon is zero in "
                "float16; set training.adam_epsilon=1e-4, or train LoRA adapters"
            )


def _unused(recipe: Recipe, prefix: str, switch: str) -> Iterator[str]:
    """Name the model's keys that are set to something and switched off."""
    names = [
        field.name
        for field in dataclasses.fields(ModelConfig)
        if field.name.startswith(prefix)
        and f"model.{field.name}" in recipe.origin
        and getattr(recipe.model, field.name) != field.default
    ]
    if names:
        have = "has" if len(names) == 1 else "have"
        shown = ", ".join(f"model.{name}" for name in names)
        yield f"{shown} {have} no effect without model.{switch}"
