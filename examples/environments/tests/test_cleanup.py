"""What is stuck, old or failed is found, and what is well is left alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from environments.models import Environment
from examples.environments.tests.conftest import until
from examples.environments.tests.servers import NAMESPACES
from ibutsu_tasks.clock import utc_now

if TYPE_CHECKING:
    from examples.environments.tests.conftest import World


def ago(**amount: float) -> object:
    return utc_now() - timedelta(**amount)


@pytest.mark.parametrize("state", ["PROVISIONING", "UPDATING", "DESTROYING"])
def test_what_is_stuck_is_failed(world: World, state: str) -> None:
    stuck = world.add(state=state, changed_at=ago(minutes=31), task_id="of-a-worker-that-is-gone")
    running = world.add(state=state, changed_at=ago(minutes=29), pull_request=8)
    assert world.run("cleanup_stale_environments") == {"stuck": 1, "without_namespace": 0}
    row = world.row(stuck)
    assert (row.state, row.reason) == ("FAILED", f"It was {state} for more than 30 minutes.")
    assert world.row(running).state == state


def test_what_is_ready_without_a_namespace_is_failed_and_then_made_again(world: World) -> None:
    whole, lost = world.made(), world.made(pull_request=8)
    world.core.delete_namespace(lost.namespace)
    assert world.run("cleanup_stale_environments") == {"stuck": 0, "without_namespace": 1}
    assert world.row(whole).state == "READY"
    assert world.row(lost).reason == f"Its namespace {lost.namespace} is gone."
    assert world.run("retry_failed_environments") == 1
    until(lambda: world.row(lost).state == "READY")
    assert world.namespace(lost) is not None


def test_while_the_cluster_does_not_answer_nothing_is_taken_for_gone(world: World) -> None:
    ready = world.made()
    stuck = world.add(state="DESTROYING", changed_at=ago(minutes=31), pull_request=8)
    world.kubernetes.faults.add("GET", NAMESPACES, 503, "no leader")
    assert "no leader (503)" in world.fail("cleanup_stale_environments")
    assert world.row(ready).state == "READY"
    assert world.row(stuck).state == "FAILED"


def test_what_is_old_is_destroyed_and_rows_of_what_was_go(world: World) -> None:
    old, young = world.made(), world.made(pull_request=8)
    world.set(old, changed_at=ago(days=8))
    world.set(young, changed_at=ago(days=6))
    over = world.add(state="DESTROYED", changed_at=ago(days=8), pull_request=9)
    assert world.run("cleanup_old_environments") == {"to_destroy": 1, "rows_removed": 1}
    until(lambda: world.row(old).state == "DESTROYED")
    assert world.namespace(old) is None
    assert world.row(young).state == "READY"
    with world.system.session() as session:
        assert session.get(Environment, over.id) is None
    assert world.run("cleanup_old_environments", 5) == {"to_destroy": 1, "rows_removed": 0}
    until(lambda: world.row(young).state == "DESTROYED")


@pytest.mark.parametrize("days", [0, -7])
def test_nothing_is_destroyed_by_a_number_of_days_that_is_none(world: World, days: int) -> None:
    environment = world.made()
    assert "give a number of days from 1" in world.fail("cleanup_old_environments", days)
    assert world.row(environment).state == "READY"


def test_what_failed_is_tried_again_for_an_hour_towards_what_was_wanted(world: World) -> None:
    recent = world.add(state="FAILED", failing_since=ago(minutes=50))
    older = world.add(state="FAILED", failing_since=ago(minutes=70), pull_request=8)
    unwanted = world.add(state="FAILED", failing_since=ago(minutes=5), pull_request=9, is_wanted=False)
    assert world.run("retry_failed_environments") == 2
    until(lambda: world.row(recent).state == "READY")
    until(lambda: world.row(unwanted).state == "DESTROYED")
    assert world.row(older).state == "FAILED"
    assert world.namespace(unwanted) is None


def test_what_fails_again_has_been_failing_since_the_first_time(world: World) -> None:
    since = ago(minutes=50)
    environment = world.add(state="FAILED", failing_since=since)
    world.kubernetes.faults.add("POST", NAMESPACES, 403)
    world.fail("provision_environment", environment)
    assert world.row(environment).failing_since == since
