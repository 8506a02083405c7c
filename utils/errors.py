"""One error tree; every message says what is wrong, where, and how to put it right."""

from __future__ import annotations

from dataclasses import dataclass

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USER_MISTAKE = 2


@dataclass(frozen=True)
class Problem:
    """One thing a person has to change.

    Attributes:
        message: What is wrong.
        where: The file and line, or the override, it stands in.
        hint: What to do about it; several lines are allowed.
    """

    message: str
    where: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        lines = [f"error: {self.message}"]
        if self.where:
            lines.append(f"  at   {self.where}")
        if self.hint:
            lines.extend(f"  {line}" for line in self.hint.splitlines())
        return "\n".join(lines)


class FaiRLError(Exception):
    """A failure that is told to the user without a traceback.

    Args:
        problems: What is wrong: a sentence, one `Problem` or several of them.
        where: The place, when `problems` is a sentence.
        hint: The way out, when `problems` is a sentence.
    """

    exit_code = EXIT_USER_MISTAKE

    def __init__(
        self,
        problems: str | Problem | list[Problem],
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        if isinstance(problems, str):
            problems = Problem(problems, where, hint)
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RecipeError(FaiRLError):
    """A recipe, profile or override that can't be used."""


class DataError(FaiRLError):
    """A dataset that can't be read, or holds rows that can't be trained on."""


class LaunchError(FaiRLError):
    """A run that can't be started on this machine, or that didn't end well."""


class CheckpointError(FaiRLError):
    """A model folder or checkpoint that can't be loaded or continued from."""
