"""A run in the foreground: started, followed, and summed up."""

from __future__ import annotations

import os
from pathlib import Path

from fai_rl.launch.follow import Follower
from fai_rl.launch.plan import LaunchPlan, command
from fai_rl.launch.process import Outcome, child_environment, supervise
from fai_rl.launch.run_folder import RunFolder, create
from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.errors import EXIT_OK
from fai_rl.utils.terminal import print_line


def run_attached(recipe: Recipe, plan: LaunchPlan, overwrite: bool) -> tuple[Outcome, RunFolder]:
    """Train, showing the run as it goes, and return how it ended.

    Raises:
        LaunchError: Another run took the folder.
    """
    move_secrets(recipe)
    folder, lock = create(recipe, plan.accelerate_yaml(), overwrite)
    with lock, Follower() as follower:
        print_line(
            f"{recipe.training.algorithm} of {recipe.model.base_model_name}: {plan.describe()}"
        )
        outcome = supervise(
            folder,
            command(folder.path, folder.accelerate_config, folder.stamp),
            child_environment(plan.environment),
            follower.show,
        )
    for line in summary(folder, outcome, recipe):
        print_line(line)
    return outcome, folder


def move_secrets(recipe: Recipe) -> None:
    """Hand secrets on in the environment, so that no file of the run holds them."""
    if recipe.wandb.api_key:
        os.environ["WANDB_API_KEY"] = recipe.wandb.api_key
        recipe.wandb.api_key = None
    token = recipe.trl.pop("hub_token", None)
    if token:
        os.environ["HF_TOKEN"] = token


def summary(folder: RunFolder, outcome: Outcome, recipe: Recipe) -> list[str]:
    """Return what a person reads last."""
    if outcome.exit_code != EXIT_OK:
        return ["", outcome.message, f"log: {_short(folder.log)}"]
    lines = ["", f"model    {_short(folder.final)}"]
    if outcome.result.get("merged"):
        lines.append(f"merged   {_short(folder.merged)}")
    lines += [
        f"metrics  {_short(folder.metrics)}",
        f"log      {_short(folder.log)}",
        f"time     {outcome.result['step']:,} steps, {outcome.result['seconds']:.0f} s in all",
    ]
    if recipe.evaluation.exact_match and recipe.data.eval_datasets:
        lines.append(f"next     fai-rl evaluate {_short(folder.path)}")
    if any(entry.name.startswith("builtin:") for entry in recipe.data.datasets):
        lines += [
            "then     fai-rl-train --recipe sft/tiny_cpu training.output_dir=outputs/mine \\",
            "           data.datasets[0].name=rows.jsonl data.eval_datasets=[] data.eval_size=0.1",
            '         trains on rows of your own: one {"question": …, "answer": …} a line',
        ]
    return lines


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
