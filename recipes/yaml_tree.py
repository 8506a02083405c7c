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
    from yaml import CSafeDumper as _SafeDumper
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeDumper as _SafeDumper  # type: ignore[assignment]
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_NODES = 10_000
MAX_DEPTH = 40
KeyPath = tuple[str | int, ...]

_SAFE_LENGTH = 1000  # shorter texts can't nest deep enough to do harm
_MAX_DIGITS = 400  # Python refuses to read much longer whole numbers, and no key means one

_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NO_SPACE = re.compile(r"(?:- )?[\w.-]+:[^\s:/]+$")
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
    if len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.lower().replace(".", "", 1).lstrip("+"))
    return text


def parse(text: str, name: str = "", problems: list[Problem] | None = None) -> Tree:
    """Return the document in `text`.

    Args:
        text: One YAML document.
        name: What messages call it.
        problems: Where given, mistakes that leave the rest readable (a key written twice, a tag)
            are added to it, so that the rest is checked too; otherwise they are raised.

    Raises:
        RecipeError: It isn't YAML, has a key twice, or its aliases expand beyond `MAX_NODES`.
    """
    try:
        if len(text) > _SAFE_LENGTH:
            _refuse_depth(text, name)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise RecipeError(_syntax_problem(error, text, name)) from None
    except yaml.YAMLError as error:
        raise RecipeError(_character_problem(error, text, name)) from None
    except UnicodeEncodeError as error:
        raise RecipeError(
            f"not UTF-8: character {error.start + 1} is half of one", name or None
        ) from None
    builder = _Builder(name)
    tree = Tree(None if node is None else builder.build(node, ()), builder.lines, builder.text)
    if problems is None and builder.problems:
        raise RecipeError(builder.problems)
    if problems is not None:
        problems.extend(builder.problems)
    return tree


def parse_file(path: Path, shown: str | None = None, problems: list[Problem] | None = None) -> Tree:
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
        line = raw.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            f"{shown} is not a text file in UTF-8: byte {error.start} is 0x{raw[error.start]:02x}",
            f"{shown}:{line}",
            "save it as UTF-8 in your editor",
        ) from None
    return parse(text, shown, problems)


def _refuse_depth(text: str, name: str) -> None:
    """Refuse nesting that would overflow the stack of libyaml's recursive composer."""
    depth = 0
    event: Any
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _too_large(name, event.start_mark.line + 1)


def _too_large(name: str, line: int) -> RecipeError:
    return RecipeError(
        f"aliases or nesting expand this file beyond {MAX_NODES:,} values or {MAX_DEPTH} levels",
        f"{name}:{line}" if name else None,
        "write the values out, or keep them in a dataset file",
    )


class _Dumper(_SafeDumper):
    """Quotes text that would be a number under YAML 1.2, as well as under PyYAML's 1.1."""


for _pattern in (_INT, _BASED, _FLOAT):
    _Dumper.add_implicit_resolver(
        "tag:fai-rl:number", re.compile(rf"(?:{_pattern.pattern})\Z"), list("-+.0123456789")
    )


def dump(value: Any) -> str:
    """Return plain values as a document that `parse` reads back as the same values."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    message, mark = error.problem or error.context, error.problem_mark or error.context_mark
    context = error.context or ""
    # What was never closed is named by where it was opened, not by where the file ended.
    unclosed = {"quoted scalar": "quote", "flow sequence": "[", "flow mapping": "{"}
    opened = next((sign for words, sign in unclosed.items() if words in context), None)
    if error.context_mark and (opened or "simple key" in context):
        mark = error.context_mark
    if opened and ("end of stream" in str(message) or "expected ','" in str(message)):
        message = f"a {opened} is not closed"
    lines = text.splitlines()
    if mark is None or not lines:
        return Problem(f"not YAML: {message}", name or None)
    number = min(mark.line, len(lines) - 1)
    if "mapping values" in str(message) and _NO_SPACE.match(lines[number - 1].strip()):
        number -= 1  # `seed:1` is text, which goes on in the next line
    place = f"{name}:{number + 1}" if name else None
    return Problem(f"not YAML: {message}", place, _syntax_hint(lines[number]))


def _character_problem(error: yaml.YAMLError, text: str, name: str) -> Problem:
    position = getattr(error, "position", None)
    line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
    message = str(error).splitlines()[0]
    return Problem(f"not YAML: {message}", f"{name}:{line}" if name else None)


def _syntax_hint(line: str) -> str | None:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "the line is indented with a tab: use spaces"
    content = line.strip()
    if not content:
        return None
    shown = f"the line reads: {content[:80]}"
    if _NO_SPACE.match(content):
        return f"{shown}\nput a space after the colon"
    if re.match(r"(- )?[\w.-]+: *[%@`*&!|>]", content):
        return f"{shown}\nput text that starts with one of YAML's own signs in quotes"
    if content.count(": ") > 1:
        return f"{shown}\nput text that holds a colon in quotes"
    return shown


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
            raise _too_large(self.name, node.start_mark.line + 1)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._problem(f"YAML tag {tag} is not supported", node.start_mark.line + 1)
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
