"""The door: `fai-rl-train --recipe R [flags] [key=value …]`, and `train()` for Python."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from fai_rl.launch.checks import Finding
    from fai_rl.launch.plan import LaunchPlan
    from fai_rl.recipes.recipe import Recipe

_EPILOG = """\
examples:
  fai-rl-train --recipe sft/tiny_cpu
  fai-rl-train --recipe recipes/training/sft/llama3_3B_lora.yaml --num-gpus 8 --nohup
  fai-rl-train --recipe my.yaml --check training.learning_rate=5.0e-5 data.datasets[0].name=org/data

fai-rl recipes lists the shipped recipes; fai-rl keys sft explains every key.
"""


@dataclass
class Run:
    """A finished run.

    Attributes:
        path: Its folder.
        model: The final model's folder.
        metrics: The last value of every metric.
        history: Every logged entry, oldest first.
    """

    path: Path
    model: Path
    metrics: dict[str, float]
    history: list[dict[str, Any]]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        from fai_rl.utils.errors import RecipeError

        raise RecipeError(message, "the command line", f"{self.prog} --help shows what there is")


def make_parser(prog: str = "fai-rl-train") -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = _Parser(
        prog=prog,
        description="Post-train a language model from one recipe.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--recipe", metavar="R", help="a YAML file, or a shipped recipe's name")
    parser.add_argument("--num-gpus", type=int, metavar="N", help="GPUs to use; 0 is the CPU")
    parser.add_argument(
        "--profile",
        action="append",
        default=[],
        metavar="P",
        help="full, lora, qlora, int8, cpu-fp32, cpu-bf16, cpu-fp16, or a file; may be repeated",
    )
    parser.add_argument("--nohup", action="store_true", help="go on when the terminal closes")
    parser.add_argument("--check", action="store_true", help="look at everything, train nothing")
    parser.add_argument("--dry-run", action="store_true", help="print the recipe and the command")
    parser.add_argument("--print-recipe", action="store_true", help="print the resolved recipe")
    parser.add_argument(
        "--overwrite", action="store_true", help="delete the run that output_dir holds"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="recipe keys to set")
    return parser


def main(arguments: list[str] | None = None, prog: str = "fai-rl-train") -> int:
    """Run the command and return its exit code."""
    from fai_rl.utils.errors import FaiRLError
    from fai_rl.utils.terminal import print_error

    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        make_parser(prog).print_help()
        return 2
    _read_dotenv()
    try:
        return _run(_parse(arguments, prog))
    except FaiRLError as error:
        return print_error(error)
    except KeyboardInterrupt:
        return 130


def _read_dotenv() -> None:
    """Take keys such as HF_TOKEN from `.env`, where the shell has not set them."""
    if Path(".env").is_file():
        from dotenv import load_dotenv

        load_dotenv(".env", override=False)


def _parse(arguments: list[str], prog: str) -> argparse.Namespace:
    from fai_rl.utils.errors import FaiRLError, Problem, RecipeError
    from fai_rl.utils.suggest import did_you_mean

    parser = make_parser(prog)
    given, unknown = parser.parse_known_intermixed_args(arguments)
    problems = []
    flags = [option for action in parser._actions for option in action.option_strings]
    for word in unknown:
        name = word.partition("=")[0]
        hint = did_you_mean(name.replace("_", "-"), flags)
        if hint is None:
            key = name.lstrip("-")
            key = key if "." in key else f"training.{key}"
            hint = f"overrides have no dashes: {key}={word.partition('=')[2] or '…'}"
        problems.append(Problem(f"unknown flag {name}", "the command line", hint))
    if arguments.count("--recipe") > 1:
        problems.append(
            Problem("--recipe is given twice", "the command line", "one run, one recipe")
        )
    if given.recipe is None and not problems:
        files = [word for word in given.overrides if word.endswith((".yaml", ".yml"))]
        hint = "give one: --recipe sft/tiny_cpu; fai-rl recipes lists the shipped ones"
        if files:
            hint = f"did you mean --recipe {files[0]}?"
        problems.append(Problem("no recipe", "the command line", hint))
    given.profile = [name for word in given.profile for name in word.split(",")]
    if problems and given.recipe:  # the recipe's own mistakes are told in the same go
        try:
            _load(given)
        except FaiRLError as error:
            problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return given


def _run(given: argparse.Namespace) -> int:
    from fai_rl.launch.checks import refuse_errors
    from fai_rl.launch.run_folder import check_free
    from fai_rl.utils.terminal import print_line

    recipe = _load(given)
    if given.print_recipe:
        print_line(recipe.as_yaml().rstrip())
        return 0
    plan, findings = look(recipe, given.num_gpus)
    if given.check:
        return _print_check(findings, recipe, given.overwrite)
    refuse_errors(findings)
    if given.dry_run:
        return _print_dry_run(recipe, plan)
    check_free(recipe, given.overwrite)
    for finding in findings:
        if finding.level == "warning":
            print_line(f"warning: {finding.text}" + (f" ({finding.fix})" if finding.fix else ""))
    if given.nohup:
        from fai_rl.launch.detached import start_detached

        return start_detached(recipe, plan, given.overwrite)
    from fai_rl.launch.attached import run_attached

    outcome, _ = run_attached(recipe, plan, given.overwrite)
    return outcome.exit_code


def _load(given: argparse.Namespace) -> Recipe:
    from fai_rl.launch.devices import this_machine
    from fai_rl.recipes.load import load

    profiles = [name for name in given.profile if name != "auto"]
    overrides = list(given.overrides)
    if given.num_gpus == 0:
        overrides.append("training.use_cpu=true")
    return load(given.recipe, overrides, profiles, this_machine().abilities)


def look(recipe: Recipe, num_gpus: int | None) -> tuple[LaunchPlan, list[Finding]]:
    """Settle how the recipe is run on this machine, and return everything worth knowing first.

    Raises:
        LaunchError: Devices that aren't there.
        DataError: Rows that can't be trained on.
    """
    from fai_rl.launch.checks import by_severity, check_machine
    from fai_rl.launch.devices import this_machine
    from fai_rl.launch.plan import make_plan
    from fai_rl.utils.errors import FaiRLError

    problems = []
    findings: list[Finding] = []
    plan: LaunchPlan | None = None
    try:
        plan = make_plan(recipe, this_machine(), num_gpus)
        findings = [*check_machine(recipe, plan, this_machine()), *_look_at_hub(recipe, plan)]
    except FaiRLError as error:
        problems.extend(error.problems)
        kind = type(error)
    try:
        findings.extend(_look_at_data(recipe))
    except FaiRLError as error:
        problems.extend(error.problems)
        kind = type(error)
    if problems:
        problems.extend(f.problem() for f in findings if f.level == "error")
        raise kind(problems)
    assert plan is not None
    return plan, by_severity(findings)


def _look_at_hub(recipe: Recipe, plan: LaunchPlan) -> list[Finding]:
    """Say that the hub can't be reached, and keep the libraries from trying for a minute."""
    from fai_rl.launch.checks import Finding
    from fai_rl.launch.hub import why_unreachable
    from fai_rl.trainers.model import is_on_hub
    from fai_rl.trainers.readers import is_here

    names = [recipe.model.base_model_name] if is_on_hub(recipe) else []
    entries = [*recipe.data.datasets, *recipe.data.eval_datasets]
    names += [entry.name for entry in entries if not is_here(entry.name)]
    why = why_unreachable() if names else None
    if why is None:
        return []
    plan.environment["HF_HUB_OFFLINE"] = "1"
    text = f"{why}: {', '.join(dict.fromkeys(names))} must be in its cache on this machine"
    return [Finding("warning", "hub", text, "a local folder or file can be named instead")]


def _look_at_data(recipe: Recipe) -> list[Finding]:
    from fai_rl.launch.checks import Finding
    from fai_rl.trainers.data import check_sources
    from fai_rl.trainers.model import has_chat_template

    findings = []
    for report in check_sources(recipe):
        text = f"{report.source}: {report.kept:,} rows" if report.read else report.source
        findings.append(Finding("ok", "data", ", ".join([text, *report.notes])))
        if report.num_bad:
            findings.append(Finding("warning", "data", f"dropped {'; '.join(report.reasons())}"))
        needs_template = report.form == "messages" or recipe.data.format == "chat"
        if needs_template and has_chat_template(recipe) is False:
            findings.append(
                Finding(
                    "error",
                    "chat template",
                    f"{report.source} holds chat turns and {recipe.model.base_model_name} has no "
                    "chat template",
                    "give one in training.chat_template_path, or rows with a prompt and an answer",
                    report.where,
                )
            )
    return findings


def _print_check(findings: list[Finding], recipe: Recipe, overwrite: bool) -> int:
    from fai_rl.launch.checks import Finding
    from fai_rl.launch.run_folder import check_free
    from fai_rl.launch.table import print_findings
    from fai_rl.utils.errors import EXIT_USER_MISTAKE, LaunchError

    try:
        check_free(recipe, overwrite)
    except LaunchError as error:
        problem = error.problems[0]
        findings = [Finding("error", "output", problem.message, problem.hint or ""), *findings]
    print_findings(findings)
    failed = any(finding.level == "error" for finding in findings)
    return EXIT_USER_MISTAKE if failed else 0


def _print_dry_run(recipe: Recipe, plan: LaunchPlan) -> int:
    from fai_rl.launch.plan import command
    from fai_rl.utils.terminal import print_line

    folder = recipe.output_dir.absolute()
    argv = command(folder, folder / "accelerate.yaml", "STAMP")
    print_line(f"# {folder}/recipe.yaml\n{recipe.as_yaml()}")
    print_line(f"# {folder}/accelerate.yaml\n{plan.accelerate_yaml()}")
    variables = " ".join(f"{k}={shlex.quote(v)}" for k, v in plan.environment.items())
    print_line(f"# the command\n{variables} {shlex.join(argv)}")
    return 0


def train(
    recipe: str | os.PathLike[str],
    *overrides: str,
    num_gpus: int | None = None,
    profile: str | list[str] | None = None,
    overwrite: bool = False,
) -> Run:
    """Train a recipe, as `fai-rl-train` does, and return the finished run.

    Args:
        recipe: A YAML file, or a shipped recipe's name.
        overrides: `section.key=value` words.
        num_gpus: GPUs to use; 0 is the CPU.
        profile: One or several profiles.
        overwrite: Delete the run that the output folder holds.

    Raises:
        FaiRLError: The recipe, the data or the machine don't allow the run, or it failed.
    """
    from fai_rl.launch.attached import run_attached
    from fai_rl.launch.checks import refuse_errors
    from fai_rl.launch.run_folder import check_free
    from fai_rl.utils.errors import LaunchError

    words = [os.fspath(recipe)]
    profiles = [profile] if isinstance(profile, str) else list(profile or [])
    given = argparse.Namespace(
        recipe=words[0], overrides=list(overrides), profile=profiles, num_gpus=num_gpus
    )
    loaded = _load(given)
    plan, findings = look(loaded, num_gpus)
    refuse_errors(findings)
    check_free(loaded, overwrite)
    outcome, folder = run_attached(loaded, plan, overwrite)
    if outcome.exit_code:
        raise LaunchError(outcome.message.removeprefix("error: "))
    history = [json.loads(line) for line in folder.metrics.read_text("utf-8").splitlines()]
    return Run(folder.path, folder.final, outcome.result["metrics"], history)


if __name__ == "__main__":
    # Run as a file, this folder would come first on the path and hide other packages' modules.
    sys.path = [
        entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent
    ]
    try:
        import fai_rl.utils.errors as installed
    except ModuleNotFoundError:
        sys.exit("error: fai-rl is not installed\n  run make setup, or pip install -e .")
    checkout = Path(__file__).resolve().parents[1]
    if Path(installed.__file__).resolve().parents[1] != checkout:
        sys.exit(
            f"error: this checkout's door would open the fai-rl installed at "
            f"{Path(installed.__file__).resolve().parents[1]}\n"
            "  run make setup here, or use fai-rl-train"
        )
    from fai_rl.trainers.train import main as installed_main

    sys.exit(installed_main())
