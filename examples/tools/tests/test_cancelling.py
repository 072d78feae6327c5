"""DELETE ends what runs, with all its processes, and keeps from running what waits."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psutil

from examples.tools.tests.conftest import alive, serving, until_gone, working
from tests.commands import run, until
from tools import jobs

if TYPE_CHECKING:
    from examples.tools.tests.conftest import Api, Runner


def test_a_running_tool_ends_with_all_its_processes(api: Api, runner: Runner, mark: str) -> None:
    sent = api.post("tree", mark=mark)
    # The launcher, the tool, its child that ignores SIGTERM, and a daemon that left the group.
    until(lambda: len(alive(mark)) == 4)
    assert len(alive(mark)) == 4
    tasks = {one["task_id"]: one for one in api.ask("GET", "/api/celery/tasks")[1]["tasks"]}
    assert (tasks[sent["task_id"]]["state"], tasks[sent["task_id"]]["job_id"]) == ("running", sent["job_id"])
    status, answer = api.ask("DELETE", f"/api/celery/tasks/{sent['task_id']}")
    assert (status, answer["status"]) == (200, "cancelled")
    until_gone(mark)
    job = runner.end_of(UUID(sent["job_id"]))
    assert (job.state, job.error) == ("cancelled", "It was cancelled.")
    *_, last = api.events(f"/api/updates?job_id={sent['job_id']}")
    assert last["status"] == "cancelled"
    assert api.ask("DELETE", f"/api/celery/tasks/{sent['task_id']}") == (
        409,
        {"detail": "It has ended: cancelled."},
    )


def test_a_waiting_tool_never_runs(alone: Runner, tmp_path: Path) -> None:
    with serving(alone.env) as api:
        sent = api.post("fails", file=str(tmp_path / "ran"))
        # By the id of its job, too.
        assert api.ask("DELETE", f"/api/celery/tasks/{sent['job_id']}")[0] == 200
        with working(alone.env) as worker:
            after = api.post("steps")
            assert alone.end_of(UUID(after["job_id"])).state == "completed"
            until(lambda: sent["task_id"] in worker.output)
            until(lambda: not alone.redis.exists("unacked", "tools"))
            assert not alone.redis.exists("unacked", "tools")
    assert alone.state(UUID(sent["job_id"])) == "cancelled"
    assert not (tmp_path / "ran").exists()


def test_one_that_waits_to_be_tried_again_is_not(alone: Runner, tmp_path: Path) -> None:
    env = alone.env | {"TOOLS_RETRY_SECONDS": "15"}
    with serving(env) as api, working(env):
        sent = api.post("fails", file=str(tmp_path / "ran"))
        until(lambda: alone.state(UUID(sent["job_id"])) == "queued" and (tmp_path / "ran").exists())
        assert api.ask("DELETE", f"/api/celery/tasks/{sent['task_id']}")[0] == 200
        until(lambda: not alone.redis.exists("unacked", "tools"))
        assert not alone.redis.exists("unacked", "tools")
    assert alone.state(UUID(sent["job_id"])) == "cancelled"
    assert len((tmp_path / "ran").read_text().splitlines()) == 1


def test_the_row_ends_a_tool_where_no_revocation_comes(runner: Runner, mark: str) -> None:
    job_id = runner.send("tree", {"mark": mark})
    until(lambda: len(alive(mark)) == 4)
    with runner.session() as session, session.begin():
        job = jobs.find(session, job_id)
        assert job is not None
        assert jobs.cancel(job)
    until_gone(mark)
    assert runner.state(job_id) == "cancelled"
    until(lambda: not runner.redis.exists("unacked", "tools"))
    assert not runner.redis.exists("unacked", "tools")


def test_another_task_is_cancelled_by_its_id(api: Api) -> None:
    nobody_has_it = str(uuid4())
    assert api.ask("DELETE", f"/api/celery/tasks/{nobody_has_it}") == (
        200,
        {"task_id": nobody_has_it, "status": "cancelled"},
    )
    assert api.ask("DELETE", "/api/celery/tasks/no-id")[0] == 422


def test_a_worker_that_is_killed_has_its_job_run_again_once(alone: Runner, tmp_path: Path) -> None:
    path = tmp_path / "gate"
    with working(alone.env) as worker:
        job_id = alone.send("waits", {"path": str(path)})
        until(lambda: alone.log(job_id) == "begins\n")
        os.killpg(worker.process.pid, 9)
    # Nobody asked it to end: its launcher has noticed.
    until_gone(str(path))
    with working(alone.env):
        until(lambda: len((tmp_path / "gate.began").read_text().splitlines()) == 2)
        (tmp_path / "gate.go").touch()
        assert alone.end_of(job_id).state == "completed"
        until(lambda: not alone.redis.exists("unacked", "tools"))
        assert not alone.redis.exists("unacked", "tools")
    assert len((tmp_path / "gate.began").read_text().splitlines()) == 2
    assert alone.log(job_id) == "begins\nends\n"


def test_what_loses_its_process_three_times_is_set_aside_and_an_operator_sends_it_again(
    alone: Runner, tmp_path: Path
) -> None:
    path = str(tmp_path / "gate")
    with working(alone.env):
        job_id = alone.send("waits", {"path": path})
        for number in (1, 2, 3):
            until(lambda number=number: _lines(f"{path}.began") == number)  # type: ignore[misc]
            (launcher, *_) = [pid for pid in alive(path) if "launcher.py" in psutil.Process(pid).cmdline()[3]]
            os.kill(psutil.Process(launcher).ppid(), 9)
            until_gone(path)
        job = alone.end_of(job_id)
        assert job.state == "failed"
        assert str(job.error).startswith("The process was killed three times, last by signal 9 (SIGKILL)")
        (tmp_path / "gate.go").touch()
        done = run("dead", "retry", "--all", env=alone.env)
        assert done.returncode == 0, done.stderr
        until(lambda: alone.state(job_id) == "completed")
        assert alone.state(job_id) == "completed"
    assert (_lines(f"{path}.began"), alone.log(job_id)) == (4, "begins\nends\n")


def _lines(path: str) -> int:
    with suppress(FileNotFoundError), Path(path).open() as file:
        return len(file.readlines())
    return 0


def test_a_worker_that_shuts_down_gives_its_job_back(alone: Runner, tmp_path: Path) -> None:
    path = tmp_path / "gate"
    with working(alone.env, "--grace", "1") as worker:
        job_id = alone.send("waits", {"path": str(path)})
        until(lambda: alone.log(job_id) == "begins\n")
        assert worker.stop() == 0
        assert alone.redis.llen("tools") == 1
    until_gone(str(path))
    (tmp_path / "gate.go").touch()
    with working(alone.env):
        assert alone.end_of(job_id).state == "completed"
    assert len((tmp_path / "gate.began").read_text().splitlines()) == 2
    assert alone.log(job_id) == "begins\nends\n"


def test_a_process_that_lost_its_job_ends_its_tool(alone: Runner, tmp_path: Path) -> None:
    """Killed by half: the worker is gone, its pool goes on, and a second worker has the job."""
    path = tmp_path / "gate"
    with working(alone.env) as worker:
        job_id = alone.send("waits", {"path": str(path)})
        until(lambda: alone.log(job_id) == "begins\n")
        os.kill(worker.process.pid, 9)
        worker.process.wait(30)
        with working(alone.env):
            until(lambda: len((tmp_path / "gate.began").read_text().splitlines()) == 2)
            until(lambda: len(alive(str(path))) == 2)
            # The launcher and the tool of one run.
            assert len(alive(str(path))) == 2
            (tmp_path / "gate.go").touch()
            assert alone.end_of(job_id).state == "completed"
        assert alone.log(job_id) == "begins\nends\n"
        # What is left of the pool, if anything.
        with suppress(ProcessLookupError):
            os.killpg(worker.process.pid, 9)
