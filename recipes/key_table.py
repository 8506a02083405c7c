"""Which keys a recipe of one algorithm may hold, and the check of a tree of values against them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from fai_rl.recipes import legacy
from fai_rl.recipes.algorithms import ALGORITHMS
from fai_rl.recipes.config_reader import Key, config_keys, own_keys
from fai_rl.recipes.overrides import Override, dotted
from fai_rl.recipes.schema import SECTIONS
from fai_rl.recipes.value_types import ValueType
from fai_rl.recipes.wrong_type import described, wrong_type
from fai_rl.recipes.yaml_tree import KeyPath, Tree
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
        self.config_keys: dict[str, Key] = {}
        for config in dict.fromkeys(entry.config for entry in known):
            self.config_keys = {**config_keys(config), **self.config_keys}
        own = self.sections["training"]
        # transformers' own words stand for output_dir; a key is documented once.
        self.sections["training"] = {
            **own,
            **{k: v for k, v in self.config_keys.items() if k not in own},
        }

    def find(self, path: KeyPath) -> Key | None:
        """Return the key at `path`, or None where there is none."""
        keys = self._keys_at(path[:-1])
        return keys.get(str(path[-1])) if keys and isinstance(path[-1], str) else None

    def _keys_at(self, path: KeyPath) -> dict[str, Key] | None:
        if len(path) == 1 and path[0] in self.sections:
            return self.sections[str(path[0])]
        if len(path) == 3 and isinstance(path[2], int):
            item = item_class(str(path[0]), str(path[1]))
            return own_keys(item) if item else None
        return None

    def spelled(self, tree: Tree, base: KeyPath = ()) -> Tree:
        """Return a tree in which what was written for text-only keys is kept as it was spelled.

        Args:
            tree: As it was parsed.
            base: Where the tree stands in the recipe.
        """
        content = copy.deepcopy(tree.value)
        for path, text in tree.text.items():
            if not path or not self._is_text((*base, *path)):
                continue
            node = content
            for part in path[:-1]:
                node = node[part]
            if node[path[-1]] is not None:
                node[path[-1]] = text
        return Tree(content, tree.lines)

    def _is_text(self, path: KeyPath) -> bool:
        if isinstance(path[-1], int):
            key = self.find(path[:-1]) if len(path) > 2 else None
            return key is not None and key.type.text_items()
        key = self.find(path)
        return key is not None and key.type.text_only()

    def problems(
        self, tree: Tree, name: str, place: Callable[[KeyPath], str] | None = None
    ) -> list[Problem]:
        """Return the unknown keys and values of a wrong type.

        Args:
            tree: A recipe's sections, spelled.
            name: What messages call it.
            place: Says where a key was set; by default the file's lines do.
        """
        if not isinstance(tree.value, dict):
            return [
                Problem(
                    f"{name} holds {described(tree.value)}, not sections",
                    name,
                    "a recipe has the sections model, data and training",
                )
            ]
        found: list[Problem] = []
        place = place or (lambda path: f"{name}:{tree.lines.get(path, 1)}")
        for section, content in tree.value.items():
            if section not in self.sections:
                found.extend(self._unknown_section(section, content, place((section,))))
            elif content is None:
                continue
            elif not isinstance(content, dict):
                found.append(
                    Problem(
                        f"{section} must be a mapping of keys, not {described(content)}",
                        place((section,)),
                        _section_hint(section, content),
                    )
                )
            else:
                for key, value in content.items():
                    found.extend(self._check((section, key), value, place))
        return found

    def override_problems(self, override: Override) -> tuple[Any, list[Problem]]:
        """Return an override's value and what is wrong with it."""
        where = override.where
        path = override.path
        if path[0] in legacy.SECTIONS:
            content = override.read(None).value if len(path) == 1 else {}
            problem = legacy.section_problem(str(path[0]), content, where)
            return None, [problem] if problem else []
        if path[0] not in self.sections:
            return None, self._unknown_section(str(path[0]), None, where)
        if len(path) == 1:
            value = self.spelled(override.read(None), path).value
            tree = Tree({path[0]: value})
            return value, self.problems(tree, "", lambda _: where)
        # Below a known key lies free content (a dict's entry or a list's item).
        owner: KeyPath = path[:4] if len(path) > 3 and self._keys_at(path[:3]) else path[:2]
        problems = self._check_name(owner, where)
        if problems:
            return None, problems
        key = self.find(owner)
        accepted = key.type if key else None
        if key and owner != path:
            inner = "list" if isinstance(path[len(owner)], int) else "dict"
            if not key.type.kinds & {inner, "list", "any"}:
                rest = dotted(path[len(owner) :])
                wanted = f"{key.type.describe()}, so it has no {rest}"
                return None, [Problem(f"{dotted(owner)} must be {wanted}", where)]
            is_item = len(path) == len(owner) + 1 and key.type.text_items()
            accepted = ValueType(key.type.items) if is_item else None
        value = self.spelled(override.read(accepted), path).value
        if owner == path or isinstance(path[-1], int):
            problems = list(self._check(path, value, lambda _: where))
        return value, problems

    def _check(
        self, path: KeyPath, value: Any, place: Callable[[KeyPath], str]
    ) -> Iterator[Problem]:
        if isinstance(path[-1], int):
            yield from self._check_item(path, value, place)
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
        item = item_class(str(path[0]), str(path[1])) if len(path) == 2 else None
        if item and isinstance(value, list):
            for index, entry in enumerate(value):
                yield from self._check_item((*path, index), entry, place)
            return
        key = self.find(path)
        if key is None or (isinstance(value, str) and "${" in value):
            return
        if not key.type.accepts(value):
            yield wrong_type(path, value, key, where)

    def _check_item(
        self, path: KeyPath, value: Any, place: Callable[[KeyPath], str]
    ) -> Iterator[Problem]:
        if self._keys_at(path) is None:
            return
        if not isinstance(value, dict):
            hint = None
            if isinstance(value, str):
                hint = f"write {dotted(path)} as a mapping: {{name: {value}}}"
            yield Problem(f"{dotted(path)} is {described(value)}, not a mapping", place(path), hint)
            return
        for name, entry in value.items():
            yield from self._check((*path, name), entry, place)

    def _check_name(self, path: KeyPath, where: str) -> list[Problem]:
        keys = self._keys_at(path[:-1])
        name = str(path[-1])
        if keys is None or name in keys or legacy.is_known(path):
            return []
        parent = dotted(path[:-1])
        if replaced := legacy.replacement(path):
            return [Problem(f"{dotted(path)} means nothing here", where, replaced)]
        hint = (
            self._exact_elsewhere(str(path[0]), name)
            or did_you_mean(name, keys, parent + ".")
            or self._near_elsewhere(name)
        )
        if hint is None and path[0] == "training":
            hint = f"fai-rl keys {self.algorithm or 'sft'} lists every key"
        if hint is None:
            hint = f"the keys are {', '.join(keys)}"
        return [Problem(f"unknown key {dotted(path)}", where, hint)]

    def _exact_elsewhere(self, home: str, name: str) -> str | None:
        """Say where a key of this very name lives: in a list's items, a section, an algorithm."""
        for section in dict.fromkeys((home, *self.sections)):
            for key in self.sections.get(section, {}):
                item = item_class(section, key)
                if section == home and item and name in own_keys(item):
                    return f"did you mean {section}.{key}[0].{name}?"
        if name in self.sections:
            return f"{name} is a section: write it at the start of a line"
        for section, known in self.sections.items():
            if name in known:
                return f"did you mean {section}.{name}?"
        others = [
            other
            for other, entry in ALGORITHMS.items()
            if other != self.algorithm and name in config_keys(entry.config)
        ]
        if home == "training" and others:
            return f"it is a key of {', '.join(others)}, not of {self.algorithm}"
        return None

    def _near_elsewhere(self, name: str) -> str | None:
        for section, known in self.sections.items():
            if hint := did_you_mean(name, known, section + "."):
                return hint
        return None

    def _unknown_section(self, section: str, content: Any, where: str) -> list[Problem]:
        if section in legacy.SECTIONS:
            problem = legacy.section_problem(section, content, where)
            return [problem] if problem else []
        homes = [name for name, keys in self.sections.items() if section in keys]
        hint = f"did you mean {homes[0]}.{section}?" if homes else None
        hint = (
            hint
            or did_you_mean(section, self.sections)
            or legacy.replacement((section,))
            or self._near_elsewhere(section)
            or f"the sections are {', '.join(self.sections)}"
        )
        return [Problem(f"unknown section {section}", where, hint)]


def _section_hint(section: str, content: Any) -> str | None:
    if section == "wandb" and isinstance(content, bool | str):
        return "write wandb: {enabled: true} or {enabled: false}"
    return f"write {section}: and its keys below it" if isinstance(content, list) else None


@cache
def item_class(section: str, key: str) -> type | None:
    """Return the dataclass of a list key's items (`data.datasets`), or None."""
    if section not in SECTIONS:
        return None
    from fai_rl.recipes import schema

    hint = get_type_hints(SECTIONS[section], vars(schema)).get(key)
    if get_origin(hint) is list:
        item = get_args(hint)[0]
        return item if isinstance(item, type) and dataclasses.is_dataclass(item) else None
    return None
