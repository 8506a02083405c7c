"""Dotted overrides: `training.learning_rate=5e-5`, `data.datasets[0].name=org/data`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fai_rl.recipes.value_types import ValueType
from fai_rl.recipes.yaml_tree import KeyPath, Tree, parse, parse_scalar
from fai_rl.utils.errors import Problem, RecipeError

_PART = re.compile(r"\.?([A-Za-z_][\w-]*)|\.?(\d+)(?=\.|\[|$)|\[(-?\d+)\]")


@dataclass(frozen=True)
class Override:
    """One `key=value` of the command line.

    Attributes:
        path: The key's parts; list positions are ints.
        raw: The value as it was typed.
        source: The whole argument.
    """

    path: KeyPath
    raw: str
    source: str

    @property
    def dotted(self) -> str:
        """The key in one spelling: `data.datasets[0].name`."""
        return dotted(self.path)

    @property
    def where(self) -> str:
        """The override as messages name its place."""
        shown = self.source if len(self.source) <= 200 else self.source[:199] + "…"
        return f"override {shown}"

    def read(self, accepted: ValueType | None) -> Tree:
        """Return the value, read as YAML 1.2, or as it was typed where the key takes only text.

        Args:
            accepted: What the key accepts; None where the key isn't known.

        Raises:
            RecipeError: The value isn't YAML and the key takes more than text.
        """
        if accepted is not None and accepted.text_only():
            return Tree(self._text())
        try:
            return parse(self.raw)
        except RecipeError as error:
            raise RecipeError(
                f"can't read the value of {self.dotted}",
                self.where,
                f"{error.problems[0].message}\nquote text that holds YAML's own signs, "
                f"as in {self.dotted}='\"…\"'",
            ) from None

    def _text(self) -> str | None:
        word = self.raw.strip()
        if parse_scalar(word) is None:
            return None
        if word[:1] in ("'", '"'):
            try:
                value = parse(word).value
            except RecipeError:
                return self.raw
            return value if isinstance(value, str) else self.raw
        return self.raw


def dotted(path: KeyPath) -> str:
    """Return a path in one spelling: `data.datasets[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def parse_path(text: str) -> KeyPath | None:
    """Return the parts of a dotted key, or None where it isn't one."""
    if text.startswith("."):
        return None
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            return None
        name, index, bracketed = match.groups()
        if name is None and not parts:
            return None
        parts.append(name if name is not None else int(index if index is not None else bracketed))
        position = match.end()
    return tuple(parts) if parts else None


def parse_overrides(arguments: list[str]) -> list[Override]:
    """Return the overrides among the command line's words.

    Raises:
        RecipeError: Words that aren't `key=value`, all of them at once.
    """
    overrides, problems = [], []
    for argument in arguments:
        if not argument.isascii() and argument.encode(errors="replace").decode() != argument:
            problems.append(Problem("an override is not UTF-8", f"override {argument!a}"))
            continue
        key, equals, raw = argument.partition("=")
        path = parse_path(key)
        if equals and path is not None:
            overrides.append(Override(path, raw, argument))
            continue
        hint = "an override is written section.key=value, as in training.learning_rate=5e-5"
        if not equals and path is not None and len(path) > 1:
            hint = f"give it a value: {key}=…"
        problems.append(Problem(f"not an override: {argument}", "the command line", hint))
    if problems:
        raise RecipeError(problems)
    return overrides
