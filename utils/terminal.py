"""What a person sees: rich in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fai_rl.utils.errors import FaiRLError
from fai_rl.utils.redaction import redact_text

if TYPE_CHECKING:
    from rich.console import Console


def console(stderr: bool = False) -> Console:
    """Return a console on stdout (or stderr) that never breaks long lines in a pipe."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    plain = not stream.isatty()
    return Console(stderr=stderr, soft_wrap=plain, highlight=False, emoji=False, markup=False)


def print_line(text: str = "") -> None:
    """Print one plain line to stdout at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_error(error: FaiRLError) -> int:
    """Print every problem of `error` to stderr and return its exit code."""
    colour = sys.stderr.isatty()
    for number, problem in enumerate(error.problems):
        text = redact_text(str(problem))
        if colour:
            text = text.replace("error:", "\x1b[1;31merror:\x1b[0m", 1)
        sys.stderr.write(("\n" if number else "") + text + "\n")
    if len(error.problems) > 1:
        sys.stderr.write(f"\n{len(error.problems)} errors\n")
    return error.exit_code
