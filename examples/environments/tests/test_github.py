"""GitHub is told, once, and decides nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from examples.environments.tests.conftest import REPOSITORY, TOKEN

if TYPE_CHECKING:
    from examples.environments.tests.conftest import World

COMMENTS = f"/repos/{REPOSITORY}/issues/7/comments"
STATUSES = f"/repos/{REPOSITORY}/statuses/.*"
LIMIT = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000000"}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"status": 500}, f"GitHub refused POST {COMMENTS} (500)."),
        ({"status": 401}, f"GitHub refused POST {COMMENTS} (401)."),
        ({"status": 403, "headers": LIMIT}, "GitHub's rate limit is reached until 08:00 UTC."),
        ({"status": 429, "headers": {"Retry-After": "60"}}, "GitHub's rate limit is reached for 60 s."),
        ({"is_silent": True}, "GitHub could not be reached (ReadTimeout)."),
    ],
)
def test_what_it_refuses_is_noted_and_the_environment_is_ready(
    world: World, options: dict[str, Any], fault: str
) -> None:
    environment = world.add()
    world.github.faults.add("POST", COMMENTS, **options)
    assert world.run("provision_environment", environment) == "READY"
    row = world.row(environment)
    assert (row.state, row.reason, row.github_fault) == ("READY", None, fault)
    # Once it is well, the message is sent again.
    world.github.faults.clear()
    assert world.run("provision_environment", environment) == "READY"
    assert world.row(environment).github_fault is None
    assert len(world.github.comments) == len(world.github.statuses) == 1


def test_a_comment_that_was_written_is_known_although_the_status_was_refused(world: World) -> None:
    environment = world.add()
    world.github.faults.add("POST", STATUSES, 422)
    assert world.run("provision_environment", environment) == "READY"
    row = world.row(environment)
    assert row.comment_id in world.github.comments
    assert row.github_fault is not None


def test_a_comment_of_a_task_that_died_then_is_found_on_whatever_page(world: World) -> None:
    environment = world.add()
    for number in range(150):
        world.github.add_comment(COMMENTS, f"A word of a reviewer, number {number}")
    mine = world.github.add_comment(COMMENTS, f"<!-- environment {environment.id} -->\nold")
    assert world.run("provision_environment", environment) == "READY"
    assert len(world.github.comments) == 151
    assert "is ready" in mine["body"]


def test_two_that_tell_at_once_write_one_comment(world: World) -> None:
    environment = world.add(state="READY")
    world.github.pause_seconds = 2
    ids = [world.send("provision_environment", environment) for _ in range(2)]
    assert [world.outcome(one).result for one in ids] == ["READY", "READY"]
    assert len(world.github.comments) == 1


def test_a_comment_that_was_deleted_is_written_anew(world: World) -> None:
    environment = world.made()
    world.github.comments.clear()
    assert world.run("update_environment", environment) == "READY"
    assert "is ready" in world.github.bodies()[0]


def test_what_it_refuses_is_in_the_log_without_the_token(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = world.add()
    world.github.faults.add("POST", COMMENTS, 500)
    with world.doomed_worker():
        task_id = world.send("provision_environment", environment, queue="doomed")
        assert world.outcome(task_id).result == "READY"
    log = capfd.readouterr().err
    assert f"Environment {environment.id} is READY: GitHub refused POST {COMMENTS} (500)." in log
    assert TOKEN not in log


def test_the_token_is_shown_nowhere(world: World) -> None:
    shown = world.system.command("config", "--json")
    assert shown.returncode == 0
    assert TOKEN not in shown.stdout
    (row,) = [one for one in json.loads(shown.stdout)["settings"] if "GITHUB_TOKEN" in json.dumps(one)]
    assert "ENVIRONMENTS_GITHUB_TOKEN_FILE" in json.dumps(row)
