"""`fai-rl`: one name for all commands."""

from __future__ import annotations

import argparse
import importlib
import json
import sys

from fai_rl.utils.errors import EXIT_USER_MISTAKE, FaiRLError, RecipeError
from fai_rl.utils.suggest import did_you_mean
from fai_rl.utils.terminal import print_error, print_line

# name -> (module, function, what it does); modules are imported when their command runs.
_COMMANDS = {
    "train": ("fai_rl.trainers.train", "main", "train a recipe (the same as fai-rl-train)"),
    "evaluate": ("fai_rl.evaluation.evaluate", "main", "answer a run's held-out questions again"),
    "recipes": ("fai_rl.trainers.main", "_recipes", "list the shipped recipes and profiles"),
    "keys": ("fai_rl.trainers.main", "_keys", "explain the keys of a recipe: fai-rl keys sft lora"),
    "schema": ("fai_rl.trainers.main", "_schema", "print the JSON schema of recipes, for editors"),
    "doctor": ("fai_rl.launch.doctor", "main", "say what this machine can do"),
}


def main() -> int:
    """Run the command that the first word names."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print_line("usage: fai-rl COMMAND …\n")
        for name, (_, _, text) in _COMMANDS.items():
            print_line(f"  {name:10} {text}")
        print_line("\nfai-rl COMMAND --help says more.")
        return 0 if arguments else EXIT_USER_MISTAKE
    name, *rest = arguments
    try:
        if name not in _COMMANDS:
            hint = did_you_mean(name, _COMMANDS, "fai-rl ") or "fai-rl --help lists the commands"
            raise RecipeError(f"no command {name}", "the command line", hint)
        module, function, _ = _COMMANDS[name]
        command = getattr(importlib.import_module(module), function)
        return int(command(rest, f"fai-rl {name}"))
    except FaiRLError as error:
        return print_error(error)
    except BrokenPipeError:  # | head
        sys.stderr.close()
        return 0


def _recipes(arguments: list[str], prog: str) -> int:
    """List the shipped recipes and profiles with one line each."""
    from fai_rl.recipes.shipped import shipped_profiles, shipped_recipes, summary

    argparse.ArgumentParser(prog=prog, description=_recipes.__doc__).parse_args(arguments)
    for title, files in (("recipes", shipped_recipes()), ("profiles", shipped_profiles())):
        print_line(f"{title}:")
        for name, path in files.items():
            print_line(f"  {name:24} {summary(path)}")
    print_line("\nfai-rl-train --recipe NAME trains one; --print-recipe shows all of it.")
    return 0


def _keys(arguments: list[str], prog: str) -> int:
    """Explain the keys of a recipe, or those whose name or meaning holds PATTERN."""
    from fai_rl.recipes.algorithms import ALGORITHMS, algorithm_name
    from fai_rl.recipes.reference import matching, shown_default

    parser = argparse.ArgumentParser(prog=prog, description=_keys.__doc__)
    parser.add_argument("algorithm", help=", ".join(ALGORITHMS))
    parser.add_argument("pattern", nargs="?", help="lora, batch, save, …")
    given = parser.parse_args(arguments)
    name = algorithm_name(given.algorithm)
    if name not in ALGORITHMS:
        hint = did_you_mean(name, ALGORITHMS) or f"the algorithms are {', '.join(ALGORITHMS)}"
        raise RecipeError(f"unknown algorithm {given.algorithm}", "the command line", hint)
    found = matching(name, given.pattern)
    if not found:
        names = [key.rpartition(".")[2] for key, _ in matching(name, None)]
        raise RecipeError(
            f"no key of {name} holds {given.pattern}",
            "the command line",
            did_you_mean(given.pattern, names),
        )
    for dotted, key in found:
        print_line(f"{dotted} = {shown_default(dotted, key)}   ({key.type.describe()})")
        if key.help:
            print_line(f"    {key.help}")
    return 0


def _schema(arguments: list[str], prog: str) -> int:
    """Print the JSON schema of recipes, for editors to complete and check by."""
    from fai_rl.recipes.reference import json_schema

    argparse.ArgumentParser(prog=prog, description=_schema.__doc__).parse_args(arguments)
    print_line(json.dumps(json_schema(), indent=2))
    return 0
