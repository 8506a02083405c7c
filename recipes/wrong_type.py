"""The message for a value of a wrong type, with what to write instead."""

from __future__ import annotations

from typing import Any

from fai_rl.recipes.config_reader import Key
from fai_rl.recipes.overrides import dotted
from fai_rl.recipes.yaml_tree import KeyPath, parse_scalar
from fai_rl.utils.errors import Problem
from fai_rl.utils.suggest import did_you_mean

# YAML 1.1's other words for them, which are text in YAML 1.2.
_BOOLS = {
    **dict.fromkeys(("yes", "on", "y", "1"), "true"),
    **dict.fromkeys(("no", "off", "n", "0"), "false"),
}


def described(value: Any) -> str:
    """Return a value in words, as messages name it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'the text "{value}"' if len(value) < 60 else f'the text "{value[:57]}…"'
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return str(value)


def wrong_type(path: KeyPath, value: Any, key: Key, where: str) -> Problem:
    """Return the problem of a value that the key doesn't accept.

    Args:
        path: The key's path.
        value: What was given.
        key: The key.
        where: Where it was given.
    """
    found = described(value)
    if isinstance(value, list) and "list" in key.type.kinds:
        bad = [item for item in value if not key.type.accepts([item])]
        found = f"a list with {described(bad[0])}" if bad else found
    name, typed = dotted(path), where.startswith("override ")
    written = f"{name}=" if typed else f"{path[-1]}: "
    return Problem(
        f"{name} must be {key.type.describe()}, not {found}", where, _hint(written, value, key)
    )


def _hint(written: str, value: Any, key: Key) -> str | None:
    accepted = key.type
    if value is None:
        return _default_hint(key)
    if accepted.choices and isinstance(value, str):
        return did_you_mean(value, [str(choice) for choice in accepted.choices])
    if "bool" in accepted.kinds and str(value).lower() in _BOOLS:
        return f"write {written}{_BOOLS[str(value).lower()]}"
    if isinstance(value, str) and accepted.accepts(plain := parse_scalar(value)):
        return f"leave the quotes out: {written}{value}" if plain is not value else None
    if "list" in accepted.kinds and "dict" in accepted.items:
        content = value if isinstance(value, str) else "…"
        return f"write a list: {written}[{{name: {content}}}]"
    if "list" in accepted.kinds and accepted.accepts([value]):
        return f"write a list: {written}[{value}]"
    if accepted.text_only():
        shown = "…" if isinstance(value, list | dict) else value
        return f'put it in quotes: {written}"{shown}"'
    if "int" in accepted.kinds and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    return None


def _default_hint(key: Key) -> str | None:
    default = key.default
    if isinstance(default, bool | int | float) or (isinstance(default, str) and default):
        shown = str(default).lower() if isinstance(default, bool) else default
        return f"leave the key out for its default, {shown}"
    return "give it a value" if default == "" else None
