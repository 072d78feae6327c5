"""Reports as CSV: due ones are started, each runs by a message of its own, old ones are removed."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import shared_task
from sqlalchemy import func, select

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.tasks import DatabaseTask, prune
from shop.files import write_csv
from shop.models import Execution, Order, Product, Report, Tenant
from shop.settings import REPORT_DIR

if TYPE_CHECKING:
    from pathlib import Path

FILES_KEPT_FOR = timedelta(days=30)
WEEK = timedelta(days=7)


@shared_task(name="shop.reports.start_due", bind=True, base=DatabaseTask)
def start_due(self: DatabaseTask) -> int:
    """Start each report that is due, once for all its runs that were missed; give their number."""
    now = utc_now()
    # A second task at the same time leaves alone what this one has.
    due = select(Report).where(Report.next_run_at <= now).with_for_update(skip_locked=True)
    with self.transaction() as (session, follow_ups):
        reports = session.scalars(due).all()
        for report in reports:
            last = select(func.max(Execution.until)).where(Execution.report_id == report.id)
            since = session.scalar(last) or now - timedelta(hours=report.every_hours)
            execution = Execution(report_id=report.id, since=since, until=now)
            session.add(execution)
            report.next_run_at = next_run(report, now)
            session.flush()
            follow_ups.send("shop.reports.run", str(execution.id))
    return len(reports)


def next_run(report: Report, now: datetime) -> datetime:
    """Give a report's first time after `now`, a whole number of its periods after the one it had."""
    period = timedelta(hours=report.every_hours)
    planned = report.next_run_at or now
    return planned + period * (math.floor((now - planned) / period) + 1)


@shared_task(name="shop.reports.run", bind=True, base=DatabaseTask)
def run(self: DatabaseTask, execution_id: str) -> dict[str, Any]:
    """Write the orders of an execution's time; a second time writes the same file."""
    with self.transaction() as (session, follow_ups):
        execution = session.get_one(Execution, UUID(execution_id))
        report = session.get_one(Report, execution.report_id)
        orders = (
            select(Order.id, Order.placed_at, Product.name, Order.quantity, Order.amount)
            .join(Product, Product.id == Order.product_id)
            .where(Order.tenant_id == report.tenant_id)
            .where(Order.placed_at >= execution.since, Order.placed_at < execution.until)
            .order_by(Order.placed_at, Order.id)
        )
        path = self.resources.settings.value(REPORT_DIR) / f"orders-{execution_id}.csv"
        header = ("order", "placed_at", "product", "quantity", "amount")
        execution.file, execution.rows = path.name, write_csv(path, header, session.execute(orders))
        text = f"{path.name} has {execution.rows} orders."
        key = f"report-{execution_id}"
        follow_ups.send("shop.notifications.send", key, f"tenant-{report.tenant_id}", "Your report", text)
        return {"file": path.name, "rows": execution.rows}


@shared_task(name="shop.reports.plan_next_runs", bind=True, base=DatabaseTask)
def plan_next_runs(self: DatabaseTask) -> int:
    """Plan the reports that have no time yet; give their number."""
    now = utc_now()
    with self.session() as session:
        reports = session.scalars(select(Report).where(Report.next_run_at.is_(None))).all()
        for report in reports:
            report.next_run_at = next_run(report, now)
    return len(reports)


@shared_task(name="shop.reports.write_usage", bind=True, base=DatabaseTask)
def write_usage(self: DatabaseTask) -> dict[str, Any]:
    """Write what each tenant sold in the last seven days."""
    now = utc_now()
    sold = (
        select(Tenant.name, func.count(Order.id), func.coalesce(func.sum(Order.amount), 0))
        .outerjoin(Order, (Order.tenant_id == Tenant.id) & (Order.placed_at >= now - WEEK))
        .group_by(Tenant.id)
        .order_by(Tenant.name, Tenant.id)
    )
    path = self.resources.settings.value(REPORT_DIR) / f"usage-{now:%Y-%m-%d}.csv"
    with self.session() as session:
        rows = write_csv(path, ("tenant", "orders", "amount"), session.execute(sold))
    return {"file": path.name, "rows": rows}


@shared_task(name="shop.reports.remove_old_files", bind=True, base=DatabaseTask)
def remove_old_files(self: DatabaseTask) -> int:
    """Remove the files of long ago; give their number."""
    directory: Path = self.resources.settings.value(REPORT_DIR)
    before = (utc_now() - FILES_KEPT_FOR - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001 - naive UTC
    old = [path for path in directory.glob("*.csv") if path.stat().st_mtime < before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


@shared_task(name="shop.reports.remove_old_executions", bind=True, base=DatabaseTask)
def remove_old_executions(self: DatabaseTask, days: int = 90) -> dict[str, Any]:
    """Remove the executions of long ago."""
    return prune(self, "old-executions", days).as_json()
