"""Whatever ends a task, its row says so: a killed process, a lost worker, a time limit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psutil

from environments.work import ONCE
from examples.environments.tests.conftest import REPOSITORY, until
from examples.environments.tests.servers import QUOTAS
from ibutsu_tasks.broker.layout import GAVE_UP
from ibutsu_tasks.client import Client

if TYPE_CHECKING:
    import subprocess

    from environments.models import Environment
    from examples.environments.tests.conftest import World

DOOMED = {"queue": "doomed"}


def is_failed(world: World, environment: Environment) -> bool:
    return world.row(environment).state == "FAILED"


def begin_to_destroy(world: World, environment: Environment, **options: Any) -> str:
    """Have the doomed worker begin what will not end; give the task's id."""
    task_id = world.send("destroy_environment", environment, **DOOMED, **options)
    until(lambda: world.row(environment).state == "DESTROYING")
    return task_id


def kill_children(worker: subprocess.Popen[bytes]) -> None:
    for child in psutil.Process(worker.pid).children(recursive=True):
        child.kill()


def test_a_killed_process_ends_it_as_failed_and_nothing_runs_again(world: World) -> None:
    environment = world.add()
    world.kubernetes.faults.add("POST", QUOTAS, is_silent=True)
    with world.doomed_worker() as worker:
        task_id = world.send("provision_environment", environment, **DOOMED)
        until(lambda: world.namespace(environment))
        assert world.row(environment).state == "PROVISIONING"
        kill_children(worker)
        until(lambda: is_failed(world, environment))
    reason = world.row(environment).reason or ""
    assert reason.startswith("The process was killed by signal 9 (SIGKILL)")
    assert not world.outcome(task_id).succeeded
    (dead,) = json.loads(world.system.command("dead", "list", "--json").stdout)["dead"]
    assert dead["about"] == str(environment.id)
    # An operator sends it again, and it takes the namespace that is there.
    world.kubernetes.faults.clear()
    with world.doomed_worker():
        done = world.system.command("dead", "retry", "--all")
        assert done.returncode == 0, done.stderr
        until(lambda: world.row(environment).state == "READY")
    # Nobody is held to account for it.
    assert world.run("destroy_environment", environment) == "DESTROYED"


def test_a_process_killed_as_it_tells_github_leaves_it_ready(world: World) -> None:
    environment = world.add()
    world.github.faults.add("POST", f"/repos/{REPOSITORY}/issues/7/comments", is_silent=True)
    with world.doomed_worker() as worker:
        task_id = world.send("provision_environment", environment, **DOOMED)
        until(lambda: world.row(environment).state == "READY")
        kill_children(worker)
        until(lambda: world.outcome(task_id))
        until(lambda: not world.redis.exists(GAVE_UP))
    row = world.row(environment)
    assert (row.state, row.reason, row.github_fault) == ("READY", None, "GitHub was not told yet.")


def test_a_killed_worker_ends_it_as_failed(world: World) -> None:
    environment = world.held()
    with world.doomed_worker() as worker:
        task_id = begin_to_destroy(world, environment)
        parent = psutil.Process(worker.pid)
        children = parent.children(recursive=True)
        # All at once, as when a host is lost: it must not hear of their end, nor they go on without it.
        parent.suspend()
        for process in (*children, parent):
            process.kill()
        until(lambda: is_failed(world, environment))
    assert "lost by the end of its whole worker" in (world.row(environment).reason or "")
    assert not world.outcome(task_id).succeeded


def test_a_worker_that_is_told_to_stop_hands_it_on(world: World) -> None:
    environment = world.held()
    with world.doomed_worker():
        task_id = begin_to_destroy(world, environment)
    # Its grace period is over, and nobody has it now.
    assert world.row(environment).state == "DESTROYING"
    with world.doomed_worker():
        world.let_go(environment)
        assert world.outcome(task_id).result == "DESTROYED"
    assert world.row(environment).state == "DESTROYED"


def test_a_hard_limit_ends_it_as_failed(world: World) -> None:
    assert ONCE.time_limit_seconds == 30 * 60
    environment = world.held()
    with world.doomed_worker() as worker:
        task_id = begin_to_destroy(world, environment, soft_time_limit=15, time_limit=17)
        # What hangs in a library's own code does not hear of the soft limit.
        for child in psutil.Process(worker.pid).children(recursive=True):
            child.suspend()
        until(lambda: is_failed(world, environment))
    assert world.row(environment).reason == "It took longer than its time limit and was stopped."
    assert not world.outcome(task_id).succeeded


def test_a_soft_limit_ends_it_as_failed_and_github_is_told(world: World) -> None:
    assert ONCE.soft_time_limit_seconds == 25 * 60
    environment = world.held()
    task_id = world.send("destroy_environment", environment, time_limit=60, soft_time_limit=2)
    assert not world.outcome(task_id).succeeded
    row = world.row(environment)
    assert (row.state, row.reason, row.github_fault) == (
        "FAILED",
        "It took longer than its time limit.",
        None,
    )
    assert "It took longer than its time limit." in world.github.bodies()[0]


def test_what_is_revoked_before_it_begins_is_failed(world: World) -> None:
    environment = world.add()
    task_id = world.send("provision_environment", environment, countdown=5)
    client = Client(world.settings)
    assert client.cancel(task_id)
    client.close()
    until(lambda: is_failed(world, environment))
    assert world.row(environment).reason == "It was revoked before it began."
    assert world.namespace(environment) is None
