"""The recipe's `training` section as the algorithm's own TRL config."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fai_rl.launch.run_folder import RunFolder
from fai_rl.recipes.recipe import Recipe
from fai_rl.trainers.distributed import after_arguments, strategy_arguments
from fai_rl.utils.errors import RecipeError

if TYPE_CHECKING:
    from transformers import TrainingArguments


def trl_arguments(recipe: Recipe, run: RunFolder, **settled: Any) -> TrainingArguments:
    """Return the config object that the algorithm's trainer takes.

    Args:
        recipe: The recipe.
        run: Its folder, where checkpoints go.
        settled: Fields that the adapter has already seen to.

    Raises:
        RecipeError: TRL refuses a value, in its own words.
    """
    module, name = recipe.algorithm.config.rsplit(".", 1)
    config_class = getattr(importlib.import_module(module), name)
    given: dict[str, Any] = {
        # A loss that isn't finite must show, not be logged as 0.
        "logging_nan_inf_filter": False,
        "run_name": recipe.wandb.name or run.path.name,
        **_evaluation(recipe),
        **recipe.trl,
        "output_dir": str(run.path),
        "disable_tqdm": True,
        **strategy_arguments(recipe, recipe.launch.strategy),
        **settled,
    }
    try:
        arguments: TrainingArguments = config_class(**given)
    except (ValueError, TypeError, ImportError) as error:
        text = str(error).splitlines()[0]
        raise RecipeError(f"{name} refuses the training section: {text}") from error
    after_arguments(recipe, recipe.launch.strategy)
    return arguments


def _evaluation(recipe: Recipe) -> dict[str, Any]:
    """Evaluate where there is a set to evaluate on, as often as the recipe says."""
    if not recipe.has_evaluation:
        return {}
    return {"eval_strategy": "steps" if recipe.trl.get("eval_steps") else "epoch"}
