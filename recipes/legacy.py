"""Keys that recipes carry over from elsewhere: what still loads, and what replaces the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fai_rl.recipes.overrides import dotted
from fai_rl.recipes.yaml_tree import KeyPath
from fai_rl.utils.errors import Problem

# key -> the value that changes nothing here, so that it may stand.
_DROPPED: dict[tuple[str, str], tuple[Any, ...]] = {
    ("model", "low_cpu_mem_usage"): (True, None),
    ("model", "freeze_vision_tower"): (True, None),
    ("model", "s3_region"): (None,),
    ("model", "s3_endpoint_url"): (None,),
    ("datasets", "s3_region"): (None,),
    ("datasets", "s3_endpoint_url"): (None,),
    ("datasets", "image_columns"): (None, []),
    ("datasets", "video_columns"): (None, []),
}
# key of another section -> where it lives.
MOVED = {("data", "remove_unused_columns"): ("training", "remove_unused_columns")}

_REPLACED: dict[tuple[str, str], str] = {
    ("model", "low_cpu_mem_usage"): "models always load without a second copy: leave it out",
    ("model", "model_name_or_path"): "write model.base_model_name",
    ("model", "dtype"): "write model.torch_dtype",
    ("model", "use_peft"): "write model.use_lora",
    ("model", "use_bnb_nested_quant"): "write model.bnb_4bit_use_double_quant",
    ("model", "model_revision"): "write model.revision",
    ("model", "name"): "write model.base_model_name",
    ("model", "lora_rank"): "write model.lora_r",
    ("model", "r"): "write model.lora_r",
    ("model", "target_modules"): "write model.lora_target_modules",
    ("training", "lr"): "write training.learning_rate",
    ("training", "epochs"): "write training.num_train_epochs",
    ("training", "num_epochs"): "write training.num_train_epochs",
    ("training", "batch_size"): "write training.per_device_train_batch_size",
    ("training", "micro_batch_size"): "write training.per_device_train_batch_size",
    ("training", "optimizer"): "write training.optim",
    ("training", "lr_scheduler"): "write training.lr_scheduler_type",
    ("training", "max_seq_length"): "TRL calls it max_length: write training.max_length",
    ("training", "evaluation_strategy"): "write training.eval_strategy",
    ("training", "no_cuda"): "write training.use_cpu",
    ("training", "warmup_ratio"): "write the share as training.warmup_steps (below 1 is a ratio)",
    ("training", "group_by_length"): "write training.train_sampling_strategy: group_by_length",
    ("training", "max_prompt_length"): "TRL has no such key: write data.max_prompt_length",
    ("training", "num_gpus"): "give --num-gpus on the command line, or launch.num_processes",
    ("training", "dataset_name"): "write data.datasets: [{name: …}]",
    ("training", "model_name_or_path"): "write model.base_model_name",
    ("training", "num_processes"): "write launch.num_processes",
    ("launch", "num_gpus"): "give --num-gpus on the command line, or launch.num_processes",
    ("data", "path"): "write data.datasets: [{name: …}]",
    ("data", "dataset_name"): "write data.datasets: [{name: …}]",
    ("datasets", "path"): "write name",
    ("datasets", "config_name"): "write subset",
    ("datasets", "completion_column"): "write answer_column",
    ("datasets", "response_column"): "write answer_column",
}
_S3 = (
    "S3 is not supported: leave s3.enabled false and copy the output folder "
    "with your own tool when the run has ended"
)
_MEDIA = "images and videos are not supported: text recipes only"
ALGORITHMS = {"sft_vlm": _MEDIA}


def _disabled(section: str, hint: str) -> Callable[[Any, str], Problem | None]:
    def check(content: Any, where: str) -> Problem | None:
        if content is None or (isinstance(content, dict) and content.get("enabled") is False):
            return None
        return Problem(f"section {section} means nothing here", where, hint)

    return check


SECTIONS: dict[str, Callable[[Any, str], Problem | None]] = {
    "s3": _disabled("s3", _S3),
}


def section_problem(section: str, content: Any, where: str) -> Problem | None:
    """Return what is wrong with a section that is not ours, or None where it changes nothing."""
    return SECTIONS[section](content, where)


def _short(path: KeyPath) -> tuple[str, str]:
    home = (
        "datasets" if len(path) > 3 and path[1] in {"datasets", "eval_datasets"} else str(path[0])
    )
    return home, str(path[-1])


def is_known(path: KeyPath) -> bool:
    """Tell whether a key is accepted for old recipes' sake, whatever its value."""
    return _short(path) in _DROPPED or _short(path) in MOVED


def is_dropped(path: KeyPath, value: Any) -> bool:
    """Tell whether a key's value changes nothing and may be left out of the resolved recipe."""
    return _short(path) in _DROPPED and value in _DROPPED[_short(path)]


def dropped_problem(path: KeyPath, value: Any, where: str) -> Problem | None:
    """Return the error for an accepted key whose value asks for something that isn't there."""
    if not is_known(path) or _short(path) in MOVED or is_dropped(path, value):
        return None
    name = _short(path)[1]
    hint = _REPLACED.get(_short(path)) or (_S3 if name.startswith("s3_") else _MEDIA)
    shown = str(value).lower() if isinstance(value, bool) else value
    return Problem(f"{dotted(path)}: {shown} can't be had here", where, hint)


def replacement(path: KeyPath) -> str | None:
    """Return what to write instead of a key, or a key without its section, of elsewhere."""
    home, name = _short(path)
    if len(path) == 1:
        found = [hint for (_, known), hint in _REPLACED.items() if known == name]
        return found[-1] if found else None
    if name.startswith("s3_"):
        return _S3
    if home in {"data", "datasets", "model"} and name.startswith(
        ("image_", "video_", "max_image_")
    ):
        return _MEDIA
    return _REPLACED.get((home, name))
