"""An environment follows its pull request, to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.environments.tests.conftest import COMMIT, until
from examples.environments.tests.servers import NAMESPACES

if TYPE_CHECKING:
    from examples.environments.tests.conftest import World

NEXT = "0000000000111111111122222222223333333333"


def test_an_update_brings_it_to_the_next_commit_and_edits_the_comment(world: World) -> None:
    environment = world.made()
    assert world.run("update_environment", environment, NEXT) == "READY"
    assert world.row(environment).commit == NEXT
    assert world.namespace(environment).metadata.annotations["environments/commit"] == NEXT
    (body,) = world.github.bodies()
    assert NEXT[:10] in body
    assert COMMIT[:10] not in body
    assert [commit for commit, _ in world.github.statuses] == [COMMIT, NEXT]


def test_an_update_without_its_namespace_fails_and_makes_none(world: World) -> None:
    environment = world.made()
    world.core.delete_namespace(environment.namespace)
    sentence = f"The namespace {environment.namespace} is gone."
    assert world.fail("update_environment", environment, NEXT) == sentence
    assert (world.row(environment).state, world.row(environment).reason) == ("FAILED", sentence)
    assert world.namespace(environment) is None


def test_an_update_before_it_is_made_is_what_will_be_made(world: World) -> None:
    environment = world.add()
    assert world.run("update_environment", environment, NEXT) == "PENDING"
    assert world.namespace(environment) is None
    assert world.run("provision_environment", environment) == "READY"
    assert world.namespace(environment).metadata.annotations["environments/commit"] == NEXT


def test_it_is_destroyed_when_its_namespace_is_gone_and_not_before(world: World) -> None:
    environment = world.held()
    task_id = world.send("destroy_environment", environment)
    until(lambda: world.namespace(environment).metadata.deletion_timestamp)
    assert world.row(environment).state == "DESTROYING"
    world.let_go(environment)
    assert world.outcome(task_id).result == "DESTROYED"
    assert world.row(environment).state == "DESTROYED"
    assert world.namespace(environment) is None
    assert "was destroyed" in world.github.bodies()[0]


def test_what_is_gone_already_is_destroyed(world: World) -> None:
    environment = world.made()
    world.core.delete_namespace(environment.namespace)
    assert world.run("destroy_environment", environment) == "DESTROYED"
    assert world.run("destroy_environment", environment) == "DESTROYED"


@pytest.mark.parametrize("status", [404, 409])
def test_what_somebody_else_deletes_meanwhile_is_destroyed(world: World, status: int) -> None:
    environment = world.made()
    world.kubernetes.faults.add("DELETE", f"{NAMESPACES}/.*", status)
    task_id = world.send("destroy_environment", environment)
    until(lambda: world.kubernetes.faults.asked[f"DELETE {NAMESPACES}/{environment.namespace}"])
    world.kubernetes.faults.clear()
    world.core.delete_namespace(environment.namespace)
    assert world.outcome(task_id).result == "DESTROYED"


def test_what_the_cluster_does_not_delete_is_not_destroyed(world: World) -> None:
    environment = world.made()
    world.kubernetes.faults.add("DELETE", f"{NAMESPACES}/.*", 403, "no delete for you")
    assert "no delete for you (403)" in world.fail("destroy_environment", environment)
    assert world.row(environment).state == "FAILED"
    assert world.namespace(environment) is not None


def test_destroying_waits_for_whoever_has_it(world: World) -> None:
    environment = world.add()
    world.kubernetes.faults.add("POST", NAMESPACES, 429, headers={"Retry-After": "2"}, times=1)
    made = world.send("provision_environment", environment)
    until(lambda: world.row(environment).state == "PROVISIONING")
    destroyed = world.send("destroy_environment", environment)
    assert world.outcome(made).result == "READY"
    assert world.outcome(destroyed).result == "DESTROYED"
    assert world.namespace(environment) is None


def test_what_is_not_wanted_any_more_is_never_made_again(world: World) -> None:
    environment = world.add()
    assert world.run("destroy_environment", environment) == "DESTROYED"
    # Its messages come late.
    assert world.run("provision_environment", environment) == "DESTROYED"
    assert world.run("update_environment", environment, NEXT) == "DESTROYED"
    assert world.row(environment).commit == COMMIT
    assert world.namespace(environment) is None
    # The pull request is opened again.
    assert world.row(world.made()).state == "READY"
