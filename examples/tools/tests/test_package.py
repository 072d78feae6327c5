"""What the package declares, and its periodic tasks and checks."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select

from examples.tools.tests.conftest import CACHE, RESULTS
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.celery_app import tasks_of
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.sending import messages
from ibutsu_tasks.settings import load_settings
from tests.commands import run
from tools import jobs
from tools.models import Job, LogPart, Statistics
from tools.package import PACKAGE
from tools.registry import Limits, Parameter, Tool, all_tools

if TYPE_CHECKING:
    from pathlib import Path

    from examples.tools.tests.conftest import Runner


def test_its_schedule_and_its_queues(idle: Runner) -> None:
    assert {(row.when, row.task, row.args) for row in PACKAGE.schedule} == {
        ("30 3 * * *", "tools.cleanup_old_jobs", (48,)),
        ("5 * * * *", "tools.update_tool_statistics", ()),
        ("*/5 * * * *", "tools.reconcile_jobs", ()),
        ("*/5 * * * *", "tools.health_check", ()),
    }
    assert {name: messages.queue_of(idle.app, name) for name in tasks_of(PACKAGE)} == {
        "tools.run_tool": "tools",
        "tools.health_check": "default",
        "tools.cleanup_old_jobs": "maintenance",
        "tools.reconcile_jobs": "maintenance",
        "tools.update_tool_statistics": "maintenance",
    }


def test_the_three_databases_have_what_is_theirs(runner: Runner) -> None:
    health = runner.run("tools.health_check")
    assert health["missing_programs"] == ["no-such-program-anywhere"]
    assert health["free_bytes"] > 0
    cache, results = (
        build_client(runner.env[name]) for name in ("IBUTSU_TASKS_CACHE_URL", "CELERY_RESULT_BACKEND")
    )
    assert f"virtual_host={CACHE}" in runner.env["IBUTSU_TASKS_CACHE_URL"]
    assert f"virtual_host={RESULTS}" in runner.env["CELERY_RESULT_BACKEND"]
    assert json.loads(cache.get("tools:health") or "") == health
    assert list(results.scan_iter("celery-task-meta-*"))
    assert not list(runner.redis.scan_iter("celery-task-meta-*"))
    cache.close()
    results.close()


def ended(hours_ago: float, **values: Any) -> Job:
    at = utc_now() - timedelta(hours=hours_ago)
    return Job(
        id=uuid4(), **{"tool": "old", "parameters": {}, "state": "completed", "ended_at": at, **values}
    )


def test_old_jobs_go_with_their_logs_and_files(runner: Runner) -> None:
    old, young, running = ended(49), ended(47), ended(0, state="running", ended_at=None)
    with runner.session() as session, session.begin():
        session.add_all([old, young, running])
        session.flush()
        session.add_all(LogPart(job_id=one.id, attempt=1, number=1, text="x") for one in (old, young))
    for one in (old, young):
        (runner.output / str(one.id)).mkdir(parents=True)
    assert runner.run("tools.cleanup_old_jobs", 48) == 1
    assert (runner.job(old.id), runner.log(old.id)) == (None, "")
    assert not (runner.output / str(old.id)).exists()
    assert (runner.state(young.id), runner.log(young.id)) == ("completed", "x")
    assert (runner.output / str(young.id)).exists()
    assert runner.state(running.id) == "running"
    with pytest.raises(AssertionError, match="Jobs are kept for an hour at least"):
        runner.run("tools.cleanup_old_jobs", 0)


def test_statistics_count_each_tool_by_the_hour_and_twice_is_once(runner: Runner) -> None:
    with runner.session() as session, session.begin():
        session.execute(delete(Job))
        session.add_all(
            [
                ended(2, tool="a", duration_seconds=1.0),
                ended(2, tool="a", duration_seconds=3.0),
                ended(2, tool="a", state="failed"),
                ended(30, tool="a", state="cancelled"),
                ended(2, tool="b", state="failed"),
                ended(2, tool="b", state="queued", ended_at=None),
            ]
        )
    assert [runner.run("tools.update_tool_statistics") for _ in range(2)] == [3, 3]
    with runner.session() as session:
        rows = session.scalars(select(Statistics).order_by(Statistics.tool, Statistics.hour.desc())).all()
    counts = [
        (row.tool, row.completed, row.failed, row.cancelled, row.mean_seconds, row.longest_seconds)
        for row in rows
    ]
    assert counts == [("a", 2, 1, 0, 2.0, 3.0), ("a", 0, 0, 1, None, None), ("b", 0, 1, 0, None, None)]


def codes(runner: Runner, **variables: str) -> set[str]:
    done = run("doctor", "--json", "--only", "programs,disk,jobs", env=runner.env | variables)
    return {one["code"] for one in json.loads(done.stdout)["findings"] if one["code"].startswith("TOOLS")}


def test_the_doctor_sees_missing_programs_and_jobs_that_are_stuck(runner: Runner) -> None:
    with runner.session() as session, session.begin():
        session.execute(delete(Job))
    assert codes(runner) - {"TOOLS-D00", "TOOLS-D01"} == {"TOOLS-P01", "TOOLS-J00"}
    # There is no room in it at all.
    assert codes(runner, TOOLS_FILE="", TOOLS_OUTPUT_DIR="/proc") == {"TOOLS-P00", "TOOLS-D01", "TOOLS-J00"}
    assert codes(runner, TOOLS_FILE="/nowhere/tools.toml") >= {"TOOLS-P02"}
    long_ago = utc_now() - timedelta(hours=2)
    with runner.session() as session, session.begin():
        session.add(ended(0, state="queued", ended_at=None, queued_at=long_ago))
    assert codes(runner) >= {"TOOLS-J10"}
    with runner.session() as session, session.begin():
        session.add(ended(0, state="running", ended_at=None, seen_at=long_ago))
    assert codes(runner) >= {"TOOLS-J01"}


def test_a_job_whose_message_is_lost_is_sent_again(runner: Runner) -> None:
    long_ago = utc_now() - timedelta(hours=2)
    old = {"tool": "primes", "parameters": {"last": 10}, "queued_at": long_ago}
    lost = [Job(id=uuid4(), **old), Job(id=uuid4(), state="running", run=uuid4(), seen_at=long_ago, **old)]
    fresh = Job(id=uuid4(), **old | {"queued_at": utc_now()})
    with runner.session() as session, session.begin():
        session.execute(delete(Job))
        session.add_all([*lost, fresh])
    assert runner.run("tools.reconcile_jobs") == {"sent again": 2, "ended": 0, "left alone": 0}
    assert [runner.end_of(job.id).state for job in lost] == ["completed", "completed"]
    assert runner.state(fresh.id) == "queued"


def test_a_job_that_a_worker_was_sent_meanwhile_is_left_to_it(idle: Runner) -> None:
    job = Job(id=uuid4(), tool="primes", parameters={}, state="running", run=uuid4())
    with idle.session() as session:
        session.add(job)
        session.flush()
        assert jobs.begin(session, job.id, "t", "primes", {}, 1, takes_over=False) == (None, "running")
        assert jobs.begin(session, job.id, "t", "primes", {}, 1)[1] == "running"
        session.rollback()


@pytest.mark.parametrize(
    ("table", "end"),
    [
        ("command = []", "its command must begin with a program."),
        ('command = ["{x}"]', "its command must begin with a program."),
        ('command = ["ls", "{x}"]', "its command and its parameters must name the same."),
        ('command = ["ls"]\nparameters.x = {}', "its command and its parameters must name the same."),
        ('command = ["ls"]\nlimits = { seconds = 3300 }', "its seconds must be below 3300."),
        (
            'command = ["ls", "{x}"]\nparameters.x = { type = "list" }',
            "types of parameters are text, integer, number.",
        ),
        ('command = ["ls"]\nprogress = "x"', "its progress must have two groups."),
        ("limits = {}", "'command'."),
    ],
)
def test_a_tool_of_the_file_that_does_not_fit_is_named(
    idle: Runner, tmp_path: Path, table: str, end: str
) -> None:
    file = tmp_path / "tools.toml"
    file.write_text(f"[odd]\n{table}\n")
    settings = load_settings(environ=idle.env | {"TOOLS_FILE": str(file)})
    with pytest.raises(Exception, match=r"^The tool odd of TOOLS_FILE cannot be used: ") as raised:
        all_tools(settings)
    assert str(raised.value).endswith(end)


def test_parameters_are_put_in_their_places_once_and_whole() -> None:
    tool = Tool(
        "t",
        ("p", "--a={a}", "{b}", "{c}"),
        {"a": Parameter(), "b": Parameter("number", 1.5), "c": Parameter(choices=("x", "y"), default="y")},
        Limits(),
    )
    assert tool.command_line({"a": "{b} $(id)"}) == ["p", "--a={b} $(id)", "1.5", "y"]
    with pytest.raises(Exception, match=r"^The parameter c of t must be one of x, y\.$"):
        tool.command_line({"a": "", "c": "z"})
    with pytest.raises(Exception, match=r"^The parameter b of t must be of the type number\.$"):
        tool.command_line({"a": "", "b": True})
