"""From a row as it stands in a dataset to the columns a trainer reads.

Columns made here: `prompt` and `completion` (loss on the completion), `messages` (loss on the
assistant's turns), or `text` (loss on all of it). Prompt and completion are both plain text, or
both lists of chat messages.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from typing import Any

from fai_rl.recipes.schema import DataConfig, DatasetConfig
from fai_rl.trainers.row_report import BadRow, RowReport, excerpt
from fai_rl.utils.errors import DataError
from fai_rl.utils.suggest import did_you_mean

Row = dict[str, Any]
Format = Callable[[Row], Row]
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant"}
# Column names in wide use, tried in order where the recipe names none.
_PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("problem", "solution"),
    ("input", "output"),
)


def make_format(
    entry: DatasetConfig, data: DataConfig, columns: Iterable[str], chat: bool, report: RowReport
) -> Format:
    """Return the function that turns one row of this dataset into training columns.

    Args:
        entry: The dataset as the recipe names it.
        data: The recipe's data section.
        columns: The columns the first row has.
        chat: Whether prompt and answer become chat turns.
        report: Told what was recognised.

    Raises:
        DataError: A named column isn't there, or no form is named and none is recognised.
    """
    columns = list(columns)
    named = {
        "prompt_column": entry.prompt_column,
        "answer_column": entry.answer_column,
        "messages_column": entry.messages_column,
        "text_column": entry.text_column,
    }
    for key, column in named.items():
        if column is not None and column not in columns:
            raise _missing(entry, key, column, columns)
    if data.user_prompt and data.assistant_prompt:
        return _template_pair(entry, data, columns)
    if entry.dataset_columns and data.system_prompt:
        return _template_text(entry, data.system_prompt, columns)
    if entry.messages_column:
        return _messages(entry.messages_column, data)
    if entry.prompt_column and entry.answer_column:
        return _pair(entry.prompt_column, entry.answer_column, data, chat)
    if entry.text_column:
        return _text(entry.text_column)
    if entry.prompt_column:
        raise DataError(
            f"{entry.name}: prompt_column without answer_column leaves nothing to train on",
            hint=f"name the column with the answer; the columns are {', '.join(columns)}",
        )
    return _recognised(entry, data, columns, chat, report)


def _missing(entry: DatasetConfig, key: str, column: str, columns: list[str]) -> DataError:
    hint = did_you_mean(column, columns)
    found = f"the columns are {', '.join(columns)}"
    return DataError(
        f"{entry.name} has no column {column}",
        f"{key}: {column}",
        f"{hint}\n{found}" if hint else found,
    )


def _recognised(
    entry: DatasetConfig, data: DataConfig, columns: list[str], chat: bool, report: RowReport
) -> Format:
    """Return the format that the columns' names speak of."""
    for column in ("messages", "conversations", "conversation"):
        if column in columns:
            report.note(f"read as conversations from column {column}")
            return _messages(column, data)
    if {"instruction", "output"} <= set(columns):
        report.note("read as Alpaca rows: instruction, input, output")
        return _alpaca(data, chat)
    for prompt, answer in _PAIRS:
        if {prompt, answer} <= set(columns):
            report.note(f"read as prompt_column: {prompt}, answer_column: {answer}")
            return _pair(prompt, answer, data, chat)
    if "text" in columns:
        report.note("read as plain text from column text; loss on all of it")
        return _text("text")
    raise DataError(
        f"{entry.name}: can't tell what to train on from the columns {', '.join(columns)}",
        hint="name prompt_column and answer_column, or messages_column, or text_column",
    )


def text_of(row: Row, column: str) -> str:
    """Return a column's value as text.

    Raises:
        BadRow: It is missing, null, empty or no text.
    """
    value = row.get(column)
    if value is None:
        raise BadRow(f"null in `{column}`" if column in row else f"no `{column}`", excerpt(row))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRow(f"a {type(value).__name__}, not text, in `{column}`", excerpt(value))
    text = str(value)
    if not text.strip():
        raise BadRow(f"empty `{column}`", excerpt(row))
    return text


def _pair(prompt_column: str, answer_column: str, data: DataConfig, chat: bool) -> Format:
    def convert(row: Row) -> Row:
        prompt = row.get(prompt_column)
        if isinstance(prompt, list):
            messages = normalise_messages(prompt, prompt_column)
            return _chat_row(messages, text_of(row, answer_column), data)
        question, answer = text_of(row, prompt_column), text_of(row, answer_column)
        if chat:
            return _chat_row([{"role": "user", "content": question}], answer, data)
        prefix = f"{data.system_prompt}\n" if data.system_prompt else ""
        return {"prompt": prefix + question, "completion": answer}

    return convert


def _chat_row(messages: list[dict[str, str]], answer: str, data: DataConfig) -> Row:
    return {
        "prompt": _with_system(messages, data.system_prompt),
        "completion": [{"role": "assistant", "content": answer}],
    }


def _with_system(messages: list[dict[str, str]], system: str | None) -> list[dict[str, str]]:
    if system and (not messages or messages[0]["role"] != "system"):
        return [{"role": "system", "content": system}, *messages]
    return messages


def _alpaca(data: DataConfig, chat: bool) -> Format:
    def convert(row: Row) -> Row:
        question = text_of(row, "instruction")
        extra = row.get("input")
        if isinstance(extra, str) and extra.strip():
            question = f"{question}\n\n{extra}"
        row = {**row, "instruction": question}
        return _pair("instruction", "output", data, chat)(row)

    return convert


def _messages(column: str, data: DataConfig) -> Format:
    def convert(row: Row) -> Row:
        messages = normalise_messages(row.get(column), column)
        if not any(message["role"] == "assistant" for message in messages):
            raise BadRow(f"no assistant turn in `{column}`", excerpt(messages))
        result: Row = {"messages": _with_system(messages, data.system_prompt)}
        if row.get("tools"):
            result["tools"] = row["tools"]
        return result

    return convert


def normalise_messages(value: Any, column: str) -> list[dict[str, str]]:
    """Return OpenAI-style messages from those, or from ShareGPT's `from`/`value` turns.

    Raises:
        BadRow: It is no list of messages, or a message lacks role or content.
    """
    if value is None:
        raise BadRow(f"null in `{column}`")
    if not isinstance(value, list) or not value:
        raise BadRow(f"no list of messages in `{column}`", excerpt(value))
    messages = []
    for message in value:
        if not isinstance(message, dict):
            raise BadRow(f"a message that is no mapping in `{column}`", excerpt(message))
        role, content = message.get("role"), message.get("content")
        if role is None and content is None and "from" in message:
            role, content = message["from"], message.get("value")
            role = _SHAREGPT_ROLES.get(role, role)
        if role is None or (content is None and not message.get("tool_calls")):
            raise BadRow(f"a message without role and content in `{column}`", excerpt(message))
        if role not in ROLES:
            raise BadRow(f"an unknown role in `{column}`", f"role {excerpt(role)}")
        if content is not None and not isinstance(content, str):
            raise BadRow(f"a message whose content is no text in `{column}`", excerpt(content))
        if role == "assistant" and not (content or "").strip() and not message.get("tool_calls"):
            raise BadRow(f"an empty assistant turn in `{column}`", excerpt(value))
        kept = {k: v for k, v in message.items() if k in ("tool_calls", "name") and v}
        messages.append({"role": role, "content": content or "", **kept})
    return messages


def _text(column: str) -> Format:
    return lambda row: {"text": text_of(row, column)}


def _fill(template: str, key: str, row: Row, columns: list[str]) -> str:
    try:
        return template.format(**{name: "" if v is None else v for name, v in row.items()})
    except (KeyError, IndexError) as error:
        name = str(error).strip("'")
        raise DataError(
            f"data.{key} refers to {{{name}}}, which is no column",
            hint=(did_you_mean(name, columns) or f"the columns are {', '.join(columns)}")
            + "\nwrite {{ and }} for braces that are meant as such",
        ) from None
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"data.{key} is no str.format template: {error}",
            hint="write {{ and }} for braces that are meant as such",
        ) from None


def _fields(template: str, key: str) -> set[str]:
    try:
        return {
            name.split(".")[0].split("[")[0]
            for _, name, _, _ in string.Formatter().parse(template)
            if name
        }
    except ValueError as error:
        raise DataError(
            f"data.{key} is no str.format template: {error}",
            hint="write {{ and }} for braces that are meant as such",
        ) from None


def _check_filled(row: Row, template: str, key: str) -> None:
    """Refuse a row in which a column that the template uses is missing, null or empty."""
    for name in _fields(template, key):
        if name in row:
            text_of(row, name)


def _template_text(entry: DatasetConfig, template: str, columns: list[str]) -> Format:
    kept = entry.dataset_columns or columns
    for column in kept:
        if column not in columns:
            raise _missing(entry, "dataset_columns", column, columns)

    def convert(row: Row) -> Row:
        row = {name: row.get(name) for name in kept}
        _check_filled(row, template, "system_prompt")
        return {"text": _fill(template, "system_prompt", row, kept)}

    return convert


def _template_pair(entry: DatasetConfig, data: DataConfig, columns: list[str]) -> Format:
    kept = entry.dataset_columns or columns
    for column in kept:
        if column not in columns:
            raise _missing(entry, "dataset_columns", column, columns)
    user, assistant = data.user_prompt or "", data.assistant_prompt or ""

    def convert(row: Row) -> Row:
        row = {name: row.get(name) for name in kept}
        _check_filled(row, user, "user_prompt")
        _check_filled(row, assistant, "assistant_prompt")
        question = {"role": "user", "content": _fill(user, "user_prompt", row, kept)}
        return _chat_row([question], _fill(assistant, "assistant_prompt", row, kept), data)

    return convert
