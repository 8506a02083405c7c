"""Our ids and labels are TRL's own, row by row, on real rows and on awkward ones."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from fai_rl.recipes.recipe import Recipe
from fai_rl.trainers.builtin_model import build_model, build_tokenizer
from fai_rl.trainers.prepared import Prepared, prepare
from fai_rl.trainers.tokenization import Tokenization

NUM_ROWS = 120
Row = dict[str, Any]


@pytest.fixture(scope="module")
def model() -> Any:
    return build_model()


@pytest.fixture
def rows(gsm8k: Path) -> list[Row]:
    with (gsm8k / "train.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in islice(file, NUM_ROWS)]


def plain_tokenizer() -> Any:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = None
    return tokenizer


def trl_dataset(model: Any, tokenizer: Any, rows: list[Row], folder: Path, **keys: Any) -> Dataset:
    arguments = SFTConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to=[],
        **{"max_length": 300, **keys},
    )
    return SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    ).train_dataset


def our_dataset(
    tokenizer: Any, rows: list[Row], folder: Path, data: Row | None = None, **settings: Any
) -> Prepared:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    sections = {
        "model": {"base_model_name": "builtin:tiny"},
        "data": {"datasets": [{"name": str(path)}], **(data or {})},
        "training": {"algorithm": "sft"},
    }
    tokenization = Tokenization(tokenizer, **{"max_length": 300, **settings})
    return prepare(Recipe.from_dict(sections), tokenization, folder / "arrow", True)


def assert_same(ours: Dataset, theirs: Dataset) -> None:
    assert len(ours) == len(theirs)
    for own, other in zip(ours, theirs, strict=True):
        assert own["input_ids"] == other["input_ids"]
        assert own["labels"] == other["labels"]


def as_chat(row: Row) -> Row:
    return {
        "prompt": [{"role": "user", "content": row["question"]}],
        "completion": [{"role": "assistant", "content": row["answer"]}],
    }


def as_messages(row: Row) -> Row:
    turns = as_chat(row)
    return {
        "messages": [
            {"role": "system", "content": "Work it out."},
            *turns["prompt"],
            *turns["completion"],
            {"role": "user", "content": "Are you sure?"},
            {"role": "assistant", "content": "Yes: " + row["answer"][-8:]},
        ]
    }


@pytest.mark.parametrize("cut", ["keep_start", "keep_end"])
@pytest.mark.parametrize("completion_only", [None, False])
def test_chat_pairs_equal_trls(
    model: Any, rows: list[Row], tmp_path: Path, cut: str, completion_only: bool | None
) -> None:
    ours = our_dataset(
        build_tokenizer(), rows, tmp_path, keep_end=cut == "keep_end",
        completion_only=completion_only,
    )  # fmt: skip
    theirs = trl_dataset(
        model, build_tokenizer(), [as_chat(row) for row in rows], tmp_path,
        truncation_mode=cut, completion_only_loss=completion_only,
    )  # fmt: skip
    assert_same(ours.train, theirs)
    report = ours.tokens["train"]
    assert report.cut > 0
    assert report.rows == len(theirs)
    assert report.tokens == sum(map(len, theirs["input_ids"]))
    if cut == "keep_start" and completion_only is None:
        assert report.unlabelled == NUM_ROWS - len(theirs) > 0


def test_plain_pairs_equal_trls(model: Any, rows: list[Row], tmp_path: Path) -> None:
    theirs = [{"prompt": row["question"], "completion": row["answer"]} for row in rows]
    assert_same(
        our_dataset(plain_tokenizer(), rows, tmp_path).train,
        trl_dataset(model, plain_tokenizer(), theirs, tmp_path),
    )


def test_text_equals_trls(model: Any, rows: list[Row], tmp_path: Path) -> None:
    texts = [{"text": row["answer"]} for row in rows]
    assert_same(
        our_dataset(build_tokenizer(), texts, tmp_path).train,
        trl_dataset(model, build_tokenizer(), texts, tmp_path),
    )


@pytest.mark.parametrize("assistant_only", [True, False])
def test_conversations_equal_trls(
    model: Any, rows: list[Row], tmp_path: Path, assistant_only: bool
) -> None:
    chats = [as_messages(row) for row in rows]
    assert_same(
        our_dataset(build_tokenizer(), chats, tmp_path, assistant_only=assistant_only).train,
        trl_dataset(model, build_tokenizer(), chats, tmp_path, assistant_only_loss=assistant_only),
    )


def test_assistant_only_applies_to_pairs_as_in_trl(
    model: Any, rows: list[Row], tmp_path: Path
) -> None:
    several = []
    for row in rows:
        turns = as_messages(row)["messages"]
        several.append({"prompt": turns[:2], "completion": turns[2:]})
    length = {"max_length": 2000}
    tokenizer = build_tokenizer()
    ours = our_dataset(tokenizer, several, tmp_path, assistant_only=True, **length).train
    assert_same(
        ours, trl_dataset(model, tokenizer, several, tmp_path, assistant_only_loss=True, **length)
    )
    whole = our_dataset(tokenizer, several, tmp_path, **length).train
    assert sum(label != -100 for row in whole["labels"] for label in row) > sum(
        label != -100 for row in ours["labels"] for label in row
    )


def test_templates_that_trl_has_marked_variants_of_train_all_answers(
    model: Any, rows: list[Row], tmp_path: Path
) -> None:
    from trl import chat_template_utils

    tokenizer = build_tokenizer()
    tokenizer.chat_template = chat_template_utils.qwen2_5_chat_template
    chats = [as_messages(row) for row in rows]
    assert_same(
        our_dataset(tokenizer, chats, tmp_path, max_length=2000).train,
        trl_dataset(model, tokenizer, chats, tmp_path, max_length=2000, assistant_only_loss=True),
    )


def test_tools_and_template_arguments_reach_the_template_as_in_trl(
    model: Any, tmp_path: Path
) -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = (
        "{%- if tools %}{{ tools | tojson }}{% endif %}{{ tone }}"
        "{%- for message in messages %}<|{{ message.role }}|>{{ message.content }}"
        "{%- if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}"
        "{%- if message.tool_call_id %}[{{ message.tool_call_id }}]{% endif %}<|end|>{% endfor %}"
        "{%- if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    tool = {"type": "function", "function": {"name": "add", "description": "Adds."}}
    messages = [
        {"role": "user", "content": "1+1"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "1"},
        {"role": "assistant", "content": "It is 2."},
    ]
    for tools in ([tool], json.dumps([tool])):
        chats = [
            {"messages": messages, "tools": tools, "chat_template_kwargs": {"tone": tone}}
            for tone in ("dry", "warm")
        ]
        ours = our_dataset(tokenizer, chats, tmp_path, assistant_only=False).train
        theirs = trl_dataset(model, tokenizer, chats, tmp_path)
        assert_same(ours, theirs)
        text = tokenizer.decode(ours[1]["input_ids"])
        assert "Adds." in text
        assert "warm" in text
        assert "[1]" in text
    last = our_dataset(tokenizer, chats, tmp_path)
    assert tokenizer.decode(last.train[0]["input_ids"]) == tokenizer.decode(ours[0]["input_ids"])
    assert "last answer of each conversation" in " ".join(last.tokens["train"].notes)


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split"])
def test_packing_left_to_trl_equals_trls(
    model: Any, rows: list[Row], tmp_path: Path, strategy: str
) -> None:
    keys = {"packing": True, "packing_strategy": strategy, "padding_free": False}
    ours = our_dataset(build_tokenizer(), rows, tmp_path, cut=False).train
    arguments = SFTConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], max_length=300, **keys
    )
    packed = SFTTrainer(
        model=model, args=arguments, train_dataset=ours, processing_class=build_tokenizer()
    ).train_dataset
    chats = [as_chat(row) for row in rows]
    theirs = trl_dataset(model, build_tokenizer(), chats, tmp_path, **keys)
    assert_same(packed, theirs)
    assert list(packed["seq_lengths"]) == list(theirs["seq_lengths"])


def test_prompt_that_merges_with_its_answer_is_masked_as_in_trl(model: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {"<|end|>": 0, "a": 1, "b": 2, "ab": 3}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[("a", "b")]))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>"
    )
    pairs = [{"prompt": "aa", "completion": "ba"}] * 2
    ours = our_dataset(tokenizer, pairs, tmp_path)
    assert_same(ours.train, trl_dataset(model, tokenizer, pairs, tmp_path))
    assert ours.train[0]["labels"][0] == -100
    assert ours.train[0]["labels"][1] == 3
    assert "change once the answer follows" in ours.tokens["train"].notes[0]
