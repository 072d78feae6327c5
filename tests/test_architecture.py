"""The map of the README in code: which way imports point, and who may import what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ibutsu_tasks
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.cli import COMMANDS
from tests.commands import environment

if TYPE_CHECKING:
    from ibutsu_tasks.local.servers.shared import LocalServers

PACKAGE = Path(ibutsu_tasks.__file__).parent
README = PACKAGE.parent / "README.md"

LAYERS = (
    ("__main__",),
    ("cli", "client", "testing", "__init__"),
    ("ibutsu",),
    ("deployment",),
    ("roles", "local", "doctor", "sending", "metrics", "flask"),
    ("celery_app",),
    ("beat", "loader"),
    ("traces",),
    ("tasks", "health"),
    ("delivery",),
    ("resources", "retention"),
    ("broker", "database"),
    ("logs",),
    ("settings",),
    ("stack_record", "packages"),
    ("wire_names", "own_files", "text", "temporary_errors"),
    ("errors", "clock"),
)
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}

HEAVY = {
    *("celery", "kombu", "redis", "sqlalchemy", "psycopg2", "flower", "tornado", "psutil"),
    "prometheus_client",
}
DATABASE = {"sqlalchemy", "psycopg2"}
IMPORTERS_OF_CELERY = {
    "broker",
    "tasks",
    "traces",
    "delivery",
    "health",
    "beat",
    "loader",
    "celery_app",
    "roles",
    "sending",
    "cli",
    "doctor",
    "deployment",
    "ibutsu",
}

KNOWING_FLASK = {"celery_app.py", "flask.py", "tasks/applications.py", "tasks/flask.py"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported_names(path: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return frozenset(names)


def imported_units(path: Path) -> set[str]:
    parts = [name.split(".") for name in imported_names(path)]
    return {name[1] for name in parts if name[0] == "ibutsu_tasks" and len(name) > 1} & LEVEL.keys()


def imported_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_names(path)}


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
    if path.relative_to(PACKAGE).as_posix() not in KNOWING_FLASK:
        assert packages.isdisjoint({"flask", "flask_sqlalchemy"})
    assert "click" not in packages, "Typer has a Click of its own"
    if unit != "cli":
        assert packages.isdisjoint({"typer", "rich"})
    if unit not in IMPORTERS_OF_CELERY and unit != "__init__":
        assert packages.isdisjoint({"celery", "kombu"})
    if path.is_relative_to(IBUTSU / "importers"):
        assert packages.isdisjoint(HEAVY)


IBUTSU = PACKAGE / "ibutsu"

OF_IBUTSU = (
    "cli/imports/",
    "cli/prune/",
    "cli/lint.py",
    "cli/commands/import",
    "cli/commands/lint.py",
)
"""Where commands know Ibutsu's tables; everything else takes any task package."""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_its_own_rooms_know_ibutsu(path: Path) -> None:
    relative = path.relative_to(PACKAGE).as_posix()
    if path.is_relative_to(IBUTSU) or relative.startswith(OF_IBUTSU):
        return
    assert "ibutsu" not in imported_units(path)


INSIDE_IBUTSU = (
    ("package", "metrics", "doctor", "tasks"),
    ("operations",),
    ("database",),
    ("importers",),
    ("settings", "schedule", "run_lock"),
    ("retention", "signatures"),
    ("wire_names",),
)


@pytest.mark.parametrize("path", sorted(IBUTSU.rglob("*.py")), ids=lambda path: str(path.relative_to(IBUTSU)))
def test_imports_point_inwards_in_ibutsu_too(path: Path) -> None:
    level = {unit: level for level, units in enumerate(INSIDE_IBUTSU) for unit in units}
    unit = path.relative_to(IBUTSU).parts[0].removesuffix(".py")
    names = [name.split(".") for name in imported_names(path)]
    others = {name[2] for name in names if name[:2] == ["ibutsu_tasks", "ibutsu"] and len(name) > 2}
    inside = others & level.keys() - {unit}
    assert not {other for other in inside if level[other] <= level[unit]} or unit == "package"


def test_the_map_has_the_layers_once() -> None:
    (line,) = re.findall(r"^`(cli .+ → .+)`$", (PACKAGE / "README.md").read_text("utf-8"), re.MULTILINE)
    told = [set(re.findall(r"\w+", layer)) for layer in line.split(" → ")]
    assert told == [set(layer) - {"__init__"} for layer in LAYERS[1:]]


IMPORTING_LATE = {
    "__init__.py": "an application is built when it is asked for",
    "__main__.py": "the version is told, and a probe answered, before anything else is imported",
    "broker/layout.py": "kombu is needed for the messages of killed workers alone",
    "cli/__init__.py": "few commands have a log",
    "cli/dead/session.py": "the database is needed for the row of an import alone",
    "cli/output/__init__.py": "Rich is needed for a table or a coloured line",
    "doctor/checks/settings.py": "SQLAlchemy is needed when the database's address is among what is checked",
    "health/pulse.py": "the health port, with prometheus-client, is needed where one is asked for",
    "ibutsu/importers/printed_times.py": "few files have dates in words",
    "packages/loading.py": "importlib.metadata takes longer than all the rest",
    "resources.py": "a connection is made on first use",
    "sending/arguments.py": "Celery is needed for task packages without signatures alone",
    "settings/sources.py": "a help page reads the rows of the settings, and no `.env`",
    "tasks/pruning.py": "SQLAlchemy is needed where a task prunes, and not where one is sent",
    "tasks/applications.py": "Flask is needed where there is an application of it alone",
    "traces/__init__.py": "OpenTelemetry is needed where its variables ask for traces alone",
}
"""Modules beside the commands' that import in functions, and why."""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_stand_at_the_top(path: Path) -> None:
    relative = path.relative_to(PACKAGE).as_posix()
    if relative.startswith("cli/commands/") or relative in IMPORTING_LATE:
        return
    tree = tree_of(path)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not [
        node.name
        for node in functions
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]


def loaded_by(arguments: str, **variables: str) -> set[str]:
    """Name the packages that a fresh interpreter has loaded at the end of the command."""
    program = (
        "import sys\n"
        f"sys.argv = ['ibutsu-tasks', *{arguments.split()!r}]\n"
        "from ibutsu_tasks.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *{name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("command", ["", *(row.name for row in COMMANDS)])
def test_help_imports_nothing_heavy(command: str) -> None:
    assert loaded_by(f"{command} --help").isdisjoint({*HEAVY, "rich", "dotenv"})


def test_the_version_is_told_before_the_command_line_is_loaded() -> None:
    assert loaded_by("--version").isdisjoint({*HEAVY, "rich", "typer"})


def test_a_plain_probe_is_answered_before_the_command_line_is_loaded() -> None:
    needless = {*HEAVY, "rich", "typer", "dataclasses", "inspect", "pathlib", "socket", "tempfile"}
    assert loaded_by("probe live --role worker").isdisjoint(needless)


@pytest.mark.parametrize(
    "line",
    [
        "ibutsu-tasks pr",
        "ibutsu-tasks prune --",
        "ibutsu-tasks prune r",
        "ibutsu-tasks enqueue u",
        "ibutsu-tasks doctor --only b",
        "ibutsu-tasks worker --loglevel d",
    ],
)
def test_a_completion_imports_nothing_heavy(line: str) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    loaded = loaded_by("", _IBUTSU_TASKS_COMPLETE="complete_bash", **words)
    assert "typer" in loaded
    assert loaded.isdisjoint({*HEAVY, "rich", "dotenv"})


@pytest.mark.parametrize(
    ("arguments", "needless"),
    [
        ("config --json", {*HEAVY, "rich"}),
        ("config", HEAVY),
        ("lint examples/results/pytest-junit.xml", HEAVY),
        ("enqueue", DATABASE),
        ("enqueue update_run run_id=x", DATABASE),
        # Where OpenTelemetry's SDK is installed, redis-py loads it, and the SDK psutil.
        ("doctor --only broker", {*HEAVY, *DATABASE} - {"redis", "psutil"}),
    ],
)
def test_a_command_imports_only_what_it_needs(
    arguments: str, needless: set[str], servers: LocalServers
) -> None:
    broker_url = servers.broker_url.replace("virtual_host=0", "virtual_host=15")
    assert needless.isdisjoint(loaded_by(arguments, CELERY_BROKER_URL=broker_url))
    with build_client(broker_url) as client:
        client.flushdb()
