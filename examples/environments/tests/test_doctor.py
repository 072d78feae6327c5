"""What the doctor sees of the cluster, of GitHub and of the table."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from environments.checks import check_cluster, check_environments, check_github
from examples.environments.tests.servers import REVIEWS
from ibutsu_tasks.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.environments.tests.conftest import World
    from ibutsu_tasks.doctor.report import Finding
    from ibutsu_tasks.settings import Settings


def seen(world: World, check: Callable[[Settings], list[Finding]]) -> dict[str, str]:
    """Give what a check sees, by code."""
    return {one.code: one.seen for one in check(world.settings)}


def test_all_is_well(world: World) -> None:
    world.made()
    done = world.system.command("doctor", "--json", "--only", "cluster,github,environments")
    codes = {one["code"] for one in json.loads(done.stdout)["findings"]}
    assert codes >= {"ENV-K00", "ENV-G00", "ENV-E00"}


def test_rights_that_are_missing_are_named(world: World) -> None:
    world.kubernetes.allowed = False
    assert seen(world, check_cluster) == {"ENV-K02": "The cluster does not let us delete namespaces."}


def test_a_cluster_that_refuses_or_does_not_answer(world: World) -> None:
    world.kubernetes.faults.add("POST", REVIEWS, 401, "Unauthorized")
    assert "Unauthorized (401)" in seen(world, check_cluster)["ENV-K01"]
    world.kubernetes.faults.clear()
    world.kubernetes.faults.add("POST", REVIEWS, is_silent=True)
    assert "ReadTimeoutError" in seen(world, check_cluster)["ENV-K01"]


def test_a_token_that_is_not_known_and_one_that_is_used_up(world: World) -> None:
    world.github.requests_left = 12
    assert "12 requests" in seen(world, check_github)["ENV-G10"]
    world.github.faults.add("GET", "/rate_limit", 401)
    assert set(seen(world, check_github)) == {"ENV-G02"}
    world.github.faults.clear()
    world.github.faults.add("GET", "/rate_limit", 502)
    assert "(502)" in seen(world, check_github)["ENV-G01"]


def test_what_is_stuck_failed_or_untold(world: World) -> None:
    late = utc_now() - timedelta(minutes=31)
    world.add(changed_at=late)
    world.add(state="DESTROYING", changed_at=late, pull_request=8)
    world.add(state="FAILED", reason="It was stuck.", pull_request=9)
    world.add(state="READY", github_fault="GitHub's rate limit is reached.", pull_request=10)
    assert seen(world, check_environments) == {
        "ENV-E01": "Environments that wait or are at work for too long: 2.",
        "ENV-E10": "Environments that failed: 1.",
        "ENV-E11": "Environments whose state GitHub does not know: 1.",
    }
