"""Which keys a recipe of one algorithm may hold, and the check of a tree of values against them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints

from fai_rl.recipes import legacy
from fai_rl.recipes.algorithms import ALGORITHMS
from fai_rl.recipes.config_reader import Key, config_keys, own_keys
from fai_rl.recipes.overrides import Override, dotted
from fai_rl.recipes.schema import SECTIONS
from fai_rl.recipes.value_types import ValueType
from fai_rl.recipes.yaml_tree import KeyPath, Tree, parse_scalar
from fai_rl.utils.errors import Problem
from fai_rl.utils.suggest import did_you_mean


class KeyTable:
    """The keys of every section, for one algorithm.

    Args:
        algorithm: Name in `ALGORITHMS`; None accepts the keys of all algorithms, for checking a
            recipe whose algorithm is itself in error.
    """

    def __init__(self, algorithm: str | None) -> None:
        self.algorithm = algorithm
        self.sections = {name: own_keys(section) for name, section in SECTIONS.items()}
        known = [ALGORITHMS[algorithm]] if algorithm else list(ALGORITHMS.values())
        self.library: dict[str, Key] = {}
        for config in dict.fromkeys(entry.config for entry in known):
            self.library = {**config_keys(config), **self.library}
        own = self.sections["training"]
        # transformers' own words stand for output_dir; a key is documented once.
        self.sections["training"] = {
            **own,
            **{k: v for k, v in self.library.items() if k not in own},
        }

    def find(self, path: KeyPath) -> Key | None:
        """Return the key at `path`, or None where there is none."""
        keys = self._keys_at(path[:-1])
        return keys.get(str(path[-1])) if keys and isinstance(path[-1], str) else None

    def _keys_at(self, path: KeyPath) -> dict[str, Key] | None:
        if len(path) == 1 and path[0] in self.sections:
            return self.sections[str(path[0])]
        if len(path) == 3 and isinstance(path[2], int):
            item = _item_class(str(path[0]), str(path[1]))
            return own_keys(item) if item else None
        return None

    def problems(self, tree: Tree, name: str) -> list[Problem]:
        """Return a recipe file's unknown keys and values of a wrong type."""
        if not isinstance(tree.value, dict):
            return [
                Problem(
                    f"{name} holds {_described(tree.value)}, not sections",
                    name,
                    "a recipe has the sections model, data and training",
                )
            ]
        found: list[Problem] = []

        def place(path: KeyPath) -> str:
            return f"{name}:{tree.lines.get(path, 1)}"

        for section, content in tree.value.items():
            if section not in self.sections:
                found.extend(self._unknown_section(section, content, place((section,))))
            elif content is None:
                continue
            elif not isinstance(content, dict):
                found.append(
                    _wrong_type((section,), content, "a mapping of keys", place((section,)))
                )
            else:
                for key, value in content.items():
                    found.extend(self._check((section, key), value, place, tree))
        return found

    def override_problems(self, override: Override) -> tuple[Any, list[Problem]]:
        """Return an override's value and what is wrong with it."""
        where = f"override {override.source}"
        path = override.path
        if path[0] not in self.sections:
            return None, self._unknown_section(str(path[0]), None, where)
        if len(path) == 1:
            key = None
        else:
            # Below a known key lies free content (a dict's entry or a list's item).
            owner: KeyPath = path[:4] if len(path) > 3 and self._keys_at(path[:3]) else path[:2]
            problems = self._check_name(owner, where)
            if problems:
                return None, problems
            key = self.find(owner) if owner == path else None
        value = override.value(key.type if key else None)
        if len(path) == 1:
            tree = Tree({path[0]: value})
            return value, [
                dataclasses.replace(problem, where=where) for problem in self.problems(tree, "")
            ]
        if key is None and not isinstance(path[-1], int):
            return value, []
        return value, list(self._check(path, value, lambda _: where, Tree(None)))

    def _check(self, path: KeyPath, value: Any, place: Any, tree: Tree) -> Iterator[Problem]:
        if isinstance(path[-1], int):
            yield from self._check_item(path, value, place, tree)
            return
        where = place(path)
        unknown = self._check_name(path, where)
        if unknown:
            yield from unknown
            return
        if legacy.is_known(path):
            problem = legacy.dropped_problem(path, value, where)
            if problem:
                yield problem
            return
        item = _item_class(str(path[0]), str(path[1])) if len(path) == 2 else None
        if item and isinstance(value, list):
            for index, entry in enumerate(value):
                yield from self._check_item((*path, index), entry, place, tree)
            return
        key = self.find(path)
        if key is None or (isinstance(value, str) and "${" in value):
            return
        if key.type.text_only() and path in tree.text:
            return  # a number written where a name belongs keeps its own spelling
        if not key.type.accepts(value):
            yield _wrong_type(path, value, key.type.describe(), where, key.type)

    def _check_item(self, path: KeyPath, value: Any, place: Any, tree: Tree) -> Iterator[Problem]:
        if self._keys_at(path) is None:
            return
        if not isinstance(value, dict):
            hint = None
            if isinstance(value, str):
                hint = f"write {dotted(path)} as a mapping: {{name: {value}}}"
            yield Problem(
                f"{dotted(path)} is {_described(value)}, not a mapping", place(path), hint
            )
            return
        for name, entry in value.items():
            yield from self._check((*path, name), entry, place, tree)

    def _check_name(self, path: KeyPath, where: str) -> list[Problem]:
        keys = self._keys_at(path[:-1])
        name = str(path[-1])
        if keys is None or name in keys or legacy.is_known(path):
            return []
        parent = dotted(path[:-1])
        if replaced := legacy.replacement(path, self.algorithm):
            return [Problem(f"{dotted(path)} means nothing here", where, replaced)]
        hint = did_you_mean(name, keys, parent + ".")
        if hint is None:
            elsewhere = [section for section, known in self.sections.items() if name in known]
            hint = f"did you mean {elsewhere[0]}.{name}?" if elsewhere else None
        if hint is None and path[0] == "training":
            hint = f"fai-rl keys {self.algorithm or 'sft'} lists every key"
        return [Problem(f"unknown key {dotted(path)}", where, hint)]

    def _unknown_section(self, section: str, content: Any, where: str) -> list[Problem]:
        if section in legacy.SECTIONS:
            problem = legacy.section_problem(section, content, where)
            return [problem] if problem else []
        hint = did_you_mean(section, self.sections)
        if hint is None:
            homes = [name for name, keys in self.sections.items() if section in keys]
            hint = f"did you mean {homes[0]}.{section}?" if homes else None
        sections = ", ".join(self.sections)
        return [
            Problem(f"unknown section {section}", where, hint or f"the sections are {sections}")
        ]


def _item_class(section: str, key: str) -> type | None:
    """Return the dataclass of a list key's items (`data.datasets`), or None."""
    if section not in SECTIONS:
        return None
    from fai_rl.recipes import schema

    hint = get_type_hints(SECTIONS[section], vars(schema)).get(key)
    if get_origin(hint) is list:
        item = get_args(hint)[0]
        return item if isinstance(item, type) and dataclasses.is_dataclass(item) else None
    return None


def _described(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'the text "{value}"' if len(value) < 60 else f'the text "{value[:57]}…"'
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a mapping"
    return str(value)


def _wrong_type(
    path: KeyPath, value: Any, wanted: str, where: str, accepted: ValueType | None = None
) -> Problem:
    hint = None
    if accepted and accepted.choices and isinstance(value, str):
        hint = did_you_mean(value, [str(choice) for choice in accepted.choices])
    elif (
        isinstance(value, str)
        and (plain := parse_scalar(value)) is not value
        and (accepted and accepted.accepts(plain))
    ):
        hint = f"leave the quotes out: {path[-1]}: {value}"
    elif accepted and accepted.text_only() and not isinstance(value, list | dict):
        hint = f'put it in quotes: {path[-1]}: "{value}"'
    elif accepted and "int" in accepted.kinds and isinstance(value, float) and value.is_integer():
        hint = f"write {int(value)}"
    return Problem(f"{dotted(path)} must be {wanted}, not {_described(value)}", where, hint)
