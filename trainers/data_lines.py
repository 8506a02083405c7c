"""What became of the rows, in lines for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fai_rl.trainers.prepared import Prepared


def data_lines(data: Prepared, max_length: int | None, packing: bool) -> list[str]:
    """Return the lines: rows read and dropped per source, then tokens, cuts and dropped rows."""
    lines = []
    for source in data.rows:
        if source.read:
            lines.append(f"data: {source.source}: {source.read:,} rows read, {source.kept:,} kept")
        else:
            lines.append(f"data: {source.source}")
        lines += [f"  dropped {reason}" for reason in source.reasons()]
        lines += [f"  {note}" for note in source.notes]
    for kind, report in data.tokens.items():
        if not report.tokens:
            continue
        share = report.trained_tokens / report.tokens
        lines.append(
            f"{'tokens' if kind == 'train' else 'evaluation tokens'}: {report.rows:,} rows, "
            f"{report.tokens:,} tokens, loss on {report.trained_tokens:,} ({share:.0%}), "
            f"longest row {report.longest:,}"
        )
        if report.cut:
            how = "packed in pieces or cut" if packing else "cut"
            lines.append(
                f"  {report.cut:,} rows are longer than training.max_length={max_length} and were "
                f"{how} (the first: {report.cut_example})"
            )
        if report.unlabelled:
            lines.append(
                f"  {report.unlabelled:,} rows were dropped: no token to train on was left "
                f"(the first: {report.unlabelled_example})"
            )
        lines += [f"  {note}" for note in report.notes]
    return lines
