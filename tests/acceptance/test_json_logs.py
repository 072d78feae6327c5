"""JSON logs of whole processes: from the first line to the last, every line is an object with its keys."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ibutsu_tasks.celery_app import create_celery_app
from ibutsu_tasks.ibutsu.wire_names import RUN_JUNIT_IMPORT, UPDATE_RUN
from tests.commands import CELERY, Running, role, run, services, until
from tests.doors import dead_port
from tests.held_imports import held_artifacts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy import Engine

    from ibutsu_tasks.settings import Settings

READY = "ready."
REPORT = '<testsuite name="s" tests="1"><testcase name="t" classname="c" time="0.1"/></testsuite>'


@pytest.fixture
def env(broker_url: str, database_url: str) -> dict[str, str]:
    return services(broker_url, database_url) | {"IBUTSU_TASKS_LOG_FORMAT": "json"}


def entries_of(lines: Iterable[str], *roles: str) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        assert entry.keys() >= {"time", "level", "role", "host", "logger", "message"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
        assert entry["role"] in roles
    assert entries
    return entries


def test_a_worker_names_task_and_import_and_run_and_how_long_it_took(
    env: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    with role("worker", env=env) as worker:
        worker.wait_for(READY)
        (sent,) = json.loads(run("import", str(report), "--json", env=env).stdout)["imports"]
        app = create_celery_app(settings=settings)
        app.send_task(UPDATE_RUN, (sent["run_id"],)).get(timeout=120)
        # One of Celery's own, which ends in an error that nobody foresaw.
        failing = app.send_task("celery.map", ("no such task", []))
        worker.wait_for("raised unexpected")
        assert worker.stop() == 0
    entries = entries_of(worker.lines, "worker")
    assert any("Warm shutdown" in entry["message"] for entry in entries)
    # What Celery says of a task from outside it, that it was received, and what ended it.
    received = {entry["task_id"] for entry in entries if entry["logger"] == "celery.worker.strategy"}
    ends = {entry["task_id"]: entry for entry in entries if "duration_seconds" in entry}
    assert received == ends.keys()
    assert all(0 < end["duration_seconds"] < 600 for end in ends.values())
    done = {end["task"]: end for end in ends.values() if end["level"] == "info"}
    assert done[RUN_JUNIT_IMPORT]["import_id"] == sent["import_id"]
    assert done[UPDATE_RUN]["run_id"] == sent["run_id"]
    assert ends[failing.id]["level"] == "error"
    assert ends[failing.id]["traceback"].startswith("Traceback")
    assert "NotRegistered" in ends[failing.id]["traceback"]


@pytest.mark.parametrize(
    ("limit", "said"),
    [("", "was lost by signal 9"), ("2", "Hard time limit")],
    ids=["killed", "limited"],
)
def test_what_ends_a_task_from_outside_is_told_of_its_import(
    env: dict[str, str], engine: Engine, tmp_path: Path, limit: str, said: str
) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT.replace("/></", "><system-out>said</system-out></testcase></"))
    limited = env | ({"CELERY_TASK_TIME_LIMIT": limit} if limit else {})
    with role("worker", env=limited) as worker:
        worker.wait_for(READY)
        with held_artifacts(engine) as is_waiting:
            words = ("import", str(report), "--json", "--no-wait")
            (sent,) = json.loads(run(*words, env=env).stdout)["imports"]
            if not limit:
                until(is_waiting)
                (process,) = psutil.Process(worker.process.pid).children()
                process.kill()
            worker.wait_for(said, 30)
        assert worker.stop() == 0
    ids = {"task": RUN_JUNIT_IMPORT, "import_id": sent["import_id"]}
    entries = entries_of(worker.lines, "worker")
    received, *_ = (entry for entry in entries if entry["logger"] == "celery.worker.strategy")
    told, *_ = (entry for entry in entries if said in entry["message"])
    for entry in (received, told):
        assert entry.items() >= (ids | {"task_id": received["task_id"]}).items()
    assert 0 < told["duration_seconds"] < 600
    assert "duration_seconds" not in received


@pytest.mark.parametrize("name", ["beat", "flower"])
def test_beat_and_flower(env: dict[str, str], name: str) -> None:
    own = env | {"FLOWER_PORT": str(dead_port()), "IBUTSU_TASKS_NO_SUCH": "1"}
    said = {"beat": "this beat leads now", "flower": "Visit me at"}[name]
    with role(name, env=own) as running:
        running.wait_for(said)
        if name == "flower":
            url = f"http://127.0.0.1:{own['FLOWER_PORT']}/api/task/info/no-such-task"
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(url, timeout=10)
            running.wait_for("401 GET /api/task/info")
        running.stop()
    entries = entries_of(running.lines, name)
    assert entries[0]["level"] == "warning"
    assert entries[0]["message"].startswith("IBUTSU_TASKS_NO_SUCH in the environment has no effect")
    if name == "flower":
        assert any(entry["logger"].startswith("tornado.") for entry in entries)


@pytest.mark.soak
def test_up_and_its_roles(tmp_path: Path) -> None:
    words = ("--no-flower", "--data-dir", str(tmp_path / "data"), "--log-format", "json")
    with role("up", *words, env={}) as stack:
        stack.wait_for("ready in")
        assert stack.stop() == 143
    entries = entries_of(stack.lines, "up", "worker", "beat")
    assert {entry["role"] for entry in entries} == {"up", "worker", "beat"}
    assert entries[-1]["message"] == "stopped"


def test_celerys_own_command_line_with_its_banner(env: dict[str, str]) -> None:
    with Running(CELERY, "-A", "ibutsu_tasks:worker_app", "worker", env=env) as worker:
        worker.wait_for(READY)
        assert worker.stop() == 0
    assert any("transport:" in entry["message"] for entry in entries_of(worker.lines, "worker"))


def test_a_worker_whose_broker_is_away(env: dict[str, str]) -> None:
    away = env | {"CELERY_BROKER_URL": f"redis://:s3cret@127.0.0.1:{dead_port()}"}
    with role("worker", env=away) as worker:
        worker.wait_for("the broker is away")
        worker.stop()
    entries_of(worker.lines, "worker")
    assert "s3cret" not in worker.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("worker",), "CELERY_BROKER_URL and POSTGRESQL_HOST"),
        (("beat",), "CELERY_BROKER_URL is not set"),
        (("flower", "--port", "x"), "--port must be a whole number"),
        (("--env-file", "/no/such/file", "worker"), "/no/such/file cannot be read"),
        (("up", "report.xml"), "FILES are imported with --once only"),
        (("beat", "--no-such-option"), "--no-such-option"),
        (("--broker-url", "redis://127.0.0.1", "beat", "--", "--no-such-option"), "--no-such-option"),
    ],
)
def test_a_start_that_fails(words: tuple[str, ...], said: str) -> None:
    done = run(*words, env={"IBUTSU_TASKS_LOG_FORMAT": "json"})
    assert done.returncode in {2, 3}
    assert done.stdout == ""
    last = entries_of(done.stderr.splitlines(), "worker", "beat", "flower", "up")[-1]
    assert last["level"] == "error"
    assert said in last["message"]
    if done.returncode == 3:
        assert last["hint"]


@pytest.mark.parametrize("name", ["worker", "beat"])
def test_a_task_package_that_writes_and_fails_when_it_is_loaded(name: str, tmp_path: Path) -> None:
    (tmp_path / "chatty.py").write_text(
        "import sys, warnings\n"
        "warnings.warn('old\\nway')\nprint('said')\nsys.stderr.write('half a line')\n1 / 0\n"
    )
    own = {"PYTHONPATH": str(tmp_path), "IBUTSU_TASKS_PACKAGES": "chatty"}
    done = run(name, env=own | {"IBUTSU_TASKS_LOG_FORMAT": "json"})
    assert (done.returncode, done.stdout) == (3, "")
    warning, printed, half, *_, last = entries_of(done.stderr.splitlines(), name)
    assert "old\nway" in warning["message"]
    assert (printed["message"], half["message"]) == ("said", "half a line")
    assert (last["level"], bool(last["hint"])) == ("error", True)
    assert "ZeroDivisionError" in last["message"]


def test_the_option_alone_makes_objects_and_help_stays_text() -> None:
    done = run("beat", "--log-format=json", "--health-port", "x")
    assert json.loads(done.stderr)["hint"]
    page = run("beat", "--help", env={"IBUTSU_TASKS_LOG_FORMAT": "json"}).stdout
    assert page.startswith("Usage:")
