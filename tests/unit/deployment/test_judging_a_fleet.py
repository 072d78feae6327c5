"""What is said of a fleet, from what it answered."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ibutsu_tasks.beat.state import BeatState, Runs
from ibutsu_tasks.deployment.beat import check_scheduler
from ibutsu_tasks.deployment.canary import is_fit
from ibutsu_tasks.deployment.fleet import SIGN_OF_OURS, Fleet, Worker
from ibutsu_tasks.deployment.limits import check_limits
from ibutsu_tasks.deployment.probes import check_probes
from ibutsu_tasks.deployment.workers import check_connected, check_online
from ibutsu_tasks.ibutsu.schedule import SCHEDULE
from ibutsu_tasks.ibutsu.wire_names import UPDATE_RUN
from ibutsu_tasks.settings import load_settings

OURS = {SIGN_OF_OURS: 20}


def test_workers_that_share_a_name() -> None:
    fleet = Fleet((Worker("a@pod"),), ("a@pod", "a@pod"))
    found = check_online(fleet, 2, 0)
    assert (found.code, "a@pod" in found.seen) == ("IBT-A02", True)


def test_a_worker_that_consumes_nothing() -> None:
    fleet = Fleet((Worker("a@pod", frozenset({"celery"})), Worker("b@pod")), ("a@pod", "b@pod"))
    found = check_connected(fleet)
    assert (found.code, "b@pod" in found.seen, "a@pod" in found.seen) == ("IBT-A22", True, False)


def test_a_probe_that_fails() -> None:
    settings = load_settings({}, environ={})
    well, ill = (
        {"ready": [True, "worker A@pod is ready."]},
        {"ready": [False, "worker B@pod is not ready: x."]},
    )
    fleet = Fleet((Worker("A@pod", probes=well), Worker("B@pod", probes=ill), Worker("stock@pod")))
    found = check_probes(settings, fleet, ())
    assert (found.code, found.seen) == ("IBT-A41", "worker B@pod is not ready: x.")
    found = check_probes(settings, Fleet((Worker("A@pod", probes=well),)), ())
    assert (found.code, "A@pod" in found.seen) == ("IBT-A40", True)


def test_an_entry_that_no_beat_knows() -> None:
    now = datetime.now(UTC)
    runs = Runs(now, known_since=dict.fromkeys((row.name for row in SCHEDULE[1:]), now))
    found = check_scheduler(BeatState(runs, None, ()))
    assert (found.code, SCHEDULE[0].name in found.seen) == ("IBT-A31", True)
    assert SCHEDULE[1].name not in found.seen


@pytest.mark.parametrize(
    ("statistics", "given", "code"),
    [
        ({"pool": {"max-concurrency": 4}}, "4", "IBT-A50"),
        ({"pool": {"max-concurrency": 4}}, "2", "IBT-A52"),
        ({"pool": {"max-concurrency": 4}}, "auto", "IBT-A50"),
        ({"pool": {"max-concurrency": 4}}, None, "IBT-A50"),
        ({"pool": {"max-concurrency": 4}, "autoscaler": {"max": 8}}, "2", "IBT-A50"),
        ({}, "2", "IBT-A50"),
    ],
)
def test_concurrency_is_compared_where_it_is_known(
    statistics: dict[str, object], given: str | None, code: str
) -> None:
    settings = load_settings({"worker_concurrency": given}, environ={})
    worker = Worker("a@pod", configuration=OURS, statistics=statistics)
    assert check_limits(settings, Fleet((worker,))).code == code


def test_a_canary_is_for_those_who_know_it() -> None:
    knows = Worker("a@pod", frozenset({"celery", "own"}), frozenset({UPDATE_RUN}))
    other = Worker("b@pod", frozenset({"celery"}), frozenset({"another.task"}))
    fleet = Fleet((knows, other))
    assert [is_fit(fleet, queue) for queue in ("celery", "own", "nobodys")] == [False, True, False]
