"""What a key's type annotation accepts, read from its text so that no class is imported."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_PLAIN = {"int", "float", "bool", "str", "list", "dict"}
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list",
    "dict": "a mapping",
    "none": "null",
}
_PLURALS = {
    "int": "whole numbers",
    "float": "numbers",
    "bool": "true or false",
    "str": "text",
    "list": "lists",
    "dict": "mappings",
    "none": "null",
}


@dataclass(frozen=True)
class ValueType:
    """A union of simple kinds.

    Attributes:
        kinds: Any of int, float, bool, str, list, dict, none, any.
        items: The kinds of a list's items; empty where anything goes.
        choices: The values allowed, where they are enumerated; empty where they are not.
    """

    kinds: frozenset[str]
    items: frozenset[str] = frozenset()
    choices: tuple[Any, ...] = ()

    def describe(self) -> str:
        """Return the type in words: `true or false`, `text or null`, `one of no, steps`."""
        if self.choices:
            shown = ", ".join(_literal(choice) for choice in self.choices)
            return f"one of {shown}" + (" or null" if "none" in self.kinds else "")
        order = [name for name in _NAMES if name in self.kinds]
        if "float" in order and "int" in order:
            order.remove("int")
        words = [self._word(name) for name in order]
        return " or ".join(words) or "any value"

    def _word(self, name: str) -> str:
        if name == "list" and self.items and "any" not in self.items:
            inner = " or ".join(_PLURALS[kind] for kind in _PLURALS if kind in self.items)
            return f"a list of {inner}"
        return _NAMES[name]

    def accepts(self, value: Any) -> bool:
        """Tell whether `value`, as YAML 1.2 reads it, fits without conversion."""
        if "any" in self.kinds:
            return True
        if value is None:
            return "none" in self.kinds
        if self.choices and not isinstance(value, list | dict):
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        return _fits(value, self.kinds) and (
            not isinstance(value, list)
            or not self.items
            or all(ValueType(self.items).accepts(item) for item in value)
        )

    def text_only(self) -> bool:
        """Tell whether every value but null is text."""
        return bool(self.kinds) and self.kinds <= {"str", "none"}

    def text_items(self) -> bool:
        """Tell whether every item of a list is text."""
        return "list" in self.kinds and self.items == {"str"}


def _literal(value: Any) -> str:
    return (
        {True: "true", False: "false"}.get(value, str(value))
        if isinstance(value, bool)
        else str(value)
    )


def _fits(value: Any, kinds: frozenset[str]) -> bool:
    if isinstance(value, bool):
        return "bool" in kinds
    if isinstance(value, int):
        return bool(kinds & {"int", "float"})
    if isinstance(value, float):
        return "float" in kinds
    for kind, python_type in (("str", str), ("list", list), ("dict", dict)):
        if isinstance(value, python_type):
            return kind in kinds
    return False


def parse_type(
    annotation: str, enum_values: Callable[[str], tuple[str, ...]] | None = None
) -> ValueType:
    """Return what the annotation accepts.

    Args:
        annotation: Source text, such as `dict[str, Any] | str | None`.
        enum_values: Looks an enumeration's values up by class name; empty where it is none. A
            union of an enumeration and str accepts the enumeration's values alone.
    """
    kinds: set[str] = set()
    items: set[str] = set()
    choices: list[Any] = []
    enumerated = False

    def visit(node: ast.expr) -> None:
        nonlocal enumerated
        if isinstance(node, ast.BinOp):
            visit(node.left)
            visit(node.right)
        elif isinstance(node, ast.Constant):
            if node.value is None:
                kinds.add("none")
            elif isinstance(node.value, str):
                visit(ast.parse(node.value, mode="eval").body)
        elif isinstance(node, ast.Subscript):
            _visit_subscript(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in _PLAIN:
                kinds.add(name)
            elif values := (enum_values(name) if enum_values else ()):
                enumerated = True
                choices.extend(values)
                kinds.add("str")
            elif name == "None":
                kinds.add("none")
            elif name[:1].isupper() and name not in {"Any", "Callable", "Sequence"}:
                kinds.add("dict")
            else:
                kinds.add("any")

    def _visit_subscript(node: ast.Subscript) -> None:
        outer = node.value.id if isinstance(node.value, ast.Name) else ""
        elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer in {"Optional", "Union"}:
            for element in elements:
                visit(element)
            if outer == "Optional":
                kinds.add("none")
        elif outer == "Literal":
            for element in elements:
                value = ast.literal_eval(element)
                kinds.add("none" if value is None else type(value).__name__)
        elif outer.lower() in {"list", "tuple", "set", "sequence"}:
            kinds.add("list")
            items.update(parse_type(ast.unparse(elements[0]), enum_values).kinds)
        elif outer.lower() in {"dict", "mapping"}:
            kinds.add("dict")
        else:
            kinds.add("any")

    visit(ast.parse(annotation.strip(), mode="eval").body)
    allowed = tuple(choices) if enumerated and kinds <= {"str", "none"} else ()
    return ValueType(frozenset(kinds), frozenset(items), allowed)
