"""From a row as it stands in a dataset to the columns a trainer reads.

Columns made here: `prompt` and `completion` (loss on the completion), `messages` (loss on the
assistant's turns), or `text` (loss on all of it). Prompt and completion are both plain text, or
both lists of chat messages; chat rows may have `tools` and `chat_template_kwargs` besides.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from typing import Any

from fai_rl.recipes.schema import DataConfig, DatasetConfig
from fai_rl.trainers.row_report import BadRow, RowReport, excerpt
from fai_rl.trainers.row_values import messages_of, text_of
from fai_rl.utils.errors import DataError
from fai_rl.utils.suggest import did_you_mean, nearest

Row = dict[str, Any]
Format = Callable[[Row], Row]
Where = Callable[[str], str | None]
_CONVERSATIONS = ("messages", "conversations", "conversation")
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
_BRACES = "write {{ and }} for braces that are meant as such"


def make_format(
    entry: DatasetConfig,
    data: DataConfig,
    columns: Iterable[str],
    chat: bool,
    report: RowReport,
    where: Where = lambda key: None,
) -> Format:
    """Return the function that turns one row of this dataset into training columns.

    Args:
        entry: The dataset as the recipe names it.
        data: The recipe's data section.
        columns: The columns that its first rows have.
        chat: Whether prompt and answer become chat turns.
        report: Told what was recognised.
        where: Gives the place in the recipe of a key of this dataset.

    Raises:
        DataError: A named column isn't there, or no form is named and none is recognised.
    """
    columns = list(columns)
    for key in ("prompt_column", "answer_column", "messages_column", "text_column"):
        column = getattr(entry, key)
        if column is not None and column not in columns:
            raise _missing(entry, column, columns, where(key))
    for column in entry.dataset_columns or []:
        if column not in columns:
            raise _missing(entry, column, columns, where("dataset_columns"))
    pair = bool(data.user_prompt and data.assistant_prompt)
    if not pair and not (entry.dataset_columns and data.system_prompt):
        if entry.dataset_columns:
            report.note("dataset_columns has no effect: no template in data refers to columns")
        return _by_columns(entry, data, columns, chat, report, where)
    for key in ("prompt_column", "answer_column", "messages_column", "text_column"):
        if getattr(entry, key):
            report.note(f"{key} has no effect: rows are made by the templates in data")
    if pair:
        return _template_pair(data, entry.dataset_columns or columns, chat, report, where)
    template = data.system_prompt or ""
    return _template_text(template, entry.dataset_columns or columns, report, where)


def _missing(entry: DatasetConfig, column: str, columns: list[str], where: str | None) -> DataError:
    hint = did_you_mean(column, columns)
    found = f"the columns are {', '.join(columns)}"
    return DataError(
        f"{entry.name} has no column {column}", where, f"{hint}\n{found}" if hint else found
    )


def _by_columns(
    entry: DatasetConfig,
    data: DataConfig,
    columns: list[str],
    chat: bool,
    report: RowReport,
    where: Where,
) -> Format:
    prompt = entry.prompt_column or (entry.messages_column if entry.answer_column else None)
    forms = {
        "prompt_column": prompt,
        "messages_column": None if entry.answer_column else entry.messages_column,
        "text_column": entry.text_column,
    }
    named = [key for key, column in forms.items() if column]
    if len(named) > 1:
        raise DataError(
            f"{entry.name}: {' and '.join(named)} name different forms of rows",
            where(named[1]),
            "keep one: prompt_column with answer_column, or messages_column, or text_column",
        )
    if prompt and entry.answer_column:
        return _pair(prompt, entry.answer_column, data, chat)
    if prompt:
        raise DataError(
            f"{entry.name}: prompt_column without answer_column leaves nothing to train on",
            where("prompt_column"),
            f"name the column with the answer; the columns are {', '.join(columns)}",
        )
    if entry.messages_column:
        return _messages(entry.messages_column, entry, data, chat)
    if entry.text_column:
        return _text(entry.text_column)
    return _recognised(entry, data, columns, chat, report, where)


def _recognised(
    entry: DatasetConfig,
    data: DataConfig,
    columns: list[str],
    chat: bool,
    report: RowReport,
    where: Where,
) -> Format:
    """Return the format that the columns' names speak of."""
    for column in _CONVERSATIONS:
        if column in columns:
            report.note(f"read as conversations from column {column}")
            return _messages(column, entry, data, chat)
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
    known = ["text", "instruction", *_CONVERSATIONS, *(name for pair in _PAIRS for name in pair)]
    near = [
        f"is {column} meant as {found[0]}?"
        for column in columns
        if (found := nearest(column, known, 1))
    ]
    raise DataError(
        f"{entry.name}: can't tell what to train on from the columns {', '.join(columns)}",
        where("name"),
        "\n".join(
            [*near, "name prompt_column and answer_column, or messages_column, or text_column"]
        ),
    )


def _pair(prompt_column: str, answer_column: str, data: DataConfig, chat: bool) -> Format:
    def convert(row: Row) -> Row:
        prompt, answer = row.get(prompt_column), row.get(answer_column)
        if isinstance(prompt, list) or isinstance(answer, list):
            turns = (
                messages_of(prompt, prompt_column)
                if isinstance(prompt, list)
                else [{"role": "user", "content": text_of(row, prompt_column)}]
            )
            answers = (
                messages_of(answer, answer_column)
                if isinstance(answer, list)
                else [{"role": "assistant", "content": text_of(row, answer_column)}]
            )
            if not any(message["role"] == "assistant" for message in answers):
                raise BadRow(f"no assistant turn in `{answer_column}`", excerpt(answer))
            if not chat:
                raise _no_chat(data, f"`{prompt_column}` and `{answer_column}` hold chat messages")
            return {**_chat_row(turns, answers, data), **_extras(row)}
        question, text = text_of(row, prompt_column), text_of(row, answer_column)
        if chat:
            return {**_turns(question, text, data), **_extras(row)}
        return _plain(question, text, data)

    return convert


def _no_chat(data: DataConfig, what: str) -> DataError:
    if data.format == "plain":
        return DataError(f"data.format is plain, and {what}", hint="set data.format=auto")
    return DataError(
        f"the model has no chat template, and {what}",
        hint="give one in training.chat_template_path, or train an instruction-tuned model",
    )


def _turns(question: str, answer: str, data: DataConfig) -> Row:
    return _chat_row(
        [{"role": "user", "content": question}], [{"role": "assistant", "content": answer}], data
    )


def _chat_row(turns: list[Row], answers: list[Row], data: DataConfig) -> Row:
    return {"prompt": _with_system(turns, data.system_prompt), "completion": answers}


def _plain(question: str, answer: str, data: DataConfig) -> Row:
    prefix = f"{data.system_prompt}\n" if data.system_prompt else ""
    return {"prompt": prefix + question, "completion": answer}


def _with_system(messages: list[Row], system: str | None) -> list[Row]:
    if system and (not messages or messages[0]["role"] not in ("system", "developer")):
        return [{"role": "system", "content": system}, *messages]
    return messages


def _extras(row: Row) -> Row:
    return {key: row[key] for key in ("tools", "chat_template_kwargs") if row.get(key)}


def _alpaca(data: DataConfig, chat: bool) -> Format:
    pair = _pair("instruction", "output", data, chat)

    def convert(row: Row) -> Row:
        question = text_of(row, "instruction")
        extra = row.get("input")
        if isinstance(extra, str) and extra.strip():
            question = f"{question}\n\n{extra}"
        return pair({**row, "instruction": question})

    return convert


def _messages(column: str, entry: DatasetConfig, data: DataConfig, chat: bool) -> Format:
    def convert(row: Row) -> Row:
        messages = messages_of(row.get(column), column)
        if not any(message["role"] == "assistant" for message in messages):
            raise BadRow(f"no assistant turn in `{column}`", excerpt(messages))
        return {"messages": _with_system(messages, data.system_prompt), **_extras(row)}

    if not chat:
        raise _no_chat(data, f"{entry.name} holds conversations in `{column}`")
    return convert


def _text(column: str) -> Format:
    return lambda row: {"text": text_of(row, column)}


def _template(key: str, template: str, columns: list[str], where: str | None) -> list[str]:
    """Return the columns that a template refers to, in its order.

    Raises:
        DataError: It refers to what is no column, to none though it should, or can't be parsed.
    """
    try:
        parsed = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise DataError(f"data.{key} is no str.format template: {error}", where, _BRACES) from None
    names = [name.split(".")[0].split("[")[0] for name in parsed]
    for name in names:
        if name not in columns:
            near = did_you_mean(name, columns) or f"the columns are {', '.join(columns)}"
            raise DataError(
                f"data.{key} refers to {{{name}}}, which is no column", where, f"{near}\n{_BRACES}"
            )
    if not names and key != "user_prompt":
        raise DataError(
            f"data.{key} refers to no column: every row would be the same",
            where,
            f"write {{{columns[0]}}} where its text belongs; the columns are {', '.join(columns)}",
        )
    return names


def _fill(template: str, key: str, row: Row) -> str:
    values = {name: "" if value is None else value for name, value in row.items()}
    try:
        return template.format(**values)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"data.{key} can't be filled in: {error}", None, _BRACES) from None


def _check_filled(row: Row, must: list[str], some: list[str], report: RowReport) -> None:
    """Refuse a row that lacks what a template can't do without.

    Args:
        row: The row.
        must: Columns that must all hold text: the answer.
        some: Columns of which one must, such as instruction and input of Alpaca's rows.
        report: Told of gaps that were let pass.
    """
    for name in must:
        text_of(row, name)
    faults = []
    for name in some:
        try:
            text_of(row, name)
        except BadRow as fault:
            if not fault.reason.startswith(("null", "no ", "empty")):
                raise
            faults.append((name, fault))
    if faults and len(faults) == len(some):
        raise faults[0][1]
    for name, _ in faults:
        report.note(f"some rows have nothing in `{name}`, and the template has nothing there")


def _template_text(template: str, columns: list[str], report: RowReport, where: Where) -> Format:
    *before, answer = _template("system_prompt", template, columns, where("system_prompt"))

    def convert(row: Row) -> Row:
        row = {name: row.get(name) for name in columns}
        _check_filled(row, [answer], before, report)
        return {"text": _fill(template, "system_prompt", row)}

    return convert


def _template_pair(
    data: DataConfig, columns: list[str], chat: bool, report: RowReport, where: Where
) -> Format:
    user, assistant = data.user_prompt or "", data.assistant_prompt or ""
    asked = _template("user_prompt", user, columns, where("user_prompt"))
    answered = _template("assistant_prompt", assistant, columns, where("assistant_prompt"))

    def convert(row: Row) -> Row:
        row = {name: row.get(name) for name in columns}
        _check_filled(row, answered, asked, report)
        question = _fill(user, "user_prompt", row)
        answer = _fill(assistant, "assistant_prompt", row)
        return (_turns if chat else _plain)(question, answer, data)

    return convert
