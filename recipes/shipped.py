"""Recipes and profiles that come with the package, named with or without their path."""

from __future__ import annotations

import os
from pathlib import Path

from fai_rl.recipes.yaml_tree import Tree, parse_file
from fai_rl.utils.errors import RecipeError
from fai_rl.utils.suggest import did_you_mean, nearest

ROOM = Path(__file__).parent
TRAINING = ROOM / "training"
PROFILES = ROOM / "profiles"


def shipped_recipes() -> dict[str, Path]:
    """Return every shipped recipe by its short name, `sft/tiny_cpu`."""
    files = sorted(TRAINING.glob("*/*.yaml"))
    return {f"{path.parent.name}/{path.stem}": path for path in files}


def shipped_profiles() -> dict[str, Path]:
    """Return every shipped profile by name."""
    return {path.stem: path for path in sorted(PROFILES.glob("*.yaml"))}


def summary(path: Path) -> str:
    """Return a shipped file's first comment line."""
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()


def find_recipe(name: str) -> Path:
    """Return the file that `name` means: a path, or a shipped recipe's name.

    A path under `recipes/training/` that isn't there is looked up among the shipped ones, so that
    the commands of the documentation work from any folder.

    Raises:
        RecipeError: There is no such recipe.
    """
    path = Path(os.path.expanduser(name))
    if name and os.path.exists(path):  # unlike Path.exists, false for names too long to be one
        return path
    shipped = shipped_recipes()
    short = Path(os.path.splitext(name)[0]).as_posix().removeprefix("recipes/training/")
    if short in shipped:
        return shipped[short]
    hint = _near_file(path) or did_you_mean(short, shipped)
    if hint is None:
        stems = {known.partition("/")[2]: known for known in shipped}
        near = [stems[stem] for stem in nearest(path.stem, stems)]
        hint = f"did you mean {' or '.join(near)}?" if near else None
    raise RecipeError(
        f"no recipe {name}", "--recipe", hint or "fai-rl recipes lists the shipped ones"
    )


def _near_file(path: Path) -> str | None:
    """Suggest a recipe file beside a path that isn't there."""
    if path.suffix not in (".yaml", ".yml") or not os.path.isdir(path.parent):
        return None
    names = sorted(entry.name for entry in path.parent.glob("*.y*ml"))
    same = [name for name in names if Path(name).stem == path.stem]
    prefix = "" if path.parent == Path() else f"{path.parent}/"
    return did_you_mean(path.name, same or names, prefix)


def find_profile(name: str, abilities: frozenset[str] = frozenset()) -> tuple[str, Tree]:
    """Return a profile's name for messages, and its content.

    A profile whose file has a `choose` list holds the first of its entries whose `when` is among
    the machine's abilities.

    Args:
        name: A shipped profile's name, or a file.
        abilities: What the machine can do: `gpu`, `gpu-bf16`, `cpu`.

    Raises:
        RecipeError: There is no such profile, or its file isn't one.
    """
    profiles = shipped_profiles()
    path = profiles.get(name) or Path(os.path.expanduser(name))
    if not name or not os.path.isfile(path):
        hint = did_you_mean(name, profiles) or f"the profiles are {', '.join(profiles)}"
        raise RecipeError(f"no profile {name}", "--profile", hint)
    shown = f"profile {name}" if name in profiles else name
    tree = parse_file(path, shown)
    if not isinstance(tree.value, dict):
        raise RecipeError(f"{shown} holds no sections", shown, "a profile is a part of a recipe")
    return shown, _chosen(tree, shown, abilities) if "choose" in tree.value else tree


def _chosen(tree: Tree, shown: str, abilities: frozenset[str]) -> Tree:
    """Return the first entry of a profile's `choose` list that fits the machine."""
    entries = tree.value["choose"]
    listed = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    if not listed or set(tree.value) != {"choose"}:
        raise RecipeError(
            "choose is a list of entries, and all that a profile with it holds",
            f"{shown}:{tree.lines.get(('choose',), 1)}",
            "choose:\n  - when: cpu\n    training: {use_cpu: true}",
        )
    for index, entry in enumerate(entries):
        if entry.get("when") not in abilities:
            continue
        base = ("choose", index)
        content = {key: value for key, value in entry.items() if key != "when"}
        lines = {at[2:]: line for at, line in tree.lines.items() if at[:2] == base and at[2:]}
        text = {at[2:]: word for at, word in tree.text.items() if at[:2] == base}
        return Tree(content, lines, text)
    return Tree({})
