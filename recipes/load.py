"""From a recipe file, profiles and overrides to one `Recipe`, or to every mistake at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from fai_rl.recipes import legacy, rules
from fai_rl.recipes.algorithms import ALGORITHMS, ALIASES, algorithm_name
from fai_rl.recipes.key_table import KeyTable
from fai_rl.recipes.merging import Layer, forget_with_name, merge, resolve
from fai_rl.recipes.overrides import Override, dotted, parse_overrides
from fai_rl.recipes.recipe import Recipe
from fai_rl.recipes.schema import REQUIRED
from fai_rl.recipes.shipped import find_profile, find_recipe
from fai_rl.recipes.value_types import ValueType
from fai_rl.recipes.yaml_tree import Tree, dump, parse_file, parse_scalar
from fai_rl.utils.errors import Problem, RecipeError
from fai_rl.utils.redaction import literal_secrets
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
    tree, shown, name, readable = _read(recipe, problems)
    given: list[Override] = []
    for argument in overrides or []:
        try:
            given.extend(parse_overrides([argument]))
        except RecipeError as error:
            problems.extend(error.problems)
    given = [override for override in given if not _disables(override, tree)]
    layers = []
    for profile in ["auto", *(profiles or [])]:
        try:
            layers.append(find_profile(profile, abilities))
        except RecipeError as error:
            problems.extend(error.problems)

    algorithm, algorithm_problem = _algorithm([*layers, (shown, tree)], given)
    if algorithm_problem:
        problems.append(algorithm_problem)
    table = KeyTable(algorithm)
    layers = [(layer_name, table.spelled(layer)) for layer_name, layer in layers]
    tree = table.spelled(tree)
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
    for layer_name, layer in layers:
        problems.extend(table.problems(layer, layer_name))
    if not isinstance(tree.value, dict):
        raise RecipeError(_unique(problems))

    values, renamed = forget_with_name(tree, values)
    merged, origin, merge_problems = merge([*layers, (shown, tree)], values)
    problems.extend(merge_problems)
    problems.extend(_literal_secrets(merged, origin))
    if readable:
        problems.extend(_missing(merged, problems, shown))
    if problems:
        raise RecipeError(_unique(problems))
    resolved = resolve(merged, table, origin, shown)
    resolved["training"]["algorithm"] = algorithm
    for key, value in ALGORITHMS[algorithm or "sft"].defaults.items():
        resolved["training"].setdefault(key, value)
    result = Recipe.from_dict(resolved, name)
    result.origin = origin
    result.notes = [*renamed, *_profile_notes(layers, tree, values)]
    problems = rules.check(result)
    if problems:
        raise RecipeError(problems)
    return result


def _read(recipe: str | Path | None, problems: list[Problem]) -> tuple[Tree, str, str, bool]:
    """Return a recipe's tree, what messages call it, its name, and whether it was readable."""
    if recipe is None:
        return Tree({}), "the command line", "recipe", True
    path = find_recipe(str(recipe))
    shown = _shown(path)
    try:
        tree = parse_file(path, shown, problems)
    except RecipeError as error:
        problems.extend(error.problems)
        return Tree({}), shown, path.stem, False
    if tree.value is None:
        hint = "a recipe has model, data and training; fai-rl recipes lists whole ones"
        problems.append(Problem(f"{shown} is empty", hint=hint))
        return Tree({}), shown, path.stem, False
    return tree, shown, path.stem, True


def _disables(override: Override, tree: Tree) -> bool:
    """Apply `s3.enabled=false`, which makes a section that means nothing here harmless."""
    section, *rest = override.path
    if section not in legacy.SECTIONS or rest != ["enabled"]:
        return False
    if parse_scalar(override.raw.strip()) is not False:
        return False
    if isinstance(tree.value, dict) and isinstance(tree.value.get(section), dict):
        tree.value[section]["enabled"] = False
    return True


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _algorithm(layers: list[Layer], given: list[Override]) -> tuple[str | None, Problem | None]:
    """Return the algorithm that is named last, or what is wrong with the name."""
    value: Any = None
    where = ""
    for shown, tree in layers:
        training = tree.value.get("training") if isinstance(tree.value, dict) else None
        if isinstance(training, dict) and "algorithm" in training:
            value = training["algorithm"]
            where = f"{shown}:{tree.lines.get(('training', 'algorithm'), 1)}"
    for override in given:
        try:
            if override.path == ("training", "algorithm"):
                value = override.read(ValueType(frozenset({"str"}))).value
            elif override.path == ("training",):
                value = override.read(None).value["algorithm"]
            else:
                continue
        except (RecipeError, KeyError, TypeError):
            continue  # reported with the other overrides, or no concern of this one
        where = override.where
    if value in (None, ""):
        return None, None  # reported with the other missing keys
    name = algorithm_name(value) if isinstance(value, str) else ""
    if name in ALGORITHMS:
        return name, None
    names = [*ALGORITHMS, *ALIASES]
    hint = (
        legacy.ALGORITHMS.get(name)
        or did_you_mean(str(value), names)
        or f"the algorithms are {', '.join(names)}"
    )
    return None, Problem(f"unknown algorithm {value}", where, hint)


def _secret_problem(override: Override, value: Any) -> list[Problem]:
    return [
        Problem(
            f"{dotted(path)} on the command line is seen by everyone on this machine",
            "the command line",
            "set an environment variable instead, such as WANDB_API_KEY or HF_TOKEN",
        )
        for path in literal_secrets(value, override.path)
    ]


def _literal_secrets(config: Any, origin: dict[str, str]) -> list[Problem]:
    """Refuse secrets that a person typed into a recipe file."""
    plain = OmegaConf.to_container(config, resolve=False)
    return [
        Problem(
            f"{dotted(path)} holds a secret that everyone with the recipe can read",
            origin.get(dotted(path)),
            "set an environment variable, and write ${oc.env:ITS_NAME} here",
        )
        for path in literal_secrets(plain)
    ]


def _missing(config: Any, found: list[Problem], shown: str) -> list[Problem]:
    """Return the required keys that nobody set, but for those set under a misspelt name."""
    problems = []
    plain = OmegaConf.to_container(config, resolve=False)
    hints = [problem.hint or "" for problem in found]
    for key in REQUIRED:
        section = key.partition(".")[0]
        if any(key in hint or f"mean {section}?" in hint for hint in hints):
            continue
        if any(problem.message.startswith(f"{key} must be") for problem in found):
            continue
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
                        f"{layer_name} asks for {section}.{key}={_shown_value(value)}, the recipe "
                        f"says {_shown_value(own[key])} and wins: "
                        f"add {section}.{key}={_shown_value(value)} to overrule it"
                    )
    return notes


def _shown_value(value: Any) -> str:
    return dump(value).strip().removesuffix("...").strip()


def _unique(problems: list[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))
