"""Recipes and profiles that come with the package, named with or without their path."""

from __future__ import annotations

from pathlib import Path

from fai_rl.recipes.yaml_tree import Tree, parse_file
from fai_rl.utils.errors import RecipeError
from fai_rl.utils.suggest import did_you_mean

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
    path = Path(name).expanduser()
    if path.exists():
        return path
    shipped = shipped_recipes()
    short = path.with_suffix("").as_posix().removeprefix("recipes/training/")
    if short in shipped:
        return shipped[short]
    hint = did_you_mean(short, shipped) or "fai-rl recipes lists the shipped ones"
    raise RecipeError(f"no recipe {name}", "--recipe", hint)


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
    path = profiles.get(name) or Path(name)
    if not path.is_file():
        hint = did_you_mean(name, profiles) or f"the profiles are {', '.join(profiles)}"
        raise RecipeError(f"no profile {name}", "--profile", hint)
    tree = parse_file(path, f"profile {path.stem}")
    if not isinstance(tree.value, dict):
        raise RecipeError(f"profile {name} holds no sections", str(path))
    if "choose" in tree.value:
        fitting = [entry for entry in tree.value["choose"] if entry.get("when") in abilities]
        chosen = dict(fitting[0]) if fitting else {}
        chosen.pop("when", None)
        return f"profile {path.stem}", Tree(chosen)
    return f"profile {path.stem}", tree
