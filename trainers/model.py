"""The model, its tokenizer and its adapters, as the recipe's `model` section asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fai_rl.launch.events import EventWriter
from fai_rl.launch.run_folder import RunFolder
from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.errors import CheckpointError, DataError, FaiRLError, LaunchError
from fai_rl.utils.files import read_json

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Tokens that tokenizers without a pad token carry for padding, nearest to that purpose first.
_PAD_CANDIDATES = (
    "<|finetune_right_pad_id|>",
    "<pad>",
    "[PAD]",
    "<|pad|>",
    "<|endoftext|>",
    "<unk>",
)


def model_path(recipe: Recipe, run: RunFolder) -> str:
    """Return what `from_pretrained` is given: the recipe's name, or the built-in model's folder."""
    name = recipe.model.base_model_name
    return str(run.path / "base") if name == "builtin:tiny" else str(_expanded(name))


def _expanded(name: str) -> str | Path:
    path = Path(name).expanduser()
    return path if path.is_dir() else name


def _write_builtin(recipe: Recipe, run: RunFolder) -> None:
    """Write the built-in model as an ordinary model folder, where the recipe names it."""
    if recipe.model.base_model_name != "builtin:tiny":
        return
    from fai_rl.trainers.builtin_model import build_model, build_tokenizer

    folder = run.path / "base"
    if not (folder / "config.json").exists():
        build_model().save_pretrained(folder)
        build_tokenizer().save_pretrained(folder)


def is_on_hub(recipe: Recipe) -> bool:
    """Tell whether the model is neither built in nor a local folder."""
    name = recipe.model.base_model_name
    return name != "builtin:tiny" and not Path(name).expanduser().is_dir()


def has_chat_template(recipe: Recipe) -> bool | None:
    """Tell whether the model has a chat template, without loading it; None for one on the hub."""
    if recipe.model.base_model_name == "builtin:tiny" or recipe.trl.get("chat_template_path"):
        return True
    if is_on_hub(recipe):
        return None
    folder = Path(recipe.model.base_model_name).expanduser()
    listed = read_json(folder / "tokenizer_config.json").get("chat_template")
    return bool(listed) or (folder / "chat_template.jinja").is_file()


def _source(recipe: Recipe) -> dict[str, Any]:
    return {
        "revision": recipe.model.revision,
        "trust_remote_code": recipe.model.trust_remote_code,
    }


def load_tokenizer(recipe: Recipe, run: RunFolder, events: EventWriter) -> PreTrainedTokenizerBase:
    """Return the model's tokenizer, with a pad token.

    Raises:
        CheckpointError: There is no such model, or it has no tokenizer.
        DataError: `training.eos_token` or the chat template named can't be used with it.
    """
    from accelerate import PartialState
    from transformers import AutoTokenizer

    with PartialState().main_process_first():
        _write_builtin(recipe, run)
    path = model_path(recipe, run)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, **_source(recipe))
    except Exception as error:  # from_pretrained raises what its many backends raise
        raise _loading_error(recipe, error, "tokenizer") from error
    _use_chat_template(recipe, tokenizer)
    eos = recipe.trl.get("eos_token")
    if eos is not None:
        if eos not in tokenizer.get_vocab():
            raise DataError(f"training.eos_token {eos} is not in the tokenizer's vocabulary")
        tokenizer.eos_token = eos
    if tokenizer.pad_token is None:
        vocabulary = tokenizer.get_vocab()
        found = [t for t in _PAD_CANDIDATES if t in vocabulary and t != tokenizer.eos_token]
        tokenizer.pad_token = found[0] if found else tokenizer.eos_token
        events.send("note", text=f"the tokenizer has no pad token: {tokenizer.pad_token} is used")
    return tokenizer


def _use_chat_template(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> None:
    """Take the chat template of `training.chat_template_path`: a Jinja file, or another model's."""
    name = recipe.trl.get("chat_template_path")
    if name is None:
        return
    path = Path(name).expanduser()
    if path.is_file():
        tokenizer.chat_template = path.read_text(encoding="utf-8")
        return
    from transformers import AutoTokenizer

    try:
        other = AutoTokenizer.from_pretrained(name)
    except Exception as error:
        raise DataError(
            f"training.chat_template_path: no template file and no tokenizer at {name}",
            hint=str(error).splitlines()[0],
        ) from error
    missing = [t for t in other.all_special_tokens if t not in tokenizer.get_vocab()]
    if missing:
        raise DataError(
            f"training.chat_template_path: {name} uses tokens that the model doesn't have: "
            f"{', '.join(missing)}",
            hint="a vocabulary is not grown unasked: write a Jinja file with the model's tokens",
        )
    tokenizer.chat_template = other.chat_template


def check_context(recipe: Recipe, run: RunFolder, longest: int) -> None:
    """Refuse rows longer than the model's context, before its weights are loaded.

    Args:
        recipe: The recipe.
        run: Its folder.
        longest: Tokens of the longest row as it will be trained on.

    Raises:
        DataError: With both lengths.
        CheckpointError: The model's config can't be read.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model_path(recipe, run), **_source(recipe))
    except Exception as error:
        raise _loading_error(recipe, error, "config") from error
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    if context is not None and longest > context:
        raise DataError(
            f"rows of {longest:,} tokens don't fit the model's context of {context:,}",
            hint=f"set training.max_length={context} or less",
        )


def load_model(recipe: Recipe, run: RunFolder) -> PreTrainedModel:
    """Return the model with its weights, quantized where the recipe asks.

    Raises:
        CheckpointError: There is no such model, or its files can't be loaded.
        LaunchError: bitsandbytes is needed and missing.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = recipe.model
    dtype = model.torch_dtype or "auto"
    options: dict[str, Any] = {
        **_source(recipe),
        "dtype": dtype if dtype == "auto" else getattr(torch, dtype),
        **dict(recipe.trl.get("model_init_kwargs") or {}),
    }
    if model.attn_implementation:
        options["attn_implementation"] = model.attn_implementation
    if model.ignore_mismatched_sizes:
        options["ignore_mismatched_sizes"] = True
    if model.load_in_4bit or model.load_in_8bit:
        options["quantization_config"] = _quantization(recipe)
        if torch.cuda.is_available() and not recipe.trl.get("use_cpu"):
            options["device_map"] = {"": torch.cuda.current_device()}
    try:
        loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            model_path(recipe, run), **options
        )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise _loading_error(recipe, error, "weights") from error
    return loaded


def _quantization(recipe: Recipe) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    model = recipe.model
    if model.load_in_8bit:
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = model.bnb_4bit_compute_dtype or model.torch_dtype
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=model.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=model.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=getattr(
            torch, compute if compute not in (None, "auto") else "bfloat16"
        ),
    )


def lora_config(recipe: Recipe) -> LoraConfig | None:
    """Return the adapters' configuration, or None where all weights are trained."""
    model = recipe.model
    if not model.use_lora:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=model.lora_r,
        lora_alpha=model.lora_alpha,
        lora_dropout=model.lora_dropout,
        target_modules=model.lora_target_modules,
        exclude_modules=model.lora_exclude_modules,
        bias=model.lora_bias,
        modules_to_save=model.lora_modules_to_save,
        use_rslora=model.use_rslora,
        use_dora=model.use_dora,
        task_type="CAUSAL_LM",
    )


def _loading_error(recipe: Recipe, error: Exception, what: str) -> FaiRLError:
    """Say why a model can't be loaded, and what to do."""
    if isinstance(error, FaiRLError):
        return error
    name = recipe.model.base_model_name
    text = " ".join(str(error).split())
    if "bitsandbytes" in text or isinstance(error, ImportError):
        return LaunchError(f"loading {name}: {text[:300]}", hint='pip install "fai-rl[quant]"')
    folder = Path(name).expanduser()
    if folder.is_dir():
        hint = f"the folder holds {', '.join(sorted(p.name for p in folder.iterdir())[:12])}"
        if read_json(folder / "adapter_config.json"):
            hint = "the folder holds an adapter: merge it into its base first"
    elif "gated" in text.lower() or "401" in text or "403" in text:
        hint = "ask for access on the model's page, then set HF_TOKEN"
    elif "trust_remote_code" in text:
        hint = "read the repository's code, then set model.trust_remote_code and model.revision"
    else:
        hint = (
            "check the name on the hub and that it can be reached; "
            "a local model is a folder with config.json"
        )
    return CheckpointError(
        f"can't load the {what} of {name}: {text[:300]}",
        recipe.origin.get("model.base_model_name"),
        hint,
    )
