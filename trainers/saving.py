"""The final model: an ordinary Hugging Face folder, there whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from fai_rl.launch.events import EventWriter
from fai_rl.launch.run_folder import RunFolder
from fai_rl.recipes.recipe import Recipe

if TYPE_CHECKING:
    from transformers import Trainer


def save_final(trainer: Trainer, recipe: Recipe, run: RunFolder, events: EventWriter) -> None:
    """Save the trained model (adapters as adapters) with its tokenizer, and the merged copy.

    Args:
        trainer: After training.
        recipe: The recipe.
        run: Its folder.
        events: Where to tell.
    """
    staging = run.path / ".staging-final"
    trainer.save_model(str(staging))
    trainer.accelerator.wait_for_everyone()
    if not trainer.accelerator.is_main_process:
        return
    # It is a pickle, of no use to whoever loads the model.
    (staging / "training_args.bin").unlink(missing_ok=True)
    _publish(staging, run.final)
    if recipe.training.merge_adapter:
        events.send("phase", text="merging the adapter")
        _save_merged(trainer, run)
    shutil.rmtree(run.data, ignore_errors=True)


def _publish(staging: Path, target: Path) -> None:
    """Put a finished folder in its place with one rename."""
    if target.exists():
        shutil.rmtree(target)
    staging.rename(target)


def _save_merged(trainer: Trainer, run: RunFolder) -> None:
    """Merge into freshly loaded weights, so that a quantized base loses nothing to its rounding."""
    from peft import AutoPeftModelForCausalLM

    staging = run.path / ".staging-merged"
    model = AutoPeftModelForCausalLM.from_pretrained(str(run.final), dtype="auto")
    model.merge_and_unload().save_pretrained(str(staging))
    trainer.processing_class.save_pretrained(str(staging))
    _publish(staging, run.merged)
