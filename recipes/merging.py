"""Profiles, the recipe file and overrides as one tree, with the place of every value."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fai_rl.recipes import legacy
from fai_rl.recipes.key_table import KeyTable
from fai_rl.recipes.overrides import Override, dotted, parse_path
from fai_rl.recipes.yaml_tree import KeyPath, Tree, parse_scalar
from fai_rl.utils.errors import Problem, RecipeError
from fai_rl.utils.suggest import did_you_mean

Layer = tuple[str, Tree]


def merge(
    layers: list[Layer], values: list[tuple[Override, Any]]
) -> tuple[Any, dict[str, str], list[Problem]]:
    """Merge layers and overrides.

    Args:
        layers: Profiles and the recipe file by the name that messages call them, strongest last.
        values: Overrides with their values, strongest last.

    Returns:
        The merged tree, where each of its values came from by dotted key, and what is wrong.
    """
    problems: list[Problem] = []
    origin: dict[str, str] = {}
    config: Any = OmegaConf.create({})
    for layer_name, layer in layers:
        content = {
            section: keys
            for section, keys in layer.value.items()
            if keys is not None and section not in legacy.SECTIONS
        }
        try:
            config = OmegaConf.merge(config, OmegaConf.create(content))
        except OmegaConfBaseException as error:
            path = parse_path(str(getattr(error, "full_key", "") or "")) or ()
            where = f"{layer_name}:{layer.lines.get(path, 1)}"
            problems.append(_interpolation_problem(path, error, where))
        for path, line in layer.lines.items():
            origin[dotted(path)] = f"{layer_name}:{line}"
    for override, value in values:
        where = override.where
        problem = _past_the_end(config, override)
        if problem:
            problems.append(problem)
            continue
        try:
            OmegaConf.update(config, override.dotted, value, merge=isinstance(value, dict))
        except OmegaConfBaseException as error:
            problems.append(_interpolation_problem(override.path, error, where))
        except (TypeError, ValueError, AttributeError) as error:
            text = str(error).splitlines()[0]
            problems.append(Problem(f"can't set {override.dotted}: {text}", where))
        _note_origin(origin, override.path, value, where)
    return config, origin, problems


def forget_with_name(
    tree: Tree, values: list[tuple[Override, Any]]
) -> tuple[list[tuple[Override, Any]], list[str]]:
    """Leave out a file's subset and revision of a dataset that an override names anew.

    They belong to the dataset the file names; its columns may well be the other's too, and stay.

    Returns:
        The overrides, with those that leave keys out before them, and notes that say so.
    """
    given = {override.path for override, _ in values}
    left_out: list[tuple[Override, Any]] = []
    notes = []
    for override, value in values:
        if len(override.path) != 4 or override.path[-1] != "name":
            continue
        section, kind, index, _ = override.path
        try:
            entry = tree.value[section][kind][index]
        except (KeyError, IndexError, TypeError):
            continue
        for key in ("subset", "revision") if isinstance(entry, dict) else ():
            path = (section, kind, index, key)
            if entry.get(key) is None or path in given or entry.get("name") == value:
                continue
            left_out.append((Override(path, "null", override.source), None))
            notes.append(
                f"{dotted(path)}={entry[key]} is {entry.get('name')}'s and is left out for {value}"
            )
    return [*left_out, *values], notes


def _note_origin(origin: dict[str, str], path: KeyPath, value: Any, where: str) -> None:
    key = dotted(path)
    if not isinstance(value, dict):  # a mapping is merged, anything else replaces
        for inner in [known for known in origin if known.startswith((f"{key}.", f"{key}["))]:
            del origin[inner]
    origin[key] = where
    if isinstance(value, dict):
        for name, item in value.items():
            _note_origin(origin, (*path, name), item, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _note_origin(origin, (*path, index), item, where)


def _past_the_end(config: Any, override: Override) -> Problem | None:
    """Return the error for a list position that isn't there."""
    node = OmegaConf.to_container(config, resolve=False)
    for depth, part in enumerate(override.path):
        if isinstance(part, int):
            parent = dotted(override.path[:depth])
            count = len(node) if isinstance(node, list) else 0
            if not isinstance(node, list) or not 0 <= part < count:
                items = f"{count} item{'s' * (count != 1)}"
                example = "…" if override.path[depth + 1 :] == () else "{…}"
                return Problem(
                    f"{parent} has {items}, so there is no [{part}]",
                    override.where,
                    "positions start at 0; to add one, give the whole list: "
                    f"{parent}=[{example}, …]",
                )
            node = node[part]
        elif isinstance(node, list):
            parent = dotted(override.path[:depth])
            return Problem(
                f"{parent} is a list: say which item",
                override.where,
                f"write {parent}[0].{part}=…",
            )
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return None


def resolve(
    config: Any, table: KeyTable, origin: dict[str, str], shown: str
) -> dict[str, dict[str, Any]]:
    """Return plain values: interpolations filled in, moved and dropped keys seen to.

    Raises:
        RecipeError: An interpolation leads nowhere, or to a value of a wrong type.
    """
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        path = parse_path(str(getattr(error, "full_key", "") or "")) or ()
        where = origin.get(dotted(path), shown)
        raise RecipeError(_interpolation_problem(path, error, where, config)) from None
    raw: Any = OmegaConf.to_container(config, resolve=False)
    _decode(plain, raw, table)
    # What fails now and did not before came in through an interpolation.
    problems = table.problems(Tree(plain), shown, lambda path: origin.get(dotted(path), shown))
    if problems:
        raise RecipeError(problems)
    result = {str(name): dict(section or {}) for name, section in plain.items()}
    result.setdefault("training", {})
    for section, keys in list(result.items()):
        for key in list(keys):
            if (section, key) in legacy.MOVED:
                home, name = legacy.MOVED[section, key]
                result[home].setdefault(name, keys.pop(key))
            elif legacy.is_known((section, key)):
                del keys[key]
    for name in ("datasets", "eval_datasets"):
        for index, entry in enumerate(result.get("data", {}).get(name) or []):
            for key in list(entry):
                if legacy.is_known(("data", name, index, key)):
                    del entry[key]
    return result


def _decode(plain: dict[str, Any], raw: dict[str, Any], table: KeyTable) -> None:
    """Read what environment variables hold as YAML where the key takes more than text."""
    for section, keys in plain.items():
        for name, value in (keys or {}).items():
            key = table.find((section, name))
            given = raw[section][name]
            if key and isinstance(value, str) and "${" in given and not key.type.accepts(value):
                keys[name] = parse_scalar(value)


def _interpolation_problem(
    path: KeyPath, error: Exception, where: str, config: Any = None
) -> Problem:
    """Say in a recipe's words what OmegaConf can't do with a value."""
    text = str(getattr(error, "msg", None) or error).splitlines()[0]
    text = text.removeprefix("KeyError raised while resolving interpolation: ").strip('"')
    key = dotted(path) or "a value"
    literal = r"write \${ for a dollar and a brace that are meant as such"
    if "Environment variable" in text:
        name = text.split("'")[1]
        return Problem(
            f"can't fill in {key}: environment variable {name} is not set",
            where,
            f"set it, or give a fallback: ${{oc.env:{name},null}}",
        )
    if "Missing mandatory value" in text:
        return Problem(f"{key} is ???, which stands for a value still to be set", where)
    if "Interpolation key" in text:
        name = text.split("'")[1]
        known = _dotted_keys(OmegaConf.to_container(config, resolve=False)) if config else []
        near = did_you_mean(name, known)
        return Problem(
            f"can't fill in {key}: there is no {name}",
            where,
            f"{near}\n{literal}" if near else literal,
        )
    if "no viable alternative" in text or "mismatched input" in text or "token recog" in text:
        return Problem(f"can't fill in {key}: ${{ opens what is never closed", where, literal)
    return Problem(f"can't fill in {key}: {text[0].lower()}{text[1:]}", where, literal)


def _dotted_keys(tree: Any) -> list[str]:
    return [f"{section}.{key}" for section, keys in tree.items() for key in keys or {}]
