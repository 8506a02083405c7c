"""`fai-rl evaluate RUN`: load what a run saved and answer its held-out questions again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fai_rl.recipes.recipe import Recipe
from fai_rl.utils.errors import CheckpointError, DataError
from fai_rl.utils.files import read_json
from fai_rl.utils.terminal import print_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def main(arguments: list[str], prog: str) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog=prog, description="Load a run's final model and answer its held-out questions."
    )
    parser.add_argument("run", type=Path, help="a run's folder, such as outputs/tiny_cpu")
    parser.add_argument("--samples", type=int, help="questions to answer; all where not given")
    parser.add_argument("--show", type=int, default=3, help="questions to print with their answers")
    given = parser.parse_args(arguments)
    result = evaluate(given.run, given.samples)
    print_line(f"held-out exact match: {result['exact_match']:.1%} of {len(result['answers']):,}")
    for row in result["answers"][: given.show]:
        print_line(f"  question   {row['question']}")
        print_line(f"    answer   {row['answer']}")
        print_line(f"    correct  {row['reference']}")
    return 0


def evaluate(run: Path, num_samples: int | None = None) -> dict[str, Any]:
    """Score the model that a run saved, on the evaluation set its recipe names.

    Args:
        run: The run's folder.
        num_samples: Questions to answer; None means all.

    Returns:
        `exact_match`, a share from 0 to 1, and `answers`: question, answer and reference of each.

    Raises:
        CheckpointError: The folder holds no finished run.
        DataError: The recipe names no evaluation set with questions.
    """
    recipe_file = run / "recipe.yaml"
    if not recipe_file.is_file() or not (run / "final").is_dir():
        raise CheckpointError(
            f"{run} holds no finished run", hint="give the output_dir of a run that has ended"
        )
    recipe = Recipe.from_yaml(recipe_file.read_text(encoding="utf-8"), run.name)
    if not recipe.data.eval_datasets:
        raise DataError(
            f"the recipe of {run} names no data.eval_datasets",
            hint="a set cut off by data.eval_size can't be told from the training rows any more",
        )
    from transformers import AutoTokenizer

    from fai_rl.trainers.data import formatted_rows
    from fai_rl.trainers.held_out import exact_match, generate, questions
    from fai_rl.trainers.prepared import uses_chat
    from fai_rl.trainers.row_report import RowReport

    tokenizer = AutoTokenizer.from_pretrained(run / "final")
    chat = uses_chat(recipe, tokenizer)
    rows = [
        row
        for entry in recipe.data.eval_datasets
        for _, row in formatted_rows(entry, recipe, chat, RowReport(entry.name))
    ]
    asked = questions(rows[:num_samples], tokenizer)
    if not asked:
        raise DataError("the evaluation set holds plain text, no questions")
    answers = generate(_load(run), tokenizer, asked, recipe.evaluation)
    return {
        "exact_match": exact_match(answers, asked),
        "answers": [
            {"question": q.shown, "answer": a, "reference": q.reference}
            for q, a in zip(asked, answers, strict=True)
        ],
    }


def _load(run: Path) -> PreTrainedModel:
    final = run / "final"
    if read_json(final / "adapter_config.json"):
        from peft import AutoPeftModelForCausalLM

        model: PreTrainedModel = AutoPeftModelForCausalLM.from_pretrained(str(final), dtype="auto")
    else:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(str(final), dtype="auto")
    import torch

    return model.to("cuda") if torch.cuda.is_available() else model
