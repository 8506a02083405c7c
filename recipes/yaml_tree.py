"""YAML 1.2 as people read it, with the line of every key.

PyYAML speaks YAML 1.1, in which `1e-4` is text, `no` is false and a key written twice wins by
coming last. Here scalars follow the 1.2 core schema, a duplicate key is an error, and aliases may
not multiply a file beyond `MAX_NODES`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fai_rl.utils.errors import Problem, RecipeError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_NODES = 10_000
MAX_DEPTH = 40
KeyPath = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]+$")
_BASED = re.compile(r"0o[0-7]+$|0x[0-9a-fA-F]+$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$")
_WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}


@dataclass
class Tree:
    """A parsed document.

    Attributes:
        value: Plain dicts, lists and scalars.
        lines: Line (from 1) of every key and list item, by path.
        text: The source text of every plain (unquoted) scalar that isn't text, by path.
    """

    value: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    text: dict[KeyPath, str] = field(default_factory=dict)


def parse_scalar(text: str) -> Any:
    """Return what a plain scalar means under the YAML 1.2 core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text)
    if _BASED.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    if _SPECIAL.match(text):
        return float(text.lower().replace(".", "", 1).lstrip("+"))
    return text


def parse(text: str, name: str = "") -> Tree:
    """Return the document in `text`.

    Raises:
        RecipeError: It isn't YAML, has a key twice, or its aliases expand beyond `MAX_NODES`. Every
            duplicate is reported.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        raise RecipeError(
            f"not YAML: {error.problem or error.context}", place, _syntax_hint(text, mark)
        ) from None
    except yaml.YAMLError as error:
        raise RecipeError(f"not YAML: {error}".splitlines()[0], name) from None
    builder = _Builder(name)
    tree = Tree(None if node is None else builder.build(node, ()), builder.lines, builder.text)
    if builder.problems:
        raise RecipeError(builder.problems)
    return tree


def parse_file(path: Path, shown: str | None = None) -> Tree:
    """Return the document in a file.

    Raises:
        RecipeError: As `parse`; or the file can't be read or isn't UTF-8.
    """
    shown = shown or str(path)
    try:
        raw = path.read_bytes()
    except IsADirectoryError:
        raise RecipeError(f"{shown} is a folder, not a recipe file") from None
    except OSError as error:
        raise RecipeError(f"can't read {shown}: {error.strerror}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{shown} is not a text file in UTF-8: byte {error.start} is 0x{raw[error.start]:02x}"
        ) from None
    return parse(text, shown)


def _syntax_hint(text: str, mark: yaml.Mark | None) -> str | None:
    lines = text.splitlines()
    if mark is None or not lines:
        return None
    line = lines[min(mark.line, len(lines) - 1)]
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "the line is indented with a tab: use spaces"
    return f"the line reads: {line.strip()[:80]}" if line.strip() else None


class _Builder:
    """Turns PyYAML's node graph into plain values, noting lines and problems on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[KeyPath, int] = {}
        self.text: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []
        self._count = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count += 1
        if self._count > MAX_NODES or len(path) > MAX_DEPTH:
            raise RecipeError(
                f"aliases or nesting expand this file beyond {MAX_NODES:,} values",
                f"{self.name}:{node.start_mark.line + 1}",
                "write the values out, or keep them in a dataset file",
            )
        self.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._problem(f"YAML tag {tag} is not supported", node.start_mark.line + 1)
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, index)) for index, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem("a key must be a single word", line)
                continue
            key = key_node.value
            if key == "<<" and not key_node.style:
                self._problem("YAML merge keys (<<) are not supported", line, "write the keys out")
                continue
            if node.flow_style and ":" in key and not key_node.style and not value_node.value:
                self._problem(f"{{{key}}} has no value", line, "put a space after the colon")
                continue
            if key in first:
                dotted = ".".join(map(str, (*path, key)))
                self._problem(
                    f"key {dotted} is written twice",
                    line,
                    f"the first is on line {first[key]}: keep one of them",
                )
                continue
            first[key] = line
            self.lines[(*path, key)] = line
            result[key] = self.build(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        if node.style:  # quoted and block scalars are text whatever they look like
            return node.value
        value = parse_scalar(node.value)
        if not isinstance(value, str):
            self.text[path] = node.value
        return value

    def _problem(self, message: str, line: int, hint: str | None = None) -> None:
        self.problems.append(Problem(message, f"{self.name}:{line}", hint))


_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
}
