"""From training columns to token ids and labels, in batches, with every cut counted.

TRL's SFTTrainer would do this row by row and drop rows whose labels are all masked without a word;
here the same ids and labels (a test compares them with TRL's own) come out of batched tokenizer
calls, and what is cut or dropped is counted. Labels are -100 where no loss is taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fai_rl.trainers.row_report import BadRow
from fai_rl.utils.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
Row = dict[str, Any]
Labelled = tuple[list[int], list[int]]
_ALTERNATE = "templates want turns to alternate from user to assistant; some take no system message"


@dataclass
class TokenReport:
    """What tokenization did to a set of rows; lengths and counts in tokens.

    Attributes:
        rows: Rows that came out.
        tokens: Tokens in them.
        trained_tokens: Tokens that loss is taken on.
        longest: Longest row before cutting.
        cut: Rows longer than `max_length`, and the place of the first.
        unlabelled: Rows dropped because no trained token was left, and the place of the first.
        notes: What else a person should know.
    """

    rows: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    longest: int = 0
    cut: int = 0
    cut_example: str = ""
    unlabelled: int = 0
    unlabelled_example: str = ""
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note once."""
        if text not in self.notes:
            self.notes.append(text)


@dataclass
class Tokenization:
    """How rows become ids and labels.

    Attributes:
        tokenizer: The model's.
        max_length: Longest row in tokens; None cuts nothing.
        cut: Whether rows beyond max_length are cut here; packing cuts or splits for itself.
        keep_end: Cut from the start instead of the end.
        completion_only: TRL's `completion_only_loss`; None means loss on completions alone.
        assistant_only: TRL's `assistant_only_loss`; None means yes where the template can tell.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int | None
    cut: bool = True
    keep_end: bool = False
    completion_only: bool | None = None
    assistant_only: bool | None = None
    _training_template: str | None = None
    _masks_assistant: bool | None = None
    _trains_stop: bool | None = None

    def encode(
        self,
        rows: list[Row],
        places: list[str],
        report: TokenReport,
        refuse: Callable[[str, BadRow], None] | None = None,
    ) -> list[Row]:
        """Return `{"input_ids": [length], "labels": [length]}` for every row that has a label.

        Args:
            rows: Rows of one form: prompt and completion, messages, or text.
            places: Where each row stands, for the report.
            report: Counts are added to it.
            refuse: Told of rows that the chat template can't render, which are then left out.

        Raises:
            DataError: The chat template can't render a row, and nobody is to be told.
        """
        kept = []
        for index, (ids, labels) in self._encoded(rows, places, report, refuse):
            report.longest = max(report.longest, len(ids))
            if self.max_length is not None and len(ids) > self.max_length:
                report.cut += 1
                report.cut_example = report.cut_example or f"{places[index]}, {len(ids):,} tokens"
                if self.cut:
                    part = (
                        slice(-self.max_length, None) if self.keep_end else slice(self.max_length)
                    )
                    ids, labels = ids[part], labels[part]
            trained = len(labels) - labels.count(IGNORED)
            if trained == 0:
                report.unlabelled += 1
                report.unlabelled_example = report.unlabelled_example or places[index]
                continue
            report.rows += 1
            report.tokens += len(ids)
            report.trained_tokens += trained
            kept.append({"input_ids": ids, "labels": labels, "index": index})
        return kept

    def _encoded(
        self,
        rows: list[Row],
        places: list[str],
        report: TokenReport,
        refuse: Callable[[str, BadRow], None] | None,
    ) -> Iterator[tuple[int, Labelled]]:
        """Yield indices and labelled ids, in batches; row by row where a batch is refused."""
        try:
            yield from enumerate(self._batch(rows, report))
            return
        except _TemplateError as error:
            if refuse is None:
                raise DataError(str(error), hint=_ALTERNATE) from None
        for index, row in enumerate(rows):
            try:
                yield index, self._batch([row], report)[0]
            except _TemplateError as error:
                refuse(places[index], BadRow("turns that the chat template refuses", str(error)))

    def _batch(self, rows: list[Row], report: TokenReport) -> list[Labelled]:
        if not rows:
            return []
        if "prompt" in rows[0]:
            return self._pairs(rows, report)
        if "messages" in rows[0]:
            return self._conversations(rows, report)
        texts = [self._with_eos(row["text"]) for row in rows]
        return [(ids, list(ids)) for ids in self._ids(texts, special=True)]

    def _with_eos(self, text: str) -> str:
        eos = self.tokenizer.eos_token
        return text if not eos or text.endswith(eos) else text + eos

    def _ids(self, texts: list[str], special: bool) -> list[list[int]]:
        result: list[list[int]] = self.tokenizer(
            texts, add_special_tokens=special, return_attention_mask=False, verbose=False
        )["input_ids"]
        return result

    def _pairs(self, rows: list[Row], report: TokenReport) -> list[Labelled]:
        masks: list[list[int]] | None = None
        if isinstance(rows[0]["prompt"], str):
            prompts = self._ids([row["prompt"] for row in rows], special=True)
            whole_texts = [row["prompt"] + self._with_eos(row["completion"]) for row in rows]
            whole = self._ids(whole_texts, special=True)
        else:
            template = self._template_for_training(report) if self.assistant_only else None
            turns = [row["prompt"] for row in rows]
            rendered = self._render(turns, rows, template, add_generation_prompt=True)
            prompts = self._ids(rendered, special=False)
            turns = [row["prompt"] + row["completion"] for row in rows]
            if self.assistant_only:
                whole, masks = self._with_masks(turns, rows, template)
            else:
                whole = self._ids(self._render(turns, rows), special=False)
        result = []
        for index, (start, ids) in enumerate(zip(prompts, whole, strict=True)):
            length = _common_prefix(start, ids)
            if length < len(start):
                report.note(
                    "the prompt's tokens change once the answer follows: the answer is trained on "
                    "from where they part"
                )
            if self.completion_only is False:
                labels = list(ids)
            else:
                labels = [IGNORED] * length + ids[length:]
            result.append((ids, _masked(labels, masks[index]) if masks else labels))
        return result

    def _render(
        self, turns: list[Any], rows: list[Row], template: str | None = None, **options: Any
    ) -> list[str]:
        """Return conversations as text; `rows` may bring tools and template arguments."""
        rendered: list[str] = self._apply(
            turns, rows, chat_template=template, tokenize=False, **options
        )
        return rendered

    def _apply(self, turns: list[Any], rows: list[Row], **options: Any) -> Any:
        """Call `apply_chat_template` on a batch, once for each kind of tools and arguments."""
        import jinja2

        if not self.tokenizer.chat_template:
            raise DataError(
                "the rows are conversations and the model has no chat template",
                hint="give one in training.chat_template_path, or train an instruction-tuned model",
            )
        if not any("tools" in row or "chat_template_kwargs" in row for row in rows):
            try:
                return self.tokenizer.apply_chat_template(turns, **options)
            except (jinja2.TemplateError, ValueError, TypeError, LookupError) as error:
                raise _TemplateError(f"{error}") from None
        results = [
            self._apply(
                [turn],
                [{}],
                tools=_tools(row),
                **(row.get("chat_template_kwargs") or {}),
                **options,
            )
            for turn, row in zip(turns, rows, strict=True)
        ]
        if options["tokenize"]:
            return {key: [value for one in results for value in one[key]] for key in results[0]}
        return [text for one in results for text in one]

    def _with_masks(
        self, turns: list[Any], rows: list[Row], template: str | None
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Return ids, and masks that are 1 where the assistant speaks."""
        encoded = self._apply(
            turns,
            rows,
            chat_template=template,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        return encoded["input_ids"], encoded["assistant_masks"]

    def _conversations(self, rows: list[Row], report: TokenReport) -> list[Labelled]:
        turns = [row["messages"] for row in rows]
        if self.assistant_only is False:
            rendered = self._render(turns, rows)
            return [(ids, list(ids)) for ids in self._ids(rendered, special=False)]
        if self.assistant_only or self._can_mask_assistant():
            template = self._template_for_training(report)
            whole, masks = self._with_masks(turns, rows, template)
            return [(ids, _masked(ids, mask)) for ids, mask in zip(whole, masks, strict=True)]
        # The last answer is what can still be told apart from what precedes it.
        report.note(
            "the chat template doesn't mark the assistant's turns: loss is taken on the last "
            "answer of each conversation; training.assistant_only_loss=false takes it on all"
        )
        return self._pairs([_last_turn(row) for row in rows], report)

    def _can_mask_assistant(self) -> bool:
        """Tell whether the template, or TRL's variant of it, marks the assistant's turns."""
        if self._masks_assistant is None:
            from trl.chat_template_utils import get_training_chat_template, has_generation_markers

            template = self.tokenizer.chat_template
            self._masks_assistant = bool(template) and has_generation_markers(template)
            if template and not self._masks_assistant:
                try:
                    self._training_template = get_training_chat_template(self.tokenizer)
                    self._masks_assistant = self._training_template is not None
                except (ValueError, TypeError):
                    self._masks_assistant = False
        return self._masks_assistant

    def _template_for_training(self, report: TokenReport) -> str | None:
        """Return TRL's variant of the chat template; None where the model's own marks turns.

        Raises:
            DataError: No template marks the assistant's turns.
        """
        if not self._can_mask_assistant():
            raise DataError(
                "training.assistant_only_loss: the chat template doesn't mark assistant turns",
                hint="give a template with {% generation %} marks in training.chat_template_path",
            )
        if self._trains_stop is None:
            from trl.chat_template_utils import is_chat_template_stop_token_trained

            self._trains_stop = is_chat_template_stop_token_trained(
                self.tokenizer, chat_template=self._training_template
            )
        if not self._trains_stop:
            report.note(
                "the chat template leaves the token that ends an answer out of the loss: the "
                "model may not learn to stop; move it inside {% generation %}"
            )
        return self._training_template


class _TemplateError(Exception):
    """What a chat template says of a conversation it can't render."""


def _tools(row: Row) -> Any:
    tools = row.get("tools")
    return json.loads(tools) if isinstance(tools, str) else tools


def _masked(labels: list[int], mask: list[int]) -> list[int]:
    return [label if trained else IGNORED for label, trained in zip(labels, mask, strict=True)]


def _last_turn(row: Row) -> Row:
    messages = row["messages"]
    last = max(i for i, message in enumerate(messages) if message["role"] == "assistant")
    return {**row, "prompt": messages[:last], "completion": [messages[last]]}


def _common_prefix(one: list[int], other: list[int]) -> int:
    if other[: len(one)] == one:
        return len(one)
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
