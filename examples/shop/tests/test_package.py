"""What the package declares, as the commands see it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ibutsu_tasks.celery_app import tasks_of
from ibutsu_tasks.sending.messages import queue_of
from shop.package import PACKAGE, QUEUES
from tests.commands import run

if TYPE_CHECKING:
    from examples.shop.tests.conftest import Shop

TIMES = {
    "backup-database": "0 2 * * *",
    "backup-tenants": "0 3 * * 0",
    "archive-wal": "0 * * * *",
    "backup-configuration": "0 4 * * *",
    "check-backups": "0 * * * *",
    "gold-rates": "*/5 * * * *",
    "prices": "0 2 * * *",
    "clean-up-rates": "0 3 * * *",
    "scheduled-reports": "*/15 * * * *",
    "clean-up-report-files": "30 4 * * *",
    "clean-up-executions": "0 5 * * 0",
    "next-report-runs": "0 1 * * *",
    "usage-report": "0 6 * * 1",
    "depreciation": "0 1 1 * *",
    "system-metrics": "*/5 * * * *",
    "service-health": "*/5 * * * *",
    "escalations": "*/5 * * * *",
    "auto-resolve": "*/10 * * * *",
    "retry-webhooks": "* * * * *",
    "clean-up-deliveries": "0 4 * * 0",
}


def test_the_schedule_has_its_twenty_times() -> None:
    assert {row.name: row.when for row in PACKAGE.schedule} == TIMES


def test_every_row_sends_a_task_that_needs_nothing_to_a_queue_with_a_priority() -> None:
    tasks = tasks_of(PACKAGE)
    for row in PACKAGE.schedule:
        assert row.args == ()
        needed = tasks[row.task].run.__code__.co_argcount - len(tasks[row.task].run.__defaults__ or ())
        assert needed == 1


def test_each_route_leads_to_the_queue_of_its_subject(idle_shop: Shop) -> None:
    tasks = tasks_of(PACKAGE)
    assert {queue_of(idle_shop.app, name) for name in tasks} == set(QUEUES)
    for name in tasks:
        subject = name.split(".")[1]
        assert queue_of(idle_shop.app, name) == ("celery" if subject == "events" else subject)
    order = {route.queue: route.priority or 0 for route in PACKAGE.routes}
    assert min(order["backups"], order["accounting"]) > order["reports"]
    assert order["monitoring"] == order["webhooks"] == 9


def test_it_is_found_by_its_entry_point(idle_shop: Shop) -> None:
    (shown,) = json.loads(run("packages", "--json", env=idle_shop.env).stdout)["packages"]
    assert shown["name"] == "shop"
    assert shown["said_by"] == "installed with shop 0.1.0"


def test_the_doctor_says_what_was_not_done_yet_and_then_that_all_is_well(shop: Shop) -> None:
    assert codes(shop) == {"SHOP-B02", "SHOP-R01", "SHOP-W00"}
    shop.web.answer(200, b'{"gold_per_gram": "61.25"}')
    shop.run("shop.pricing.fetch_rate")
    shop.run("shop.backups.dump")
    assert codes(shop) == {"SHOP-B00", "SHOP-R00", "SHOP-W00"}


def codes(shop: Shop) -> set[str]:
    done = run("doctor", "--json", "--only", "backups,rates,webhooks", env=shop.env)
    return {one["code"] for one in json.loads(done.stdout)["findings"] if one["code"].startswith("SHOP")}
