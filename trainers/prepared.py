"""From the recipe's `data` section to the datasets a trainer gets.

Rows are read, brought to training columns, tokenized and written to Arrow files in the run folder
in one pass; every process of a run then maps the same files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fai_rl.recipes.recipe import Recipe
from fai_rl.recipes.schema import DatasetConfig
from fai_rl.trainers.data import Row, eval_rows, formatted_rows
from fai_rl.trainers.row_report import RowReport
from fai_rl.utils.errors import DataError, FaiRLError, Problem
from fai_rl.utils.terminal import print_line

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from transformers import PreTrainedTokenizerBase

    from fai_rl.trainers.tokenization import Tokenization, TokenReport

_BATCH = 1000
# Rows of a stream that are shuffled among each other, and tokenized at once.
_STREAM_BUFFER = 1000
_STREAM_BATCH = 100


@dataclass
class Prepared:
    """What a trainer gets.

    Attributes:
        train: Rows of `input_ids` and `labels`.
        evaluation: The same, held out; None where the recipe names no such set.
        held_out: Training columns of the first held-out rows, for generated answers.
        rows: What became of each source's rows.
        tokens: What tokenization did, for "train" and "eval".
    """

    train: Dataset | IterableDataset
    evaluation: Dataset | None
    held_out: list[Row]
    rows: list[RowReport]
    tokens: dict[str, TokenReport] = field(default_factory=dict)


def prepare(
    recipe: Recipe, tokenization: Tokenization, folder: Path, main_process: bool
) -> Prepared:
    """Return the datasets, written to `folder` by the main process.

    Args:
        recipe: The recipe.
        tokenization: How rows become ids.
        folder: Where Arrow files are kept for the length of the run.
        main_process: Whether this process writes; the others must come after it.

    Raises:
        DataError: Rows that can't be read or trained on, or none left.
    """
    with _told_to_others(folder, main_process):
        return _prepare(recipe, tokenization, folder, main_process)


@contextmanager
def _told_to_others(folder: Path, main_process: bool) -> Iterator[None]:
    """Let a failure of the main process end the others with the same words.

    The others wait for the main process and would find no files, or a closed connection, and bury
    its error under theirs.
    """
    from accelerate import PartialState

    mark = folder / "failed.json"
    if not main_process:
        if mark.exists():
            problems = json.loads(mark.read_text(encoding="utf-8"))
            raise DataError([Problem(**problem) for problem in problems])
        yield
        return
    mark.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        if PartialState().num_processes > 1:
            problems = (
                error.problems
                if isinstance(error, FaiRLError)
                else [Problem(f"preparing data failed: {type(error).__name__}: {error}")]
            )
            folder.mkdir(parents=True, exist_ok=True)
            mark.write_text(json.dumps([asdict(p) for p in problems]), encoding="utf-8")
            PartialState().wait_for_everyone()  # where the others wait; see the adapters
        raise


def _prepare(
    recipe: Recipe, tokenization: Tokenization, folder: Path, main_process: bool
) -> Prepared:
    writer = _Writer(recipe, tokenization, folder, main_process)
    if recipe.data.streaming:
        train = writer.stream()
    else:
        weighted = recipe.data.datasets[0].weight is not None
        groups = [[e] for e in recipe.data.datasets] if weighted else [recipe.data.datasets]
        parts = [writer.write("train", group, index) for index, group in enumerate(groups)]
        train = _mixed(parts, recipe, writer.rows)
    evaluation: Dataset | None = None
    if recipe.data.eval_datasets:
        evaluation = writer.write("eval", recipe.data.eval_datasets)
    elif recipe.data.eval_size is not None:
        train, evaluation = _cut_off(train, recipe)
    held_out: list[Row] = []
    if evaluation is not None:
        if "row" in evaluation.column_names:
            first = evaluation.select(range(min(len(evaluation), recipe.evaluation.num_samples)))
            held_out = [json.loads(text) for text in first["row"]]
        evaluation = evaluation.select_columns(["input_ids", "labels"])
    if "row" in (train.column_names or []):
        train = train.select_columns(["input_ids", "labels"])
    return Prepared(train, evaluation, held_out, writer.rows, writer.tokens)


def _seed(recipe: Recipe) -> int:
    seed = recipe.trl_value("seed")
    return 42 if seed is None else int(seed)


def _mixed(parts: list[Dataset], recipe: Recipe, reports: list[RowReport]) -> Dataset:
    if len(parts) == 1:
        return parts[0]
    from datasets import interleave_datasets

    weights = [entry.weight or 0.0 for entry in recipe.data.datasets]
    shares = [weight / sum(weights) for weight in weights]
    mixed = interleave_datasets(
        parts,
        probabilities=shares,
        seed=_seed(recipe),
        stopping_strategy="first_exhausted",
    )
    available = sum(len(part) for part in parts)
    if reports:
        names = ", ".join(
            f"{entry.name} {share:.0%}"
            for entry, share in zip(recipe.data.datasets, shares, strict=True)
        )
        reports[0].note(
            f"mixed as {names}: an epoch has {len(mixed):,} of {available:,} rows, "
            "until the first dataset is used up"
        )
    return mixed


def _cut_off(train: Any, recipe: Recipe) -> tuple[Any, Any]:
    count = eval_rows(recipe, len(train))
    parts = train.train_test_split(test_size=count, seed=_seed(recipe))
    return parts["train"], parts["test"]


class _Writer:
    """Writes tokenized rows once and keeps the counts."""

    def __init__(
        self, recipe: Recipe, tokenization: Tokenization, folder: Path, main_process: bool
    ) -> None:
        self.recipe = recipe
        self.tokenization = tokenization
        self.folder = folder
        self.main_process = main_process
        self.rows: list[RowReport] = []
        self.tokens: dict[str, TokenReport] = {}
        self.chat = uses_chat(recipe, tokenization.tokenizer)
        self.keep_text = recipe.evaluation.exact_match

    def write(self, kind: str, entries: list[DatasetConfig], part: int = 0) -> Dataset:
        """Return the dataset of these entries, one after the other."""
        from datasets import Dataset

        path = self.folder / f"{kind}-{part}.arrow"
        if self.main_process:
            self._write_arrow(path, kind, entries)
        return Dataset.from_file(str(path))

    def _write_arrow(self, path: Path, kind: str, entries: list[DatasetConfig]) -> None:
        import pyarrow as pa

        ids_type = pa.list_(pa.int32())
        fields = [("input_ids", ids_type), ("labels", ids_type)]
        keep_text = self.keep_text and (kind == "eval" or self.recipe.data.eval_size is not None)
        if keep_text:
            fields.append(("row", pa.large_string()))
        schema = pa.schema(fields)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")  # what is mapped already isn't written over
        with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
            for batch, texts in self._encoded(kind, entries):
                columns = {name: [row[name] for row in batch] for name in ("input_ids", "labels")}
                if keep_text:
                    columns["row"] = [json.dumps(texts[row["index"]]) for row in batch]
                stream.write_batch(pa.record_batch(columns, schema=schema))
        unfinished.replace(path)

    def _encoded(
        self, kind: str, entries: list[DatasetConfig], batch_size: int = _BATCH
    ) -> Iterator[tuple[list[Row], list[Row]]]:
        from fai_rl.trainers.tokenization import TokenReport

        report = self.tokens.setdefault(kind, TokenReport())
        for entry in entries:
            counts = RowReport(entry.name)
            self.rows.append(counts)
            rows = formatted_rows(entry, self.recipe, self.chat, counts)
            before = report.rows
            while batch := list(islice(rows, batch_size)):
                places = [place for place, _ in batch]
                texts = [row for _, row in batch]
                yield self.tokenization.encode(texts, places, report, counts.add_bad), texts
            counts.enforce(self.recipe.data.max_bad_rows)
            if report.rows == before:
                raise _no_labels(counts, report, self.tokenization.max_length)

    def stream(self) -> IterableDataset:
        """Return training rows that are read as training goes; the first are read at once.

        Raises:
            DataError: The first rows of a source can't be trained on.
        """
        from datasets import IterableDataset, interleave_datasets

        entries = self.recipe.data.datasets
        for entry in entries:
            next(self.stream_rows([entry]))
        self.tokens.clear()
        self.rows = [RowReport(entry.name) for entry in entries]
        for report in self.rows:
            report.note(f"read while training, shuffled within {_STREAM_BUFFER:,} rows at a time")
        weighted = entries[0].weight is not None
        groups = [[entry] for entry in entries] if weighted else [entries]
        # A copy, so that the reports above stay as they are.
        source = _Writer(self.recipe, self.tokenization, self.folder, False)
        streams = [
            IterableDataset.from_generator(source.stream_rows, gen_kwargs={"entries": group})
            for group in groups
        ]
        seed = _seed(self.recipe)
        mixed = streams[0]
        if weighted:
            weights = [entry.weight or 0.0 for entry in entries]
            shares = [weight / sum(weights) for weight in weights]
            mixed = interleave_datasets(streams, probabilities=shares, seed=seed)
        return mixed.shuffle(seed=seed, buffer_size=_STREAM_BUFFER)

    def stream_rows(self, entries: list[DatasetConfig]) -> Iterator[Row]:
        """Yield ids and labels. A method, so that worker processes can be sent it."""
        said = 0
        for batch, _ in self._encoded("train", entries, _STREAM_BATCH):
            report = self.tokens["train"]
            dropped = sum(source.num_bad for source in self.rows) + report.unlabelled
            if dropped > 10 * said:  # at the first, and whenever it has grown tenfold
                said = dropped
                reasons = "; ".join(line for source in self.rows for line in source.reasons())
                print_line(
                    f"warning: {dropped:,} rows of the stream were dropped so far: {reasons}"
                )
            for row in batch:
                yield {"input_ids": row["input_ids"], "labels": row["labels"]}


def uses_chat(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Tell whether prompts and answers become chat turns.

    Raises:
        DataError: `data.format` asks for them and the model has no chat template.
    """
    has_template = bool(tokenizer.chat_template)
    if recipe.data.format == "chat" and not has_template:
        raise DataError(
            f"data.format is chat and {recipe.model.base_model_name} has no chat template",
            hint="set data.format=plain, or give a template in training.chat_template_path",
        )
    return has_template if recipe.data.format == "auto" else recipe.data.format == "chat"


def _no_labels(counts: RowReport, report: TokenReport, max_length: int | None) -> DataError:
    return DataError(
        f"{counts.source}: none of its {counts.kept:,} rows has a token to train on",
        counts.where,
        f"every answer lies beyond training.max_length={max_length} "
        f"(the longest row has {report.longest:,} tokens): raise it, or shorten the prompts",
    )
