"""Answers to held-out prompts, before and after training, compared with the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fai_rl.recipes.schema import EvaluationConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Row = dict[str, Any]


@dataclass
class Question:
    """A held-out prompt as the model sees it, with the answer it should give."""

    prompt: str
    shown: str
    reference: str


def questions(rows: list[Row], tokenizer: PreTrainedTokenizerBase) -> list[Question]:
    """Return the questions among held-out rows; rows of plain text hold none."""
    result = []
    for row in rows:
        if "messages" in row:
            last = max(i for i, m in enumerate(row["messages"]) if m["role"] == "assistant")
            prompt, answer = row["messages"][:last], row["messages"][last]["content"]
        elif "prompt" in row:
            prompt, answer = row["prompt"], row["completion"]
        else:
            continue
        if isinstance(prompt, list):
            rendered = tokenizer.apply_chat_template(
                prompt, tokenize=False, add_generation_prompt=True
            )
            reference = answer if isinstance(answer, str) else answer[0]["content"]
            result.append(Question(str(rendered), str(prompt[-1]["content"]), reference))
        else:
            result.append(Question(prompt, prompt, answer))
    return result


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: list[Question],
    settings: EvaluationConfig,
) -> list[str]:
    """Return the model's greedy answers, in the questions' order.

    Args:
        model: Any causal LM; its training mode is put back afterwards.
        tokenizer: Its tokenizer.
        asked: What to answer.
        settings: Batch size and longest answer in tokens.
    """
    import torch

    was_training = model.training
    model.eval()
    special = tokenizer.chat_template is None
    answers: list[str] = []
    try:
        for start in range(0, len(asked), settings.batch_size):
            batch = [question.prompt for question in asked[start : start + settings.batch_size]]
            inputs = tokenizer(
                batch,
                return_tensors="pt",
                padding=True,
                padding_side="left",
                add_special_tokens=special,
            ).to(model.device)
            with torch.no_grad():
                output = model.generate(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    max_new_tokens=settings.max_new_tokens,
                    do_sample=False,
                    use_cache=True,
                    pad_token_id=tokenizer.pad_token_id,
                )
            new = output[:, inputs["input_ids"].shape[1] :]
            answers.extend(tokenizer.batch_decode(new, skip_special_tokens=True))
    finally:
        model.train(was_training)
    return answers


def exact_match(answers: list[str], asked: list[Question]) -> float:
    """Return the share of answers that equal their reference, spaces at the ends aside; 0 to 1."""
    same = sum(a.strip() == q.reference.strip() for a, q in zip(answers, asked, strict=True))
    return same / max(1, len(asked))


def comparison(
    asked: list[Question], before: list[str], after: list[str], num_examples: int
) -> list[str]:
    """Return lines that tell a person what training changed."""
    first, last = exact_match(before, asked), exact_match(after, asked)
    lines = [
        "",
        f"held-out exact match: {first:.1%} before, {last:.1%} after "
        f"({len(asked):,} questions that training never saw)",
    ]
    for question, old, new in list(zip(asked, before, after, strict=True))[:num_examples]:
        lines += [
            f"  question   {_one_line(question.shown)}",
            f"    before   {_one_line(old)}",
            f"    after    {_one_line(new)}",
            f"    correct  {_one_line(question.reference)}",
        ]
    return lines


def _one_line(text: str, length: int = 100) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= length else text[: length - 1] + "…"
