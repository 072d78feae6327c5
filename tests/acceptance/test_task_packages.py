"""What an operator sees of a task package: settings, checks, tables, and what is said of a broken one."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.commands import role, run, run_here, services
from tests.conftest import discard
from tests.packaged import HEAD, INSTALLED, WORKSHOP, declare, install, named, write_module

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = {"WORKSHOP_TOKEN": "open-sesame", "WORKSHOP_PINS": "271828,314159"}
HOOK = "https://hooks.example/services/T0/B0/XyZzYpLuGh"


@pytest.fixture(autouse=True)
def _workshop_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(INSTALLED)


def rows(*arguments: str, **variables: str) -> dict[str, Any]:
    done = run_here("config", "--json", *arguments, env=WORKSHOP | variables)
    assert "open-sesame" not in done.stdout
    return {one["variables"][0]: one for one in json.loads(done.stdout)["settings"]}


def test_settings_come_from_the_environment_a_file_or_the_default(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("open-sesame\n", encoding="utf-8")
    shown = rows(WORKSHOP_SIZE="9", WORKSHOP_TOKEN_FILE=str(file), WORKSHOP_HOOK=HOOK)
    assert (shown["WORKSHOP_SIZE"]["value"], shown["WORKSHOP_SIZE"]["source"]) == (
        9,
        "environment WORKSHOP_SIZE",
    )
    assert (shown["WORKSHOP_TOKEN"]["value"], shown["WORKSHOP_TOKEN"]["source"]) == (
        "***",
        "environment WORKSHOP_TOKEN_FILE",
    )
    # A URL may end in a token.
    assert shown["WORKSHOP_HOOK"]["value"] == "***"
    assert rows()["WORKSHOP_SIZE"]["value"] == 7
    routes = rows(IBUTSU_TASKS_ROUTES="workshop.*=later:9,x=y")["IBUTSU_TASKS_ROUTES"]["value"]
    assert routes == ["workshop.*=later:9", "x=y"]


def test_a_wrong_value_is_refused_without_telling_a_secret() -> None:
    env = WORKSHOP | {"WORKSHOP_SIZE": "none", "WORKSHOP_PINS": "271828,open-sesame"}
    shown = rows(**env)
    assert shown["WORKSHOP_SIZE"]["problem"] == "WORKSHOP_SIZE must be a whole number, not 'none'."
    assert shown["WORKSHOP_PINS"]["problem"].startswith("WORKSHOP_PINS invalid literal")
    refused = run_here("beat", env=env)
    assert refused.returncode == 3
    assert "WORKSHOP_SIZE must be a whole number" in refused.stderr
    assert "open-sesame" not in refused.stderr
    found = json.loads(run_here("doctor", "--only", "settings", "--json", env=env).stdout)["findings"]
    assert {one["code"] for one in found} >= {"IBT-S04"}
    assert "open-sesame" not in str(found)


@pytest.mark.parametrize(
    ("doors", "code", "severity", "exit_code"),
    [
        ("well", "WS-D00", "ok", 0),
        ("advice", "WS-D10", "warning", 0),
        ("wrong", "WS-D01", "failure", 1),
        ("unreachable", "WS-D02", "failure", 4),
        ("raises", "WS-D99", "failure", 1),
        ("hangs", "WS-D90", "failure", 4),
    ],
)
def test_a_check_of_a_package_is_one_of_the_doctor_s(
    doors: str, code: str, severity: str, exit_code: int
) -> None:
    env = WORKSHOP | SECRETS | {"WORKSHOP_DOORS": doors}
    done = run_here("doctor", "--only", "doors", "--json", env=env)
    (found,) = json.loads(done.stdout)["findings"]
    assert (found["code"], found["check"], found["severity"]) == (code, "doors", severity)
    assert done.returncode == exit_code
    assert "open-sesame" not in done.stdout + done.stderr


def test_a_check_that_cannot_be_loaded_is_named_and_one_whose_service_is_down_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, "lame.leaving", "exit(3)\n")
    checks = (f'Check("{name}", "LA-{name[0]}", "lame.{name}:check")' for name in ("nowhere", "leaving"))
    declare(tmp_path, "lame", f"checks=({', '.join(checks)})")
    env = named(tmp_path, "lame", "workshop") | {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    done = run_here("doctor", "--only", "nowhere,leaving,tools", "--json", env=env)
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    codes = [found[name]["code"] for name in ("nowhere", "leaving", "tools")]
    assert codes == ["LA-n99", "LA-l99", "WS-T80"]
    assert found["nowhere"]["hint"] == "Repair lame.nowhere:check."


def test_tables_are_made_where_they_are_missing_and_never_altered(
    broker_url: str, empty_database_url: str
) -> None:
    env = services(broker_url, empty_database_url) | WORKSHOP
    engine = create_engine(empty_database_url)
    assert run_here("db", "create", env=env).returncode == 0
    assert {"workshop_pieces", "runs"} <= set(inspect(engine).get_table_names())
    with engine.begin() as connection:
        connection.execute(text("insert into workshop_pieces values ('chair', 'made')"))
        connection.execute(text("alter table workshop_pieces alter column state drop not null"))
        connection.execute(text("alter table workshop_pieces alter column state type text"))
    again = run_here("db", "create", env=env)
    assert again.returncode == 1, again.stdout
    found = json.loads(run_here("doctor", "--only", "database", "--json", env=env).stdout)["findings"]
    assert [(one["code"], one["hint"]) for one in found] == [
        ("IBT-D23", "Tables are made and never altered: migrate them by hand.")
    ]
    assert "workshop_pieces.state (text in place of character varying)" in found[0]["seen"]
    with engine.begin() as connection:
        assert connection.execute(text("select state from workshop_pieces")).all() == [("made",)]
        connection.execute(text("drop table workshop_pieces"))
    made = run("db", "create", env=env)
    assert "Created 1 table in" in made.stdout, made.stderr
    engine.dispose()


def test_up_makes_the_tables_of_packages_and_runs_their_tasks(used_data_dir: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "stack"
    shutil.copytree(used_data_dir, data_dir)
    env = WORKSHOP | {"IBUTSU_TASKS_DATA_DIR": str(data_dir)}
    try:
        with role("up", "--no-flower", env=env) as up:
            up.wait_for("ready in")
            done = run("enqueue", "make", "piece_id=stool", "--wait", "60", env=env)
            assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
    finally:
        discard(data_dir)


def broken(directory: Path) -> dict[str, str]:
    """Packages that cannot be loaded, collide, or have modules and names of tasks that do not work."""
    write_module(directory, "absent.package", "import nothing_of_that_name")
    declare(directory, "copycat", 'schedule=(ScheduleRow("every-second", 5, "copycat.x"),)')
    declare(directory, "clumsy", 'tasks=("clumsy.tasks",)')
    write_module(directory, "clumsy.tasks", "raise RuntimeError('no luck')")
    declare(directory, "double", 'tasks=("double.tasks",)')
    write_module(
        directory,
        "double.tasks",
        "from celery import shared_task\n@shared_task(name='workshop.note')\ndef note(text): return 'wrong'",
    )
    return named(directory, "workshop", "absent", "copycat", "clumsy", "double")


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ("tableless.models:METADATA", "cannot be imported: ModuleNotFoundError"),
        ("json:dumps", "is no MetaData"),
    ],
)
def test_tables_that_cannot_be_used_are_named(tmp_path: Path, tables: str, why: str) -> None:
    declare(tmp_path, "tableless", f"tables={tables!r}")
    listed = run("packages", "--json", env=named(tmp_path, "tableless"))
    (problem,) = json.loads(listed.stdout)["problems"]
    assert listed.returncode == 1
    assert f"What the package tableless names as tables {why}" in problem
    nowhere = {"SQLALCHEMY_DATABASE_URI": "postgresql://127.0.0.1:1/nowhere"}
    made = run("db", "create", env=named(tmp_path, "tableless") | nowhere)
    assert (made.returncode, problem in " ".join(made.stderr.split())) == (3, True)


def test_names_that_nobody_has_are_told_by_the_doctor(tmp_path: Path) -> None:
    write_module(tmp_path, "astray.tasks", "def read(*_): ...")
    # Of one without tasks, those it sends are somebody else's.
    for name, tasks in (("astray", '"astray.tasks",'), ("elsewhere", "")):
        row = f'ScheduleRow("{name}-row", 60, "{name}.gone")'
        reads = f'Importer("{name}", "{name}.lost", "astray.tasks:read", "astray.tasks:read")'
        sends = f"schedule=({row},), importers=({reads},), canary=Canary('{name}.away')"
        declare(tmp_path, name, f"tasks=({tasks}), {sends}")
    write_module(
        tmp_path,
        "lost.package",
        f"{HEAD}PACKAGE = TaskPackage(name='lost', queues=(Queue('q'),), routes=(Route('lost.*', 'p', 3),))",
    )
    env = named(tmp_path, "astray", "elsewhere", "lost") | {"IBUTSU_TASKS_ROUTES": "x=q,y=celery,z=nowhere"}
    env |= {"IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu,Ibutsu"}
    done = run("doctor", "--only", "packages", "--json", env=env)
    found = [(one["code"], one["seen"]) for one in json.loads(done.stdout)["findings"]]
    nobody = "of the package astray sends"
    assert found == [
        (
            "IBT-K04",
            "IBUTSU_TASKS_WITHOUT_PACKAGES leaves out Ibutsu, and there is no such task package.",
        ),
        ("IBT-K02", f"The schedule entry astray-row {nobody} astray.gone, which no task package has."),
        ("IBT-K02", f"The importer astray {nobody} astray.lost, which no task package has."),
        ("IBT-K02", f"The canary {nobody} astray.away, which no task package has."),
        ("IBT-K03", "The route z=nowhere leads to a queue that no task package declares."),
        ("IBT-K03", "The route lost.*=p:3 leads to a queue that no task package declares."),
    ]
    assert done.returncode == 0


PROBLEMS = (
    (
        "absent.package (named in IBUTSU_TASKS_PACKAGES) cannot be imported: ModuleNotFoundError:"
        " No module named 'nothing_of_that_name'."
    ),
    (
        "copycat.package (named in IBUTSU_TASKS_PACKAGES) collides with the package workshop: both have the"
        " schedule entry every-second."
    ),
)
TASK_PROBLEMS = (
    "clumsy.tasks of the package clumsy cannot be imported: RuntimeError: no luck.",
    "The task packages workshop and double both have the task workshop.note.",
)


def test_what_cannot_be_used_is_named_by_the_doctor_and_refused_at_start(
    broker_url: str, database_url: str, tmp_path: Path
) -> None:
    env = services(broker_url, database_url) | broken(tmp_path)
    found = json.loads(run("doctor", "--only", "packages", "--json", env=env).stdout)["findings"]
    assert [(one["code"], one["seen"]) for one in found] == [
        ("IBT-K01", problem) for problem in PROBLEMS + TASK_PROBLEMS
    ]
    listed = run("packages", "--json", env=env)
    assert (listed.returncode, json.loads(listed.stdout)["problems"]) == (1, [*PROBLEMS, *TASK_PROBLEMS])
    worker, beat = run("worker", env=env), run("beat", env=env)
    assert (worker.returncode, beat.returncode) == (3, 3)
    assert all(problem in " ".join(worker.stderr.split()) for problem in PROBLEMS + TASK_PROBLEMS)
    assert all(problem in " ".join(beat.stderr.split()) for problem in PROBLEMS)
    assert "Traceback" not in worker.stderr + beat.stderr


@pytest.mark.soak
def test_they_go_on_without_where_the_setting_says_so(
    broker_url: str, database_url: str, tmp_path: Path
) -> None:
    env = services(broker_url, database_url) | broken(tmp_path) | {"IBUTSU_TASKS_BROKEN_PACKAGES": "warn"}
    with role("worker", env=env) as worker, role("beat", env=env) as beat:
        worker.wait_for("ready.")
        beat.wait_for("this beat leads now")
        done = run("enqueue", "workshop.note", "text=x", "--wait", "60", env=env)
        unknown = run("enqueue", "clumsy.fall", env=env)
    # The first of two has the name.
    assert (done.returncode, done.stdout) == (0, "null\n"), done.stderr
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (2, False)
    assert all(problem in " ".join(unknown.stderr.split()) for problem in (*PROBLEMS, TASK_PROBLEMS[0]))
    assert all(problem in worker.output for problem in PROBLEMS + TASK_PROBLEMS)
    assert all(problem in beat.output for problem in PROBLEMS)


def test_an_installed_package_needs_no_variable(tmp_path: Path) -> None:
    install(tmp_path, "workshop", "workshop.package:PACKAGE")
    env = {"PYTHONPATH": f"{tmp_path}:{INSTALLED}", "IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu"}
    found = json.loads(run("doctor", "--only", "packages,doors", "--json", env=env).stdout)["findings"]
    assert [one["seen"] for one in found] == ["Loaded: workshop.", "7 doors are shut."]
    env["IBUTSU_TASKS_WITHOUT_PACKAGES"] = "ibutsu,workshop"
    found = json.loads(run("doctor", "--only", "packages", "--json", env=env).stdout)["findings"]
    assert [one["seen"] for one in found] == ["Loaded: none."]
