"""The training process: reads a run folder, trains, saves. Started by `accelerate launch`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fai_rl.launch.events import EventWriter
from fai_rl.launch.process import die_with_parent
from fai_rl.launch.run_folder import RunFolder
from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.errors import EXIT_FAILED, EXIT_OK, FaiRLError, LaunchError

if TYPE_CHECKING:
    from transformers import Trainer

    from fai_rl.trainers.held_out import Question


def main() -> None:
    """Train what the run folder's recipe says, and exit with a code that tells how it went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run-folder", type=Path, required=True)
    parser.add_argument("--stamp", required=True)
    given = parser.parse_args()
    die_with_parent()
    run = RunFolder(given.run_folder, given.stamp)
    rank = int(os.environ.get("RANK", "0"))
    events = EventWriter(run.events if rank == 0 else None)
    try:
        _quiet()
        _run(_read_recipe(run), run, events)
        sys.stdout.flush()
        # All is written; tearing torch down takes seconds and can only fail.
        os._exit(EXIT_OK)
    except BaseException as error:  # the starter must learn of every end, sys.exit included
        sys.exit(_tell(error, run, rank))


def _read_recipe(run: RunFolder) -> Recipe:
    return Recipe.from_yaml(run.recipe.read_text(encoding="utf-8"), run.path.name)


def _run(recipe: Recipe, run: RunFolder, events: EventWriter) -> None:
    started = time.monotonic()
    events.send("phase", text="starting")
    if recipe.launch.cpu_threads:
        import torch

        torch.set_num_threads(recipe.launch.cpu_threads)
    adapter = importlib.import_module(f"fai_rl.trainers.{recipe.algorithm.adapter}")
    trainer, data = adapter.build_trainer(recipe, run, events)
    from fai_rl.trainers.callbacks import Reporter
    from fai_rl.trainers.saving import save_final

    reporter = Reporter(run, events, trainer, recipe.launch.strategy)
    trainer.add_callback(reporter)
    _settle_callbacks(trainer, recipe, run, events)

    asked, before = _ask(recipe, trainer, data.held_out, events, "answering held-out questions")
    resume = recipe.trl.get("resume_from_checkpoint")
    trainer.train(resume_from_checkpoint=_resume_path(resume))
    _assert_finished(trainer)
    lines: list[str] = []
    score: dict[str, Any] = {}
    if asked:
        from fai_rl.trainers.held_out import comparison, exact_match

        _, after = _ask(recipe, trainer, data.held_out, events, "answering them again")
        lines = comparison(asked, before, after, recipe.evaluation.num_examples)
        score = {
            "exact_match_before": exact_match(before, asked),
            "exact_match": exact_match(after, asked),
        }
    events.send("phase", text="saving")
    save_final(trainer, recipe, run, events)
    if recipe.wandb.enabled and trainer.is_world_process_zero():
        import wandb

        wandb.finish()
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()
    events.send("text", lines=lines)
    events.send(
        "done",
        step=trainer.state.global_step,
        seconds=round(time.monotonic() - started, 1),
        metrics={**reporter.metrics, **score},
        final=str(run.final),
        merged=str(run.merged) if recipe.training.merge_adapter else None,
    )


def _assert_finished(trainer: Trainer) -> None:
    state = trainer.state
    if state.global_step < state.max_steps:
        raise LaunchError(
            f"training ended at step {state.global_step} of {state.max_steps}: the data ran out",
            hint="a stream must have rows for training.max_steps steps; lower it",
        )


def _resume_path(value: str | None) -> str | bool | None:
    if value is None:
        return None
    return True if str(value).lower() == "true" else str(value)


def _settle_callbacks(
    trainer: Trainer, recipe: Recipe, run: RunFolder, events: EventWriter
) -> None:
    """Leave printing to the reporter, and tracking to a tracker that could be started."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    if not recipe.wandb.enabled:
        return
    from transformers.integrations import WandbCallback

    from fai_rl.trainers.wandb_tracking import start

    if trainer.is_world_process_zero() and not start(recipe, run, events):
        trainer.remove_callback(WandbCallback)


def _ask(
    recipe: Recipe, trainer: Trainer, rows: list[dict[str, Any]], events: EventWriter, phase: str
) -> tuple[list[Question], list[str]]:
    """Return the held-out questions and the model's answers, each process answering its share."""
    if not recipe.evaluation.exact_match:
        return [], []
    from accelerate.utils import gather_object

    from fai_rl.trainers.held_out import generate, questions

    tokenizer = trainer.processing_class
    asked = questions(rows, tokenizer)
    if not asked:
        raise LaunchError(
            "evaluation.exact_match found no question in the evaluation set",
            hint="its rows are plain text: give prompt_column and answer_column, "
            "or set evaluation.exact_match=false",
        )
    events.send("phase", text=phase)
    accelerator = trainer.accelerator
    share = list(enumerate(asked))[accelerator.process_index :: accelerator.num_processes]
    model = accelerator.unwrap_model(trainer.model)
    model.to(accelerator.device) if not getattr(model, "is_quantized", False) else None
    with accelerator.autocast():
        answers = generate(model, tokenizer, [question for _, question in share], recipe.evaluation)
    placed = [(index, answer) for (index, _), answer in zip(share, answers, strict=True)]
    everyone = dict(gather_object(placed)) if accelerator.num_processes > 1 else dict(placed)
    return asked, [everyone[index] for index in range(len(asked))]


def _quiet() -> None:
    """Keep libraries from filling the log with what nobody can act on; errors still show."""
    import logging
    import warnings

    for message in (".*pin_memory.*", ".*gradient_checkpointing.*", ".*torch.distributed.*deprec"):
        warnings.filterwarnings("ignore", message=message)
    for name in ("kernels", "bitsandbytes", "torch.distributed.elastic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


def _tell(error: BaseException, run: RunFolder, rank: int) -> int:
    """Write the failure where the starter finds it, and return the exit code."""
    events = EventWriter(run.events)
    where = f" (rank {rank})" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
    if isinstance(error, FaiRLError):
        events.send("error", text=str(error), exit_code=error.exit_code, rank=rank)
        return error.exit_code
    traceback.print_exc()
    if isinstance(error, SystemExit):
        text = f"error: something called sys.exit({error.code}) before the last step{where}"
    elif type(error).__name__ == "OutOfMemoryError":
        text = (
            f"error: out of GPU memory{where}: {str(error).splitlines()[0]}\n"
            "  halve training.per_device_train_batch_size and double "
            "training.gradient_accumulation_steps,\n"
            "  or set training.gradient_checkpointing=true, model.use_lora=true or "
            "model.load_in_4bit=true"
        )
    else:
        text = f"error: {type(error).__name__}{where}: {error}\n  the whole log: {run.log}"
    events.send("error", text=text, exit_code=EXIT_FAILED, rank=rank)
    return EXIT_FAILED


if __name__ == "__main__":
    main()
