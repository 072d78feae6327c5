"""Where messages of packages' tasks go, and in which order a real worker takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.commands import role, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.packaged import Workshop


def worked_off(workshop: Workshop, number: int, *options: str) -> list[str]:
    with role("worker", "--concurrency", "1", *options, env=workshop.env) as worker:
        until(lambda: len(workshop.ran()) == number)
        worker.stop()
    return workshop.ran()


def test_a_full_queue_is_worked_off_by_priority(closed_workshop: Callable[..., Workshop]) -> None:
    workshop = closed_workshop()
    for turn in range(1, 11):
        for task in ("last", "note", "third", "second", "first"):
            workshop.send(task, f"{task} {turn}")
    ran = worked_off(workshop, 50)
    # What has no priority goes with the first, as messages of other clients do.
    first = [f"{task} {turn}" for turn in range(1, 11) for task in ("note", "first")]
    assert ran == first + [f"{task} {turn}" for task in ("second", "third", "last") for turn in range(1, 11)]
    assert not workshop.client.exists("work", "unacked")


def test_a_setting_overrides_routes_and_priorities(closed_workshop: Callable[..., Workshop]) -> None:
    routes = "workshop.last=work:9,workshop.fi*=later,workshop.aside=work:0"
    workshop = closed_workshop(IBUTSU_TASKS_ROUTES=routes)
    for task in ("aside", "third", "last", "first"):
        workshop.send(task, task)
    assert [workshop.client.llen(name) for name in ("later", "work")] == [1, 1]
    assert worked_off(workshop, 3, "--queues", "work") == ["last", "third", "aside"]
    assert worked_off(workshop, 4) == ["last", "third", "aside", "first"]


def test_a_worker_consumes_the_queues_it_names_and_those_that_all_do(
    closed_workshop: Callable[..., Workshop],
) -> None:
    with role("worker", "--queues", "later,latre", env=closed_workshop().env) as worker:
        worker.wait_for("ready.")
        listed = worker.output.partition("[queues]")[2].partition("[tasks]")[0]
    names = [line.split()[1] for line in listed.splitlines() if "exchange=" in line]
    assert names == ["celery", "ibutsu-tasks", "later", "latre"]
    assert "No task package declares the queue latre" in worker.output
    assert worker.output.count("No task package declares") == 1
