"""The map of the README in code: which way imports point, and who may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ibutsu_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(ibutsu_tasks.__file__).parent
README = PACKAGE.parent / "README.md"

LAYERS = (
    ("__main__",),
    ("cli", "__init__"),
    ("roles", "local", "doctor", "sending"),
    ("celery_app",),
    ("beat",),
    ("tasks",),
    ("operations", "resources"),
    ("broker", "job_updates", "run_lock"),
    ("database",),
    ("importers",),
    ("schedule", "queues", "logs"),
    ("settings",),
    ("stack_record", "retention"),
    ("storable", "wire_names"),
    ("errors", "clock"),
)
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}

HEAVY = {"celery", "kombu", "redis", "sqlalchemy", "psycopg2", "flower", "tornado", "psutil"}
IMPORTERS_OF_CELERY = {"tasks", "beat", "celery_app", "roles", "sending", "cli", "doctor"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def imported_units(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = [name.split(".") for name, _ in imported_names(tree)]
    return {name[1] for name in parts if name[0] == "ibutsu_tasks" and len(name) > 1} & LEVEL.keys()


def imported_packages(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {name.partition(".")[0] for name, _ in imported_names(tree)}


def test_every_module_has_its_place() -> None:
    assert {unit_of(path) for path in modules()} <= LEVEL.keys()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_inwards(path: Path) -> None:
    unit = unit_of(path)
    wrong = {other for other in imported_units(path) if other != unit and LEVEL[other] <= LEVEL[unit]}
    assert not wrong, f"{unit} imports {wrong}, which stand beside or outside it"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    unit, packages = unit_of(path), imported_packages(path)
    assert "click" not in packages, "Typer has a Click of its own"
    if unit != "cli":
        assert packages.isdisjoint({"typer", "rich"})
    if unit not in IMPORTERS_OF_CELERY and unit != "__init__":
        assert packages.isdisjoint({"celery", "kombu"})
    if unit == "importers":
        assert packages.isdisjoint(HEAVY)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_stand_at_the_top(path: Path) -> None:
    relative = path.relative_to(PACKAGE).as_posix()
    if relative.startswith("cli/commands/") or relative in {
        "cli/output.py",
        "resources.py",
        "__init__.py",
        "__main__.py",
    }:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not [
        node.name
        for node in functions
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["worker", "--help"], ["prune", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = f"""
import sys
sys.argv = ["ibutsu-tasks", *{arguments!r}]
from ibutsu_tasks.__main__ main
""".replace("__main__ main", "__main__ import main")
    program += "try:\n    main()\nexcept SystemExit:\n    pass\nprint('LOADED', *sorted(sys.modules))\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert HEAVY.isdisjoint(loaded)
