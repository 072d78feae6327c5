"""Every task of the contract, sent as the API server's bytes, run by a real worker."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from ibutsu_tasks.ibutsu.database.models import Artifact, ImportFile, Membership, Result, Run, User
from ibutsu_tasks.ibutsu.run_lock import RunLock
from tests.commands import until
from tests.factories import (
    make_artifact,
    make_import,
    make_project,
    make_result,
    make_run,
    utc_now,
)
from tests.worker_system import System, import_message

JUNIT = b"""<testsuites name="all" time="3.5" timestamp="2026-11-21T06:00:00+01:00">
  <testsuite name="unit" tests="2"><properties><property name="component" value="web"/></properties>
    <testcase classname="pkg.mod.TestIt" name="test_ok" time="1.5"/>
    <testcase classname="pkg.mod.TestIt" name="test_bad" time="2"><failure>trace</failure></testcase>
  </testsuite>
</testsuites>"""


def test_run_junit_import(system: System) -> None:
    project = make_project(system.session, "junit")
    row = make_import(
        system.session,
        JUNIT,
        data={"project_id": str(project.id), "metadata": {"env": "ci"}, "source": "upload"},
    )
    system.session.commit()
    system.run("importers.run_junit_import", import_message(row))
    system.session.refresh(row)
    assert row.status == "done"
    assert row.data is not None
    run = system.session.get_one(Run, row.data["run_id"][0])
    assert (run.project_id, run.source, run.env, run.duration) == (project.id, "upload", "ci", 3.5)
    assert run.start_time.isoformat() == "2026-11-21T05:00:00"
    expected = {"failures": 1, "errors": 0, "skips": 0, "xfailures": 0, "xpasses": 0, "tests": 2, "passes": 1}
    assert run.summary == expected | {"collected": 0, "not_run": 0, "pass_percent": 50}
    rows = system.session.scalars(
        select(Result).where(Result.run_id == run.id).order_by(Result.test_id)
    ).all()
    assert [(r.test_id, r.result, r.duration) for r in rows] == [
        ("TestIt.test_bad", "failed", 2.0),
        ("TestIt.test_ok", "passed", 1.5),
    ]
    artifacts = system.session.scalars(select(Artifact).where(Artifact.result_id == rows[0].id)).all()
    assert [(a.filename, a.content, a.data) for a in artifacts] == [
        ("traceback.log", b"trace", {"contentType": "text/plain", "resultId": str(rows[0].id)})
    ]
    content = system.session.scalar(select(ImportFile.content).where(ImportFile.import_id == row.id))
    assert content is None
    assert system.count(ImportFile, ImportFile.import_id == row.id) == 1


def test_the_same_message_twice_is_one_run(system: System) -> None:
    row = make_import(system.session, JUNIT)
    system.session.commit()
    message = import_message(row)
    ids = [system.publish("importers.run_junit_import", message) for _ in range(2)]
    assert {system.outcome(task_id)["status"] for task_id in ids} == {"SUCCESS"}
    system.session.refresh(row)
    assert row.data is not None
    assert system.count(Result, Result.run_id == row.data["run_id"][0]) == 2
    system.run("importers.run_junit_import", message)
    system.session.refresh(row)
    assert row.status == "done"


def test_run_archive_import(system: System) -> None:
    archive = next(Path(__file__).parents[3].joinpath("examples/results").glob("*.tar.gz"))
    row = make_import(system.session, archive.read_bytes(), filename=archive.name)
    system.session.commit()
    system.run("importers.run_archive_import", import_message(row))
    system.session.refresh(row)
    assert row.status == "done"
    assert row.data is not None
    run_id = row.data["run_id"][0]
    run = system.session.get_one(Run, run_id)
    assert run.summary is not None
    assert system.count(Result, Result.run_id == run_id) == run.summary["tests"] > 0


def test_a_bad_file_ends_as_an_error_with_its_sentence_and_its_content(system: System) -> None:
    row = make_import(system.session, b"<html><body>Not found</body></html>", filename="page.xml")
    system.session.commit()
    outcome = system.outcome(system.publish("importers.run_junit_import", import_message(row)))
    assert outcome["status"] == "FAILURE"
    system.session.refresh(row)
    assert row.status == "error"
    assert row.data is not None
    assert "page.xml" in row.data["error"]
    assert system.session.scalar(select(ImportFile.content).where(ImportFile.import_id == row.id)) is not None


def test_update_run(system: System) -> None:
    run = make_run(system.session, summary={"collected": 5}, source=None)
    started = run.start_time - timedelta(minutes=5)
    make_result(
        system.session, run, result="passed", duration=2.0, start_time=started, env="qa", source="suite"
    )
    make_result(system.session, run, result="error", duration=1.0)
    system.session.commit()
    system.run("runs.update_run", f'"{run.id}"')
    system.session.refresh(run)
    assert run.summary == {
        "failures": 0, "errors": 1, "skips": 0, "xfailures": 0, "xpasses": 0, "tests": 2, "passes": 1,
        "collected": 5, "not_run": 3, "pass_percent": 50,
    }  # fmt: skip
    assert (run.duration, run.start_time, run.env, run.source) == (3.0, started, "qa", "suite")


def test_update_run_waits_behind_a_stock_workers_lock(system: System) -> None:
    run = make_run(system.session)
    make_result(system.session, run)
    run_id = run.id
    system.session.commit()
    lock = RunLock(system.client, str(run_id))
    with lock.try_hold("a message") as held:
        assert held
        outcomes = [system.outcome(system.publish("runs.update_run", f'"{run_id}"')) for _ in range(3)]
        assert [outcome["result"] for outcome in outcomes] == [None] * 3
    until(lambda: system.tests_of(run_id) == 1)
    assert system.tests_of(run_id) == 1


def test_sync_aborted_runs(system: System) -> None:
    run = make_run(system.session, summary={"tests": 7})
    make_result(system.session, run)
    run_id = run.id
    system.session.commit()
    assert system.run("runs.sync_aborted_runs")["runs"] >= 1
    until(lambda: system.tests_of(run_id) == 1)
    assert system.tests_of(run_id) == 1


def test_add_result_start_time(system: System) -> None:
    run = make_run(system.session)
    make_result(system.session, run)
    system.session.commit()
    assert system.run("results.add_result_start_time", f'"{run.id}"') == {"results": 0}


def test_query_task(system: System) -> None:
    run = make_run(system.session, component="queried")
    for _ in range(3):
        make_result(system.session, run, component="queried", data={"tags": ["a"]})
    system.session.commit()
    page = system.run(
        "query.query_task", '["component=queried", "metadata.tags=a"]', "1", "2", "false", '"results"'
    )
    assert [row["metadata"] for row in page["results"]] == [{"tags": ["a"]}] * 2
    assert page["pagination"] == {"page": 1, "pageSize": 2, "totalItems": 3, "totalPages": 2}
    runs = system.run("query.query_task", '["component=queried"]', tablename='"runs"')
    assert [row["id"] for row in runs["runs"]] == [str(run.id)]


def test_the_prunes(system: System) -> None:
    now = utc_now()
    run = make_run(system.session, start_time=now - timedelta(days=400), created=now - timedelta(days=400))
    old = make_result(system.session, run, start_time=now - timedelta(days=399))
    make_artifact(system.session, old)
    stale = make_artifact(system.session, old, upload_date=now - timedelta(days=100))
    ids = {"run": run.id, "old": old.id, "stale": stale.id, "fresh": make_run(system.session).id}
    system.session.commit()
    system.run("db.prune_old_files", months='"3"')
    assert system.count(Artifact, Artifact.id == ids["stale"]) == 0
    assert system.count(Artifact, Artifact.result_id == ids["old"]) == 1
    system.run("db.prune_old_results", "5")
    assert system.count(Result, Result.id == ids["old"]) == 0
    system.run("db.prune_old_runs", "12")
    assert system.count(Run, Run.id == ids["run"]) == 0
    assert system.count(Run, Run.id == ids["fresh"]) == 1
    system.run("db.prune_old_runs", "1")
    assert system.count(Run, Run.id == ids["fresh"]) == 1


def test_prune_old_import_files(system: System) -> None:
    row_id = make_import(system.session, b"x", created=utc_now() - timedelta(days=30)).id
    system.session.commit()
    assert system.run("db.prune_old_import_files", "0") == "Skipped: days parameter (0) must be >= 1"
    assert system.run("db.prune_old_import_files", '"7"') == "Deleted 1 import records older than 7 days"
    assert system.count(ImportFile, ImportFile.import_id == row_id) == 0


def test_clear_import_file_content(system: System) -> None:
    row = make_import(system.session, b"12345", status="done")
    waiting = make_import(system.session, b"12345")
    system.session.commit()
    task = "db.clear_import_file_content"
    absent = uuid4()
    assert system.run(task, f'"{row.id}"') == f"Cleared 5 bytes from import_file for import {row.id}"
    assert system.run(task, f'"{row.id}"') == f"No content to clear for import {row.id}"
    assert (
        system.run(task, f'"{waiting.id}"') == f"Import {waiting.id} status is pending, not clearing content"
    )
    assert system.run(task, f'"{absent}"') == f"Import {absent} not found"


def test_seed_users(system: System) -> None:
    project = make_project(system.session, "seeded")
    system.session.commit()
    projects = {
        "seeded": {"owner": "boss@example.com", "users": ["one@example.com"]},
        "absent": {"owner": "x@y.z"},
    }
    system.run("db.seed_users", projects=json.dumps(projects))
    boss = system.session.scalars(select(User).where(User.email == "boss@example.com")).one()
    assert (boss.name, boss.is_active) == ("boss", True)
    system.session.refresh(project)
    assert project.owner_id == boss.id
    assert system.count(Membership, Membership.project_id == project.id) >= 1
