"""Names, types, defaults and help of a config dataclass, read from source without importing it.

TRL's configs are dataclasses over transformers' TrainingArguments; importing them imports torch
and takes seconds. Their source says all that a recipe needs, and is read once per version.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import json
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fai_rl.recipes.value_types import ValueType, parse_type
from fai_rl.utils.errors import LaunchError

_CACHE_FORMAT = 4


@dataclass(frozen=True)
class Key:
    """One key of a recipe.

    Attributes:
        name: The key without its section.
        annotation: The type as the source writes it.
        type: What it accepts.
        default: The default, or the source text of one that isn't a plain value.
        help: What it means, as its own library says it.
        owner: The class that declares it.
    """

    name: str
    annotation: str
    type: ValueType
    default: Any
    help: str
    owner: str


@cache
def own_keys(section: type) -> dict[str, Key]:
    """Return the keys of one of our schema dataclasses."""
    keys = {}
    for field in dataclasses.fields(section):
        if field.default is not dataclasses.MISSING:
            default = field.default
        else:
            default = field.default_factory() if callable(field.default_factory) else None
        annotation = str(field.type)
        accepted = parse_type(annotation)
        if choices := field.metadata.get("choices"):
            accepted = dataclasses.replace(accepted, choices=tuple(choices))
        keys[field.name] = Key(
            field.name, annotation, accepted, default, field.metadata["help"], section.__name__
        )
    return keys


@cache
def config_keys(dotted: str) -> dict[str, Key]:
    """Return the fields of the config class `dotted` (`trl.SFTConfig`), its bases' included.

    Raises:
        LaunchError: The library isn't installed, or the class isn't found in its source.
    """
    cached = _cache_file(dotted)
    fields = _read_cache(cached)
    if fields is None:
        module, class_name = dotted.rsplit(".", 1)
        fields = _SourceReader().fields(module, class_name)
        _write_cache(cached, fields)
    return {name: _key(name, field) for name, field in fields.items()}


def _key(name: str, field: dict[str, Any]) -> Key:
    enums: dict[str, list[str]] = field["enums"]
    accepted = parse_type(field["annotation"], lambda enum: tuple(enums.get(enum, ())))
    if field["choices"]:
        accepted = dataclasses.replace(accepted, choices=tuple(field["choices"]))
    return Key(name, field["annotation"], accepted, field["default"], field["help"], field["owner"])


def _cache_file(dotted: str) -> Path:
    versions = []
    for package in (dotted.split(".")[0], "transformers"):
        try:
            versions.append(f"{package}-{version(package)}")
        except PackageNotFoundError as error:
            raise LaunchError(
                f"{package} is not installed", hint=f"install it: pip install {package}"
            ) from error
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fai-rl"
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    stem = "-".join([dotted, *versions, python, f"v{_CACHE_FORMAT}"])
    return folder / f"{stem}.json"


def _read_cache(path: Path) -> dict[str, Any] | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return fields if isinstance(fields, dict) else None


def _write_cache(path: Path, fields: dict[str, Any]) -> None:
    from fai_rl.utils.files import write_json

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, fields)
    except OSError:
        pass  # a home that can't be written to costs a re-read each time, nothing else


class _SourceReader:
    """Follows classes through a package's source files, parsing each file once."""

    def __init__(self) -> None:
        self._files: dict[Path, _File] = {}
        self._members: dict[tuple[Path, str], list[tuple[str, str]]] = {}

    def fields(self, module: str, class_name: str) -> dict[str, Any]:
        """Return the dataclass fields of a class, bases first, as plain JSON values."""
        path, node = self._find_class(module, class_name)
        collected: dict[str, Any] = {}
        for base in node.bases:
            name = base.id if isinstance(base, ast.Name) else None
            if name and (home := self._home_of(path, name)):
                collected.update(self.fields(*home))
        for statement in node.body:
            if not isinstance(statement, ast.AnnAssign) or not isinstance(
                statement.target, ast.Name
            ):
                continue
            annotation = ast.unparse(statement.annotation)
            if annotation.startswith("ClassVar") or statement.target.id.startswith("_"):
                continue
            default, text, choices = _field_call(statement.value)
            collected[statement.target.id] = {
                "annotation": annotation,
                "default": self._plain_default(path, default),
                "help": re.sub(r"\s+", " ", text).replace("%%", "%").strip(),
                "choices": choices,
                "enums": self._enums(path, annotation),
                "owner": node.name,
            }
        return collected

    def _plain_default(self, path: Path, node: ast.expr | None) -> Any:
        if node is None:
            return None
        if isinstance(node, ast.Lambda):  # default_factory=lambda: [...]
            node = node.body
        try:
            return ast.literal_eval(node)
        except ValueError:
            pass
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            for name, value in self._enum_members(path, node.value.id):
                if name == node.attr:
                    return value
        if isinstance(node, ast.Name) and node.id in {"list", "dict"}:
            return [] if node.id == "list" else {}
        return ast.unparse(node)

    def _enums(self, path: Path, annotation: str) -> dict[str, list[str]]:
        names = set(re.findall(r"[A-Z]\w+", annotation)) - {"None", "Any", "Literal", "Optional"}
        found = {name: [value for _, value in self._enum_members(path, name)] for name in names}
        return {name: values for name, values in found.items() if values}

    def _enum_members(self, path: Path, class_name: str) -> list[tuple[str, str]]:
        if (path, class_name) not in self._members:
            self._members[path, class_name] = self._read_members(path, class_name)
        return self._members[path, class_name]

    def _read_members(self, path: Path, class_name: str) -> list[tuple[str, str]]:
        home = self._home_of(path, class_name)
        if home is None:
            return []
        _, node = self._find_class(*home)
        if not any("Enum" in ast.unparse(base) for base in node.bases):
            return []
        return [
            (statement.targets[0].id, statement.value.value)
            for statement in node.body
            if isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        ]

    def _home_of(self, path: Path, class_name: str) -> tuple[str, str] | None:
        """Return (module, name) of a class used in `path`: its own, or one imported there."""
        file, module = self._file(path), _module_name(path)
        if class_name in file.classes:
            return module, class_name
        found = file.imports.get(class_name)
        if found is None:
            return None
        relative_to = module if path.name == "__init__.py" else module.rpartition(".")[0]
        target = _absolute(found, relative_to)
        root = target.split(".")[0]
        return (
            (target, class_name) if root in {module.split(".")[0], "transformers", "trl"} else None
        )

    def _find_class(self, module: str, class_name: str) -> tuple[Path, ast.ClassDef]:
        """Return the file and class, following re-exports of a package's `__init__`."""
        for _ in range(5):
            path = _module_path(module)
            file = self._file(path)
            if class_name in file.classes:
                return path, file.classes[class_name]
            found = file.imports.get(class_name)
            if found is None:
                break
            module = _absolute(
                found, module if path.name == "__init__.py" else module.rpartition(".")[0]
            )
        raise LaunchError(
            f"{class_name} is not in the installed {module.split('.')[0]}",
            hint="install the versions of the project's lock file",
        )

    def _file(self, path: Path) -> _File:
        if path not in self._files:
            self._files[path] = _File.read(path)
        return self._files[path]


@dataclass
class _File:
    """The classes a source file defines and the modules its names are imported from."""

    classes: dict[str, ast.ClassDef]
    imports: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> _File:
        classes: dict[str, ast.ClassDef] = {}
        imports: dict[str, str] = {}
        pending: list[ast.stmt] = list(ast.parse(path.read_text(encoding="utf-8")).body)
        while pending:
            node = pending.pop()
            if isinstance(node, ast.ClassDef):
                classes[node.name] = node
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    imports[alias.asname or alias.name] = "." * node.level + (node.module or "")
            elif isinstance(node, ast.If):  # re-exports stand under `if TYPE_CHECKING`
                pending.extend(node.body + node.orelse)
        return cls(classes, imports)


def _field_call(node: ast.expr | None) -> tuple[ast.expr | None, str, list[Any]]:
    """Return default, help and choices of `field(default=…, metadata={…})` or of a bare default."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("field")):
        return node, "", []
    default: ast.expr | None = None
    text, choices = "", []
    for keyword in node.keywords:
        if keyword.arg in {"default", "default_factory"}:
            default = keyword.value
        elif keyword.arg == "metadata" and isinstance(keyword.value, ast.Dict):
            for name, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                label = name.value if isinstance(name, ast.Constant) else None
                try:
                    content = ast.literal_eval(value)
                except ValueError:
                    continue
                if label == "help":
                    text = str(content)
                elif label == "choices":
                    choices = list(content)
    return default, text, choices


def _absolute(target: str, package: str) -> str:
    return importlib.util.resolve_name(target, package) if target.startswith(".") else target


@cache
def _package_root(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LaunchError(f"{package} is not installed", hint=f"install it: pip install {package}")
    return Path(spec.origin).parent


def _module_path(module: str) -> Path:
    package, *rest = module.split(".")
    base = _package_root(package).joinpath(*rest)
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _module_name(path: Path) -> str:
    for package in ("trl", "transformers"):
        root = _package_root(package)
        if path.is_relative_to(root):
            parts = list(path.relative_to(root).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            return ".".join([package, *parts])
    raise LaunchError(f"{path} belongs to no known package")
