"""From a recipe's data section to datasets: mixtures, cut-offs, streams, several processes."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fai_rl.recipes.recipe import Recipe
from fai_rl.trainers.builtin_model import build_tokenizer
from fai_rl.trainers.data import check_sources
from fai_rl.trainers.data_lines import data_lines
from fai_rl.trainers.prepared import Prepared, prepare
from fai_rl.trainers.tokenization import Tokenization
from fai_rl.utils.errors import DataError

Row = dict[str, Any]


def write(path: Path, rows: list[Row]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def numbered(letter: str, count: int) -> list[Row]:
    return [{"question": f"{letter}{i}", "answer": f"{letter}"} for i in range(count)]


def make_recipe(entries: list[Row], training: Row | None = None, **sections: Any) -> Recipe:
    data = {"datasets": entries, **sections.pop("data", {})}
    return Recipe.from_dict(
        {
            "model": {"base_model_name": "builtin:tiny"},
            "data": data,
            "training": {"algorithm": "sft", **(training or {})},
            **sections,
        }
    )


def prepared(recipe: Recipe, folder: Path, **settings: Any) -> Prepared:
    tokenization = Tokenization(build_tokenizer(), **{"max_length": 100, **settings})
    return prepare(recipe, tokenization, folder / "arrow", True)


def texts(dataset: Any) -> list[str]:
    tokenizer = build_tokenizer()
    return [tokenizer.decode(row["input_ids"], skip_special_tokens=True) for row in dataset]


def test_datasets_without_weights_follow_one_another_whole(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", numbered("a", 3))
    b = write(tmp_path / "b.jsonl", numbered("b", 2))
    got = prepared(make_recipe([{"name": a}, {"name": b}]), tmp_path)
    assert texts(got.train) == ["a0a", "a1a", "a2a", "b0b", "b1b"]
    assert got.train.column_names == ["input_ids", "labels"]
    assert [report.kept for report in got.rows] == [3, 2]


def test_weights_mix_by_share_without_repeating_a_row(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", numbered("a", 900))
    b = write(tmp_path / "b.jsonl", numbered("b", 900))
    recipe = make_recipe([{"name": a, "weight": 3}, {"name": b, "weight": 1}])
    got = prepared(recipe, tmp_path)
    shown = texts(got.train)
    share = sum(text.startswith("a") for text in shown) / len(shown)
    assert 0.7 < share < 0.8
    assert len(set(shown)) == len(shown)
    assert "a.jsonl 75%" in got.rows[0].notes[-1]
    assert f"{len(shown):,} of 1,800 rows" in got.rows[0].notes[-1]


def test_dataset_of_a_mixture_that_leaves_no_row_is_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", numbered("a", 3))
    b = write(tmp_path / "b.jsonl", [{"question": "b" * 200, "answer": "b"}])
    for weight in (1, None):
        entries = [{"name": a, "weight": weight}, {"name": b, "weight": weight}]
        with pytest.raises(DataError, match=r"b\.jsonl: none of its 1 rows[^\0]*max_length=100"):
            prepared(make_recipe(entries), tmp_path)


def test_eval_size_below_one_is_a_share_and_from_one_a_number(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", numbered("a", 40))
    for size, expected in ((0.25, 10), (5, 5)):
        recipe = make_recipe(
            [{"name": a}], data={"eval_size": size}, evaluation={"exact_match": True}
        )
        got = prepared(recipe, tmp_path)
        assert got.evaluation is not None
        assert len(got.evaluation) == expected
        assert len(got.held_out) == expected
        assert not set(texts(got.train)) & set(texts(got.evaluation))
        assert got.held_out[0]["completion"] == [{"role": "assistant", "content": "a"}]


@pytest.mark.parametrize("size", [0.001, 40, 90])
def test_eval_size_that_leaves_nothing_is_refused(tmp_path: Path, size: float) -> None:
    a = write(tmp_path / "a.jsonl", numbered("a", 40))
    with pytest.raises(DataError, match=r"data\.eval_size=[^\0]*there are 40 rows"):
        prepared(make_recipe([{"name": a}], data={"eval_size": size}), tmp_path)


def test_another_seed_cuts_off_other_rows_and_zero_is_a_seed(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", numbered("a", 40))
    cuts = []
    for seed in (0, 42):
        recipe = make_recipe([{"name": a}], {"seed": seed}, data={"eval_size": 5})
        cuts.append(texts(prepared(recipe, tmp_path).evaluation))
    assert cuts[0] != cuts[1]


def test_eval_datasets_are_read_apart(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", numbered("a", 4))
    b = write(tmp_path / "b.jsonl", numbered("b", 3))
    recipe = make_recipe([{"name": a}], data={"eval_datasets": [{"name": b, "max_samples": 2}]})
    got = prepared(recipe, tmp_path)
    assert texts(got.evaluation) == ["b0b", "b1b"]
    assert len(got.train) == 4


def test_what_was_dropped_and_cut_is_told_in_lines(tmp_path: Path) -> None:
    rows = [
        *numbered("a", 3),
        {"question": "a", "answer": ""},
        {"question": "a", "answer": "b" * 99},
    ]
    rows.append({"question": "a" * 200, "answer": "b"})
    a = write(tmp_path / "a.jsonl", rows)
    got = prepared(make_recipe([{"name": a}], data={"max_bad_rows": 1}), tmp_path)
    lines = "\n".join(data_lines(got, 100, packing=False))
    assert "6 rows read, 5 kept" in lines
    assert "dropped 1 row with empty `answer` (a.jsonl:4)" in lines
    assert "2 rows are longer than training.max_length=100" in lines
    assert "the first: a.jsonl:5, 103 tokens" in lines
    assert "1 rows were dropped: no token to train on was left (the first: a.jsonl:6)" in lines


def test_conversation_that_the_template_refuses_has_its_place_and_may_be_dropped(
    tmp_path: Path,
) -> None:
    good = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    bad = {"messages": [*good["messages"], {"role": "tool", "content": "2"}]}
    a = write(tmp_path / "a.jsonl", [good, bad, good])
    with pytest.raises(DataError) as caught:
        prepared(make_recipe([{"name": a}]), tmp_path)
    assert "turns that the chat template refuses (a.jsonl:2)" in str(caught.value)
    assert "not tool" in str(caught.value)
    got = prepared(make_recipe([{"name": a}], data={"max_bad_rows": 1}), tmp_path)
    assert len(got.train) == got.rows[0].kept == 2


def test_conversations_without_a_chat_template_are_refused(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = None
    tokenization = Tokenization(tokenizer, 100)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    for row in ({"messages": turns}, {"prompt": turns[:1], "completion": turns[1:]}):
        a = write(tmp_path / "a.jsonl", [row])
        with pytest.raises(DataError, match=r"no chat template[^\0]*chat_template_path"):
            prepare(make_recipe([{"name": a}]), tokenization, tmp_path, True)
    a = write(tmp_path / "a.jsonl", numbered("a", 1))
    recipe = make_recipe([{"name": a}], data={"format": "chat"})
    with pytest.raises(DataError, match=r"data.format is chat and builtin:tiny has no chat"):
        prepare(recipe, tokenization, tmp_path, True)


def test_assistant_only_loss_without_marks_is_refused(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    a = write(tmp_path / "a.jsonl", [{"messages": turns}])
    tokenization = Tokenization(tokenizer, 100, assistant_only=True)
    with pytest.raises(DataError, match=r"doesn't mark assistant turns[^\0]*generation"):
        prepare(make_recipe([{"name": a}]), tokenization, tmp_path, True)


def stream_recipe(tmp_path: Path, weights: tuple[Any, Any] = (None, None), **data: Any) -> Recipe:
    a = write(tmp_path / "a.jsonl", numbered("a", 30))
    b = write(tmp_path / "b.jsonl", numbered("b", 30))
    entries = [{"name": a, "weight": weights[0]}, {"name": b, "weight": weights[1]}]
    return make_recipe(entries, {"max_steps": 5}, data={"streaming": True, **data})


def test_stream_gives_every_row_once_a_pass_shuffled_and_again(tmp_path: Path) -> None:
    got = prepared(stream_recipe(tmp_path), tmp_path)
    first = texts(got.train)
    assert len(first) == len(set(first)) == 60
    assert [text[0] for text in first[:30]] != ["a"] * 30
    assert sorted(texts(got.train)) == sorted(first)
    assert "read while training" in "\n".join(data_lines(got, 100, packing=False))
    assert not list((tmp_path / "arrow").glob("train*"))


def test_stream_with_weights_mixes(tmp_path: Path) -> None:
    got = prepared(stream_recipe(tmp_path, (1, 1)), tmp_path)
    assert {text[0] for text in texts(got.train)} == {"a", "b"}


@pytest.mark.parametrize("weights", [(None, None), (1, 1)])
def test_stream_serves_dataloader_workers_without_repeating_rows(
    tmp_path: Path, weights: tuple[Any, Any]
) -> None:
    got = prepared(stream_recipe(tmp_path, weights), tmp_path)
    loader = torch.utils.data.DataLoader(
        got.train, batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    shown = texts(loader)
    assert len(shown) == len(set(shown)) > 20


def test_stream_can_be_pickled_and_hashed_for_workers_and_caches(tmp_path: Path) -> None:
    from datasets.fingerprint import Hasher

    got = prepared(stream_recipe(tmp_path), tmp_path)
    assert len(texts(pickle.loads(pickle.dumps(got.train)))) == 60
    assert Hasher.hash(got.train)


def test_stream_is_accepted_by_the_trainer_and_trains(tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    from fai_rl.trainers.builtin_model import build_model

    got = prepared(stream_recipe(tmp_path), tmp_path)
    arguments = SFTConfig(
        output_dir=str(tmp_path / "run"), use_cpu=True, bf16=False, report_to=[], max_steps=9,
        per_device_train_batch_size=8, gradient_checkpointing=False, save_strategy="no",
        dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip
    trainer = SFTTrainer(
        model=build_model(), args=arguments, train_dataset=got.train,
        processing_class=build_tokenizer(),
    )  # fmt: skip
    assert trainer.train().global_step == 9


def test_first_fault_of_a_stream_is_told_before_training(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [{"question": "a"}])
    b = write(tmp_path / "b.jsonl", [{"a": "a"}])
    for name in (a, b):
        with pytest.raises(DataError, match=r"none of 1 rows|can't tell what to train on"):
            recipe = make_recipe(
                [{"name": name, "max_samples": 5}], {"max_steps": 5}, data={"streaming": True}
            )
            prepared(recipe, tmp_path)


def test_bad_rows_of_a_stream_count_once_a_pass(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [*numbered("a", 5), {"question": "a", "answer": ""}])
    recipe = make_recipe(
        [{"name": a}], {"max_steps": 9}, data={"streaming": True, "max_bad_rows": 1}
    )
    got = prepared(recipe, tmp_path)
    for _ in range(3):
        assert len(texts(got.train)) == 5


def test_other_processes_read_what_the_main_one_wrote(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", numbered("a", 30))
    recipe = make_recipe([{"name": a}], data={"eval_size": 5})
    main = prepared(recipe, tmp_path)
    Path(a).unlink()
    other = prepare(recipe, Tokenization(build_tokenizer(), 100), tmp_path / "arrow", False)
    assert texts(main.train) == texts(other.train)
    assert texts(main.evaluation) == texts(other.evaluation)
    assert main.train._fingerprint == other.train._fingerprint


_TWO = """
import os, sys, torch
from pathlib import Path
from accelerate import PartialState
from fai_rl.trainers.builtin_model import build_tokenizer
from fai_rl.trainers.prepared import prepare
from fai_rl.trainers.tokenization import Tokenization
from tests.trainers.test_data import make_recipe
state = PartialState(cpu=True, backend="gloo")
recipe = make_recipe([{"name": sys.argv[1]}])
try:
    with state.main_process_first():
        got = prepare(recipe, Tokenization(build_tokenizer(), 100), Path(sys.argv[2]),
                      state.is_main_process)
    print("rows", len(got.train))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def test_failure_of_the_main_process_is_the_only_one_told(tmp_path: Path) -> None:
    from socket import socket

    a = write(tmp_path / "a.jsonl", [{"question": "a", "answer": ""}])
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    root = Path(__file__).resolve().parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _TWO, a, str(tmp_path / "arrow")],
            cwd=root,
            env={
                "PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(root), "RANK": str(rank),
                "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=100) for process in processes]
    for out, err in outputs:
        assert "DataError" in out, err[-1000:]
        assert "empty `answer`" in out


def test_hub_datasets_are_left_for_the_start_of_training() -> None:
    [report] = check_sources(make_recipe([{"name": "someone/something"}]))
    assert report.notes == ["on the hub: read when training starts"]
