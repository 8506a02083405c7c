"""From training columns to token ids and labels, in batches, with every cut counted.

TRL's SFTTrainer would do this row by row and drop rows whose labels are all masked without a word;
here the same ids and labels (a test compares them with TRL's own) come out of batched tokenizer
calls, and what is cut or dropped is counted. Labels are -100 where no loss is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fai_rl.utils.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
Row = dict[str, Any]


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

    def encode(self, rows: list[Row], places: list[str], report: TokenReport) -> list[Row]:
        """Return `{"input_ids": [length], "labels": [length]}` for every row that has a label.

        Args:
            rows: Rows of one form: prompt and completion, messages, or text.
            places: Where each row stands, for the report.
            report: Counts are added to it.

        Raises:
            DataError: The chat template can't render a row.
        """
        if not rows:
            return []
        if "prompt" in rows[0]:
            encoded = self._pairs(rows, report)
        elif "messages" in rows[0]:
            encoded = self._conversations(rows, report)
        else:
            encoded = self._texts(rows)
        kept = []
        for index, (ids, labels) in enumerate(encoded):
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

    def _texts(self, rows: list[Row]) -> list[tuple[list[int], list[int]]]:
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

    def _pairs(self, rows: list[Row], report: TokenReport) -> list[tuple[list[int], list[int]]]:
        if isinstance(rows[0]["prompt"], str):
            prompts = self._ids([row["prompt"] for row in rows], special=True)
            whole_texts = [row["prompt"] + self._with_eos(row["completion"]) for row in rows]
            whole = self._ids(whole_texts, special=True)
        else:
            rendered = self._render([row["prompt"] for row in rows], add_generation_prompt=True)
            prompts = self._ids(rendered, special=False)
            rendered = self._render([row["prompt"] + row["completion"] for row in rows])
            whole = self._ids(rendered, special=False)
        result = []
        for start, ids in zip(prompts, whole, strict=True):
            length = _common_prefix(start, ids)
            if length < len(start):
                report.note(
                    "the prompt's tokens change once the answer follows: the answer is trained on "
                    "from where they part"
                )
            if self.completion_only is False:
                result.append((ids, list(ids)))
            else:
                result.append((ids, [IGNORED] * length + ids[length:]))
        return result

    def _render(self, conversations: list[Any], **options: Any) -> list[str]:
        import jinja2

        try:
            rendered: list[str] = self.tokenizer.apply_chat_template(
                conversations, tokenize=False, **options
            )
        except (jinja2.TemplateError, ValueError, TypeError) as error:
            raise DataError(
                f"the model's chat template refuses a conversation: {error}",
                hint="templates want turns to alternate from user to assistant; "
                "some take no system message",
            ) from None
        return rendered

    def _conversations(
        self, rows: list[Row], report: TokenReport
    ) -> list[tuple[list[int], list[int]]]:
        wanted = self.assistant_only if self.assistant_only is not None else True
        if wanted and self._can_mask_assistant():
            return self._masked_conversations(rows, report)
        if self.assistant_only:
            raise DataError(
                "training.assistant_only_loss: the chat template doesn't mark assistant turns",
                hint="give a template with {% generation %} marks in training.chat_template_path",
            )
        if wanted:
            # The last answer is what can still be told apart from what precedes it.
            report.note(
                "the chat template doesn't mark the assistant's turns: loss is taken on the last "
                "answer of each conversation; training.assistant_only_loss=false takes it on all"
            )
            pairs = [_last_turn(row["messages"]) for row in rows]
            return self._pairs(pairs, report)
        rendered = self._render([row["messages"] for row in rows])
        return [(ids, list(ids)) for ids in self._ids(rendered, special=False)]

    def _can_mask_assistant(self) -> bool:
        if self._masks_assistant is None:
            from trl.chat_template_utils import get_training_chat_template, has_generation_markers

            template = self.tokenizer.chat_template
            if template is not None and has_generation_markers(template):
                self._masks_assistant = True
            else:
                try:
                    self._training_template = get_training_chat_template(self.tokenizer)
                    self._masks_assistant = self._training_template is not None
                except (ValueError, TypeError):
                    self._masks_assistant = False
        return self._masks_assistant

    def _masked_conversations(
        self, rows: list[Row], report: TokenReport
    ) -> list[tuple[list[int], list[int]]]:
        result = []
        for row in rows:
            encoded = self.tokenizer.apply_chat_template(
                row["messages"],
                tools=row.get("tools"),
                chat_template=self._training_template,
                tokenize=True,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
            ids, mask = encoded["input_ids"], encoded["assistant_masks"]
            result.append((ids, [i if m else IGNORED for i, m in zip(ids, mask, strict=True)]))
        return result


def _last_turn(messages: list[Row]) -> Row:
    last = max(i for i, message in enumerate(messages) if message["role"] == "assistant")
    return {"prompt": messages[:last], "completion": [messages[last]]}


def _common_prefix(one: list[int], other: list[int]) -> int:
    if other[: len(one)] == one:
        return len(one)
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
