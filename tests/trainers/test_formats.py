"""Rows of the forms in wide use become the columns that trainers read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fai_rl.recipes.schema import DataConfig, DatasetConfig
from fai_rl.trainers.formats import make_format
from fai_rl.trainers.row_report import RowReport
from fai_rl.utils.errors import DataError

Row = dict[str, Any]
QA = {"question": "1+1", "answer": "2"}


def turn(role: str, content: str) -> Row:
    return {"role": role, "content": content}


def convert(
    row: Row,
    entry: Row | None = None,
    chat: bool = True,
    report: RowReport | None = None,
    **data: Any,
) -> Row:
    report = report or RowReport("d")
    config = DataConfig(**data)
    return make_format(DatasetConfig("d", **(entry or {})), config, row, chat, report)(row)


PAIR = {"prompt": [turn("user", "1+1")], "completion": [turn("assistant", "2")]}


@pytest.mark.parametrize(
    ("row", "entry"),
    [
        (QA, {}),
        (QA, {"prompt_column": "question", "answer_column": "answer"}),
        ({"prompt": "1+1", "completion": "2"}, {}),
        ({"prompt": "1+1", "response": "2", "id": 7}, {}),
        ({"instruction": "1+1", "output": "2"}, {}),
        ({"instruction": "1+1", "input": "", "output": "2"}, {}),
        ({"question": "1+1", "answer": 2}, {}),
        (PAIR, {}),
        ({**PAIR, "completion": "2"}, {}),
        ({"turns": PAIR["prompt"], "a": "2"}, {"messages_column": "turns", "answer_column": "a"}),
        ({"prompt": [{"from": "human", "value": "1+1"}], "answer": "2"}, {}),
    ],
)
def test_question_and_answer_become_turns(row: Row, entry: Row) -> None:
    assert convert(row, entry) == PAIR


def test_question_and_answer_stay_text_without_chat() -> None:
    assert convert(QA, chat=False) == {"prompt": "1+1", "completion": "2"}
    got = convert(QA, chat=False, system_prompt="Add.")
    assert got == {"prompt": "Add.\n1+1", "completion": "2"}


def test_alpaca_input_follows_the_instruction() -> None:
    row = {"instruction": "Add.", "input": "1+1", "output": "2"}
    assert convert(row)["prompt"] == [turn("user", "Add.\n\n1+1")]


@pytest.mark.parametrize(
    "messages",
    [
        [turn("user", "a"), turn("assistant", "b")],
        [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}, turn("assistant", "b")],
        [{**turn("user", "a"), "name": None}, {**turn("assistant", "b"), "tool_calls": None}],
    ],
)
@pytest.mark.parametrize("column", ["messages", "conversations", "chat"])
def test_conversations_become_openai_messages(messages: list[Row], column: str) -> None:
    entry = {"messages_column": column}
    expected = {"messages": [turn("user", "a"), turn("assistant", "b")]}
    assert convert({column: messages}, entry) == expected
    assert convert({column: json.dumps(messages)}, entry) == expected  # as CSV files have it


def test_tool_calls_tools_and_their_ids_are_kept() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages = [
        turn("user", "1+1"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "1", "name": "add"},
        {**turn("assistant", "2"), "reasoning_content": "easy"},
    ]
    tools = json.dumps([{"type": "function", "function": {"name": "add"}}])
    got = convert({"messages": messages, "tools": tools})
    assert got["tools"] == tools
    assert got["messages"][1] == {"role": "assistant", "content": "", "tool_calls": [call]}
    assert got["messages"][2:] == messages[2:]
    assert convert({**QA, "tools": tools})["tools"] == tools


def test_system_prompt_goes_before_conversations_that_have_none() -> None:
    system = turn("system", "Add.")
    assert convert(QA, system_prompt="Add.")["prompt"][0] == system
    messages = [turn("system", "Own."), turn("user", "a"), turn("assistant", "b")]
    assert convert({"messages": messages}, system_prompt="Add.")["messages"] == messages
    assert convert({"messages": messages[1:]}, system_prompt="Add.")["messages"][0] == system


def test_system_prompt_with_dataset_columns_is_the_whole_text() -> None:
    got = convert(
        QA, {"dataset_columns": ["question", "answer"]},
        system_prompt="Q: {question}\nA: {answer} {{done}}",
    )  # fmt: skip
    assert got == {"text": "Q: 1+1\nA: 2 {done}"}


@pytest.mark.parametrize("entry", [{}, {"dataset_columns": ["question", "answer"]}])
def test_user_and_assistant_prompt_are_turns_after_the_system_prompt(entry: Row) -> None:
    templates = {"user_prompt": "Q: {question}", "assistant_prompt": '{{"a": {answer}}}'}
    got = convert(QA, entry, system_prompt="Add {numbers}.", **templates)
    assert got == {
        "prompt": [turn("system", "Add {numbers}."), turn("user", "Q: 1+1")],
        "completion": [turn("assistant", '{"a": 2}')],
    }
    got = convert(QA, entry, chat=False, **templates)
    assert got == {"prompt": "Q: 1+1", "completion": '{"a": 2}'}


def test_braces_in_values_are_left_alone() -> None:
    row = {"question": "{x} {{y}}", "answer": "{"}
    got = convert(row, user_prompt="{question}", assistant_prompt="{answer}")
    assert got["prompt"][0]["content"] == "{x} {{y}}"


def test_optional_column_of_a_template_may_be_empty_and_is_told() -> None:
    report = RowReport("d")
    row = {"instruction": "Add.", "input": None, "output": "2"}
    data = {"user_prompt": "{instruction}\n{input}", "assistant_prompt": "{output}"}
    assert convert(row, report=report, **data)["prompt"] == [turn("user", "Add.\n")]
    assert "nothing in `input`" in report.notes[0]


def test_constant_user_prompt_is_allowed() -> None:
    got = convert(QA, user_prompt="Say a number.", assistant_prompt="{answer}")
    assert got["prompt"] == [turn("user", "Say a number.")]


def test_what_was_recognised_and_what_has_no_effect_is_told() -> None:
    report = RowReport("d")
    convert(QA, report=report)
    assert report.notes == ["read as prompt_column: question, answer_column: answer"]
    report = RowReport("d")
    convert(QA, {"dataset_columns": ["question"]}, report=report)
    assert "dataset_columns has no effect" in report.notes[0]
    report = RowReport("d")
    convert(
        QA, {"prompt_column": "question"}, report=report,
        user_prompt="{question}", assistant_prompt="{answer}",
    )  # fmt: skip
    assert "prompt_column has no effect" in report.notes[0]


def test_conversations_without_chat_are_refused() -> None:
    messages = {"messages": [turn("user", "a"), turn("assistant", "b")]}
    with pytest.raises(DataError, match="no chat template"):
        convert(messages, chat=False)
    with pytest.raises(DataError, match="format is plain"):
        convert(PAIR, chat=False, format="plain")
