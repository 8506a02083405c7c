"""From a recipe file, profiles and overrides to one `Recipe`, or to every mistake at once."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fai_rl.recipes import legacy, rules
from fai_rl.recipes.algorithms import ALGORITHMS, ALIASES, algorithm_name
from fai_rl.recipes.key_table import KeyTable
from fai_rl.recipes.overrides import Override, dotted, parse_overrides, parse_path
from fai_rl.recipes.recipe import Recipe
from fai_rl.recipes.schema import REQUIRED
from fai_rl.recipes.shipped import find_profile, find_recipe
from fai_rl.recipes.yaml_tree import Tree, parse_file
from fai_rl.utils.errors import Problem, RecipeError
from fai_rl.utils.redaction import is_secret_key, is_secret_value
from fai_rl.utils.suggest import did_you_mean


def load(
    recipe: str | Path | None,
    overrides: list[str] | None = None,
    profiles: list[str] | None = None,
    abilities: frozenset[str] = frozenset({"cpu"}),
) -> Recipe:
    """Return the recipe, resolved.

    Precedence: schema defaults < profiles (later over earlier) < recipe file < overrides.

    Args:
        recipe: A file, or a shipped recipe's name (`sft/tiny_cpu`); None starts from defaults.
        overrides: `section.key=value` words.
        profiles: Names of shipped profiles, or profile files; `auto` lies below them all.
        abilities: What the machine can do, for profiles that choose by it.

    Raises:
        RecipeError: With every mistake found.
    """
    problems: list[Problem] = []
    tree, shown = Tree({}), "the command line"
    name = "recipe"
    if recipe is not None:
        path = find_recipe(str(recipe))
        shown, name = _shown(path), path.stem
        try:
            tree = parse_file(path, shown)
        except RecipeError as error:
            problems.extend(error.problems)
    given: list[Override] = []
    for argument in overrides or []:
        try:
            given.extend(parse_overrides([argument]))
        except RecipeError as error:
            problems.extend(error.problems)
    if tree.value is None:
        problems.append(Problem(f"{shown} is empty", hint="a recipe has model, data and training"))
        tree = Tree({})

    algorithm, algorithm_problem = _algorithm(tree, given, shown)
    if algorithm_problem:
        problems.append(algorithm_problem)
    table = KeyTable(algorithm)
    problems.extend(table.problems(tree, shown))
    values: list[tuple[Override, Any]] = []
    for override in given:
        try:
            value, found = table.override_problems(override)
        except RecipeError as error:
            found, value = error.problems, None
        found = found or _secret_problem(override, value)
        problems.extend(found)
        if not found:
            values.append((override, value))
    layers = []
    for profile in ["auto", *(profiles or [])]:
        try:
            layers.append(find_profile(profile, abilities))
        except RecipeError as error:
            problems.extend(error.problems)
    for layer_name, layer in layers:
        problems.extend(table.problems(layer, layer_name))
    if problems and not isinstance(tree.value, dict):
        raise RecipeError(problems)

    merged, origin, merge_problems = _merge(tree, shown, layers, values, table)
    problems.extend(merge_problems)
    problems.extend(_literal_secrets(merged, origin))
    problems.extend(_missing(merged, {problem.where for problem in problems}, shown))
    if problems:
        raise RecipeError(_unique(problems))
    resolved = _resolve(merged, table, origin, shown)
    resolved["training"]["algorithm"] = algorithm
    for key, value in ALGORITHMS[algorithm or "sft"].defaults.items():
        resolved["training"].setdefault(key, value)
    result = Recipe.from_dict(resolved, name)
    result.origin = origin
    result.notes = _profile_notes(layers, tree, values)
    problems = rules.check(result)
    if problems:
        raise RecipeError(problems)
    return result


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _algorithm(tree: Tree, given: list[Override], shown: str) -> tuple[str | None, Problem | None]:
    """Return the algorithm a recipe names, or what is wrong with the name."""
    value: Any = None
    where = shown
    training = tree.value.get("training") if isinstance(tree.value, dict) else None
    if isinstance(training, dict) and "algorithm" in training:
        value = training["algorithm"]
        where = f"{shown}:{tree.lines[('training', 'algorithm')]}"
    for override in given:
        if override.path == ("training", "algorithm"):
            value, where = override.raw, f"override {override.source}"
    if value in (None, ""):
        return None, None  # reported with the other missing keys
    name = algorithm_name(value) if isinstance(value, str) else ""
    if name in ALGORITHMS:
        return name, None
    names = [*ALGORITHMS, *ALIASES]
    hint = did_you_mean(str(value), names) or f"the algorithms are {', '.join(names)}"
    return None, Problem(f"unknown algorithm {value}", where, hint)


def _secret_problem(override: Override, value: Any) -> list[Problem]:
    if value is None or (isinstance(value, str) and value.startswith("${")):
        return []
    if not is_secret_key(override.dotted) and not is_secret_value(value):
        return []
    return [
        Problem(
            f"{override.dotted} on the command line is seen by everyone on this machine",
            "the command line",
            "set an environment variable instead, such as WANDB_API_KEY or HF_TOKEN",
        )
    ]


def _literal_secrets(config: Any, origin: dict[str, str]) -> list[Problem]:
    """Refuse secrets that a person typed into a recipe file."""
    problems = []
    plain: Any = OmegaConf.to_container(config, resolve=False)
    for section, keys in plain.items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            secret = is_secret_key(str(key)) or is_secret_value(value)
            if secret and isinstance(value, str) and not value.startswith("${"):
                problems.append(
                    Problem(
                        f"{section}.{key} holds a secret that everyone with the recipe can read",
                        origin.get(f"{section}.{key}"),
                        "set an environment variable, and write ${oc.env:ITS_NAME} here",
                    )
                )
    return problems


def _merge(
    tree: Tree,
    shown: str,
    layers: list[tuple[str, Tree]],
    values: list[tuple[Override, Any]],
    table: KeyTable,
) -> tuple[Any, dict[str, str], list[Problem]]:
    """Merge profiles, file and overrides; say where each value came from."""
    problems: list[Problem] = []
    origin: dict[str, str] = {}
    config: Any = OmegaConf.create({})
    for layer_name, layer in [*layers, (shown, tree)]:
        content = {k: v for k, v in _spelled(layer, table).items() if v is not None}
        content.pop("description", None)
        for section in legacy.SECTIONS:
            content.pop(section, None)
        try:
            config = OmegaConf.merge(config, OmegaConf.create(content))
        except OmegaConfBaseException as error:
            problems.append(_omegaconf_problem(error, layer, layer_name))
        for path, line in layer.lines.items():
            origin[dotted(path)] = f"{layer_name}:{line}"
    for override, value in values:
        problem = _past_the_end(config, override)
        if problem:
            problems.append(problem)
            continue
        try:
            OmegaConf.update(config, override.dotted, value, merge=isinstance(value, dict))
        except (OmegaConfBaseException, TypeError, ValueError, AttributeError) as error:
            text = str(error).splitlines()[0]
            problems.append(
                Problem(f"can't set {override.dotted}: {text}", f"override {override.source}")
            )
        origin[override.dotted] = f"override {override.source}"
    return config, origin, problems


def _past_the_end(config: Any, override: Override) -> Problem | None:
    """Return the error for a list position that isn't there."""
    node = OmegaConf.to_container(config, resolve=False)
    for depth, part in enumerate(override.path):
        if isinstance(part, int):
            parent = dotted(override.path[:depth])
            count = len(node) if isinstance(node, list) else 0
            if not isinstance(node, list) or not 0 <= part < count:
                items = f"{count} item{'s' * (count != 1)}"
                hint = f"positions start at 0; to add one, give the whole list: {parent}=[{{…}}, …]"
                return Problem(
                    f"{parent} has {items}, so there is no [{part}]",
                    f"override {override.source}",
                    hint,
                )
            node = node[part]
        elif isinstance(node, list):
            parent = dotted(override.path[:depth])
            return Problem(
                f"{parent} is a list: say which item",
                f"override {override.source}",
                f"write {parent}[0].{part}=…",
            )
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return None


def _missing(config: Any, places: set[str | None], shown: str) -> list[Problem]:
    """Return the required keys that nobody set."""
    problems = []
    plain = OmegaConf.to_container(config, resolve=False)
    for key in REQUIRED:
        node: Any = plain
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if node in (None, "", [], "???"):
            example = {
                "model.base_model_name": "builtin:tiny",
                "data.datasets": "[{name: your-org/your-dataset}]",
                "training.algorithm": "sft",
            }[key]
            problems.append(
                Problem(f"{key} is missing", shown, f"set it, for example {key}={example}")
            )
    data = plain.get("data") if isinstance(plain, dict) else None
    for key in ("datasets", "eval_datasets"):
        entries = data.get(key) if isinstance(data, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if isinstance(entry, dict) and not entry.get("name"):
                problems.append(Problem(f"data.{key}[{index}].name is missing", shown))
    return problems


def _resolve(config: Any, table: KeyTable, origin: dict[str, str], shown: str) -> dict[str, Any]:
    """Return plain values: interpolations filled in, moved and dropped keys seen to."""
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        path = parse_path(str(getattr(error, "full_key", "") or "")) or ()
        where = origin.get(dotted(path), shown)
        text = str(getattr(error, "msg", None) or error).splitlines()[0]
        raise RecipeError(f"can't resolve {dotted(path)}: {text}", where) from None
    assert isinstance(plain, dict)
    # What fails now and did not before came in through an interpolation.
    problems = table.problems(Tree(plain), shown)
    if problems:
        raise RecipeError([Problem(p.message, shown, p.hint) for p in problems])
    result: dict[str, Any] = {str(name): dict(section or {}) for name, section in plain.items()}
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


def _spelled(tree: Tree, table: KeyTable) -> Any:
    """Return a file's values, with numbers written for text-only keys kept as they were spelled."""
    content = copy.deepcopy(tree.value)
    for path, text in tree.text.items():
        key = table.find(path) if len(path) > 1 else None
        if key is None or not key.type.text_only():
            continue
        node = content
        for part in path[:-1]:
            node = node[part]
        if node[path[-1]] is not None:
            node[path[-1]] = text
    return content


def _profile_notes(
    layers: list[tuple[str, Tree]], tree: Tree, values: list[tuple[Override, Any]]
) -> list[str]:
    """Say which values of a named profile the recipe file overrules."""
    overridden = {override.path for override, _ in values}
    notes = []
    for layer_name, layer in layers[1:]:  # auto is nobody's wish
        for section, keys in (layer.value or {}).items():
            for key, value in keys.items() if isinstance(keys, dict) else []:
                own = (tree.value.get(section) or {}) if isinstance(tree.value, dict) else {}
                if key in own and own[key] != value and (section, key) not in overridden:
                    notes.append(
                        f"{layer_name} asks for {section}.{key}={value}, the recipe says "
                        f"{own[key]} and wins: add {section}.{key}={value} to overrule it"
                    )
    return notes


def _omegaconf_problem(error: Exception, layer: Tree, name: str) -> Problem:
    path = parse_path(str(getattr(error, "full_key", "") or "")) or ()
    where = f"{name}:{layer.lines.get(path, 1)}"
    return Problem(str(error).splitlines()[0], where)


def _unique(problems: list[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))
