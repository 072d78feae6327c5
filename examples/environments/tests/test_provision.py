"""An environment is made, once, and whatever the cluster answers is in its row."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from examples.environments.tests.conftest import COMMIT, REPOSITORY
from examples.environments.tests.servers import NAMESPACES, QUOTAS

if TYPE_CHECKING:
    from examples.environments.tests.conftest import World


def test_it_gets_a_namespace_with_labels_and_a_quota_and_the_pull_request_is_told(world: World) -> None:
    environment = world.made()
    row = world.row(environment)
    assert (row.state, row.reason, row.github_fault, row.failing_since) == ("READY", None, None, None)
    assert row.created_at <= row.changed_at
    metadata = world.namespace(environment).metadata
    assert metadata.labels == {
        "app.kubernetes.io/managed-by": "environments",
        "environments/id": str(environment.id),
        "environments/pull-request": "7",
    }
    assert metadata.annotations == {"environments/repository": REPOSITORY, "environments/commit": COMMIT}
    (quota,) = world.core.list_namespaced_resource_quota(environment.namespace).items
    assert quota.spec.hard == {"limits.cpu": "2", "limits.memory": "4Gi", "pods": "20"}
    (comment,) = world.github.comments.values()
    assert comment["path"] == f"/repos/{REPOSITORY}/issues/7/comments"
    assert f"{COMMIT[:10]} is ready: namespace {environment.namespace}" in comment["body"]
    ((commit, status),) = world.github.statuses
    assert (commit, status["state"], status["context"]) == (COMMIT, "success", "preview-environment")


def test_the_same_message_twice_makes_one_namespace_and_edits_one_comment(world: World) -> None:
    environment = world.made()
    assert world.run("provision_environment", environment) == "READY"
    assert world.kubernetes.faults.asked[f"POST {NAMESPACES}"] == 1
    assert len(world.github.comments) == 1
    assert (
        world.github.faults.asked[
            f"PATCH /repos/{REPOSITORY}/issues/comments/{world.row(environment).comment_id}"
        ]
        == 1
    )


def test_a_message_that_failed_and_is_delivered_again_begins_nothing(world: World) -> None:
    environment, task_id = world.add(), str(uuid4())
    world.kubernetes.faults.add("POST", NAMESPACES, 500, "etcd is away", times=1)
    for _ in range(2):
        world.send("provision_environment", environment, task_id=task_id)
        error = world.outcome(task_id).error or ""
        assert "etcd is away (500)" in error
        world.redis.delete(f"celery-task-meta-{task_id}")
    assert world.row(environment).state == "FAILED"
    assert world.kubernetes.faults.asked[f"POST {NAMESPACES}"] == 1


def test_two_of_one_environment_at_once_make_one(world: World) -> None:
    environment = world.add()
    # While the first waits for the cluster, the other finds the environment taken.
    world.kubernetes.faults.add("POST", NAMESPACES, 429, headers={"Retry-After": "2"}, times=1)
    ids = [world.send("provision_environment", environment) for _ in range(2)]
    assert [world.outcome(one).result for one in ids] == ["READY", "READY"]
    # The one that was put off, and the one that made it.
    assert world.kubernetes.faults.asked[f"POST {NAMESPACES}"] == 2
    assert len(world.github.comments) == 1


def test_a_namespace_that_is_there_and_ours_is_taken(world: World) -> None:
    environment = world.add()
    labels = {"environments/id": str(environment.id)}
    world.core.create_namespace({"metadata": {"name": environment.namespace, "labels": labels}})
    assert world.run("provision_environment", environment) == "READY"
    assert world.namespace(environment).metadata.labels["environments/pull-request"] == "7"


def test_a_namespace_that_is_somebody_elses_is_left_alone(world: World) -> None:
    environment = world.add()
    world.core.create_namespace({"metadata": {"name": environment.namespace, "labels": {"team": "a"}}})
    sentence = f"The namespace {environment.namespace} is somebody else's."
    for task in ("provision_environment", "destroy_environment"):
        assert world.fail(task, environment) == sentence
        assert (world.row(environment).state, world.row(environment).reason) == ("FAILED", sentence)
    assert world.namespace(environment).metadata.labels == {"team": "a"}


def test_a_namespace_that_is_being_deleted_is_not_taken(world: World) -> None:
    environment = world.held()
    world.core.delete_namespace(environment.namespace)
    world.set(environment, state="PENDING")
    assert "is being deleted" in world.fail("provision_environment", environment)
    assert world.row(environment).state == "FAILED"


@pytest.mark.parametrize("path", [NAMESPACES, QUOTAS])
def test_what_the_cluster_refuses_is_the_reason(world: World, path: str) -> None:
    environment = world.add()
    world.kubernetes.faults.add("POST", path, 403, "exceeded quota: tenants, limited: count/namespaces=5")
    error = world.fail("provision_environment", environment)
    row = world.row(environment)
    assert (row.state, row.reason) == ("FAILED", error)
    assert "exceeded quota: tenants, limited: count/namespaces=5 (403)." in error
    assert row.failing_since == row.changed_at
    assert error in world.github.bodies()[0]
    assert [status["state"] for _, status in world.github.statuses] == ["failure"]
    # What was refused is tried again by who asks for it, and the reason goes.
    world.kubernetes.faults.clear()
    assert world.run("provision_environment", environment) == "READY"
    assert (world.row(environment).reason, world.row(environment).failing_since) == (None, None)


def test_a_quota_that_is_there_is_changed(world: World) -> None:
    environment = world.add()
    world.core.create_namespaced_resource_quota(
        environment.namespace, {"metadata": {"name": "environment"}, "spec": {"hard": {"pods": "1"}}}
    )
    assert world.run("provision_environment", environment) == "READY"
    (quota,) = world.core.list_namespaced_resource_quota(environment.namespace).items
    assert quota.spec.hard["pods"] == "20"


def test_a_cluster_that_is_asked_too_much_is_given_the_time_it_wants(world: World) -> None:
    environment = world.add()
    world.kubernetes.faults.add("POST", QUOTAS, 429, headers={"Retry-After": "1"}, times=2)
    assert world.run("provision_environment", environment) == "READY"


def test_a_cluster_that_stays_overloaded_ends_it(world: World) -> None:
    environment = world.add()
    world.kubernetes.faults.add("POST", NAMESPACES, 429, "too many requests", headers={"Retry-After": "1"})
    assert "too many requests (429)" in world.fail("provision_environment", environment)
    assert world.row(environment).state == "FAILED"
    assert world.kubernetes.faults.asked[f"POST {NAMESPACES}"] == 4


def test_a_cluster_that_hangs_ends_it(world: World) -> None:
    environment = world.add()
    world.kubernetes.faults.add("POST", NAMESPACES, is_silent=True)
    doing = f"make the namespace {environment.namespace}"
    sentence = f"The cluster did not answer who asked to {doing} (ReadTimeoutError)."
    assert world.fail("provision_environment", environment) == sentence
    assert world.row(environment).state == "FAILED"
    assert world.kubernetes.faults.asked[f"POST {NAMESPACES}"] == 1


def test_an_id_that_is_none_is_said(world: World) -> None:
    assert world.fail("provision_environment", "seven") == "There is no environment seven."
