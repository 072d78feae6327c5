"""Reports: due ones become files, once for each time."""

from __future__ import annotations

import mailbox
import os
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import select

from ibutsu_tasks.clock import utc_now
from shop.models import Execution, Order, Product, Report, Tenant
from shop.tasks.reports import next_run
from tests.commands import until

if TYPE_CHECKING:
    from examples.shop.tests.conftest import Shop

HOUR = timedelta(hours=1)


def sell(shop: Shop, tenant: Tenant, amount: str = "12.50", before: timedelta = HOUR) -> None:
    product = Product(tenant_id=tenant.id, name="a ring, of gold", grams=1, margin=0)
    shop.add(product)
    shop.add(
        Order(
            tenant_id=tenant.id,
            product_id=product.id,
            quantity=1,
            amount=Decimal(amount),
            placed_at=utc_now() - before,
        )
    )


def test_a_due_report_is_written_and_its_tenant_told_once(shop: Shop) -> None:
    tenant = shop.add_tenant()
    report = Report(tenant_id=tenant.id, every_hours=24)
    shop.add(report)
    sell(shop, tenant)
    sell(shop, tenant, before=timedelta(days=2))
    sell(shop, shop.add_tenant("another"))
    assert shop.run("shop.reports.start_due") == 0
    assert shop.run("shop.reports.plan_next_runs") == 1
    with shop.session() as session, session.begin():
        session.get_one(Report, report.id).next_run_at = utc_now()
    ids = [shop.send("shop.reports.start_due") for _ in range(3)]
    assert sorted(shop.outcome(one).result for one in ids) == [0, 0, 1]
    with shop.session() as session:
        execution = session.scalars(select(Execution)).one()
    answer = shop.run("shop.reports.run", str(execution.id))
    header, row = (shop.reports / answer["file"]).read_text().splitlines()
    assert header == "order,placed_at,product,quantity,amount"
    assert row.endswith(',"a ring, of gold",1,12.50')
    until(shop.mail.exists)
    # The task ran twice, and each time sent a notification.
    until(lambda: not any(map(shop.redis.exists, ("unacked", "notifications"))))
    (mail,) = mailbox.Maildir(shop.mail)
    assert mail["Subject"] == "Your report"


def test_the_next_run_makes_up_for_all_that_were_missed() -> None:
    now = utc_now()
    report = Report(every_hours=6, next_run_at=now - 20 * HOUR)
    assert next_run(report, now) == now + 4 * HOUR
    assert next_run(Report(every_hours=6, next_run_at=now), now) == now + 6 * HOUR


def test_usage_counts_the_week(shop: Shop) -> None:
    busy, idle = shop.add_tenant("busy"), shop.add_tenant("idle")
    for before in (HOUR, 2 * HOUR, timedelta(days=8)):
        sell(shop, busy, before=before)
    sell(shop, idle, before=timedelta(days=30))
    answer = shop.run("shop.reports.write_usage")
    lines = (shop.reports / answer["file"]).read_text().splitlines()
    assert lines == ["tenant,orders,amount", "busy,2,25.00", "idle,0,0"]


def test_old_files_and_executions_go(shop: Shop) -> None:
    tenant = shop.add_tenant()
    report = Report(tenant_id=tenant.id, every_hours=24)
    shop.add(report)
    for days in (1, 100):
        until_then = utc_now() - timedelta(days=days)
        shop.add(Execution(report_id=report.id, since=until_then - HOUR, until=until_then))
    shop.reports.mkdir()
    for name, days in (("new.csv", 1), ("old.csv", 31)):
        path = shop.reports / name
        path.write_text("")
        moment = path.stat().st_mtime - days * 86_400
        os.utime(path, (moment, moment))
    assert shop.run("shop.reports.remove_old_files") == 1
    assert [path.name for path in shop.reports.iterdir()] == ["new.csv"]
    assert shop.run("shop.reports.remove_old_executions")["deleted"] == {"shop_report_executions": 1}
