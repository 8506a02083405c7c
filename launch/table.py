"""Findings as one table, worst first."""

from __future__ import annotations

import sys

from fai_rl.launch.checks import Finding
from fai_rl.utils.terminal import console, print_line

_STYLES = {"error": "bold red", "warning": "yellow", "ok": "green"}


def print_findings(findings: list[Finding]) -> None:
    """Print what was looked at, what was found and what to do."""
    if not sys.stdout.isatty():
        for finding in findings:
            print_line(f"{finding.level:8} {finding.subject:24} {finding.text}")
            for line in filter(None, [finding.where, *finding.fix.splitlines()]):
                print_line(f"{'':33} {line}")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "looked at", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        level = Text(finding.level, style=_STYLES[finding.level])
        text = f"{finding.text}\n{finding.where}" if finding.where else finding.text
        table.add_row(level, finding.subject, text, finding.fix)
    console().print(table)
