"""The house's own rules: what the wheel holds, which names modules may bear, sizes, the lock."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("utils", "recipes", "launch", "trainers", "evaluation")


def sources() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def test_files_stay_under_400_lines():
    long = {p.name: n for p in sources() if (n := len(p.read_text("utf-8").splitlines())) > 400}
    assert not long


def test_no_module_bears_the_name_of_another_package():
    """Run as `python trainers/train.py`, a room comes first on the path."""
    installed = {
        name.split(".")[0]
        for distribution in distributions()
        for name in (distribution.read_text("top_level.txt") or distribution.name).split()
    }
    taken = set(sys.stdlib_module_names) | {name.replace("-", "_") for name in installed}
    ours = {path.stem for path in sources()} - {"__init__"}
    assert not ours & taken


def test_the_wheel_holds_every_file_of_the_rooms(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"fai_rl/{path.relative_to(ROOT)}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.suffix in (".py", ".yaml", ".json") and "__pycache__" not in path.parts
    }
    assert expected <= names
    assert not [n for n in names if not n.startswith(("fai_rl/", "fai_rl-"))]

    # It works from anywhere, without the checkout.
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    program = (
        f"import sys; sys.path.insert(0, {str(target)!r}); "
        "sys.meta_path = [f for f in sys.meta_path if '__editable__' not in str(f)]; "
        "from fai_rl.trainers.train import main; import fai_rl.trainers as t; "
        "assert t.__file__.startswith(sys.path[0]), t.__file__; "
        "sys.exit(main(['--recipe', 'sft/tiny_cpu', '--print-recipe']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "base_model_name: builtin:tiny" in done.stdout


def test_the_lock_pins_all_that_the_metadata_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(r) for r in project["dependencies"] + extras["quant"] + extras["dev"]]
    pins = {}
    for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", line
            pins[canonicalize_name(requirement.name)] = specifier.version
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in the lock"
        assert requirement.specifier.contains(pins[name], prereleases=True), name
    installed = {canonicalize_name(d.name): d.version.split("+")[0] for d in distributions()}
    differing = {n: (v, installed[n]) for n, v in pins.items() if installed.get(n, v) != v}
    if differing:
        pytest.skip(f"this environment was not made from the lock: {differing}")


def test_the_checkouts_door_opens(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "trainers" / "train.py", "--recipe", "sft/tiny_cpu", "--check"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "builtin:addition" in done.stdout


@pytest.mark.parametrize(
    "words", [["recipes"], ["keys", "sft"], ["schema"], ["doctor"], ["--help"], ["train", "--help"]]
)
def test_commands_that_do_not_train_start_light(words):
    program = (
        "import sys; from fai_rl.trainers.main import main\n"
        "try: code = main()\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
