"""What `ibutsu-tasks doctor` looks at: backups, the gold rate, webhooks."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.doctor.checks.database import open_engine
from ibutsu_tasks.doctor.report import Finding, advice, well, wrong
from shop.models import Backup, Delivery, GoldRate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.settings import Settings

RATE_IS_OLD = timedelta(minutes=30)
DUMP_IS_OLD = timedelta(hours=26)
DELIVERY_IS_LATE = timedelta(minutes=15)


@contextmanager
def _session(settings: Settings) -> Iterator[Session]:
    engine = open_engine(settings)
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


def check_backups(settings: Settings) -> list[Finding]:
    """See that there is a dump of today, and that no file is gone or was altered."""
    with _session(settings) as session:
        last = session.scalar(select(func.max(Backup.made_at)).where(Backup.kind == "database"))
        faulty = session.scalars(select(Backup.file).where(Backup.fault.is_not(None)).limit(3)).all()
    if faulty:
        seen = f"Backups are gone or were altered: {', '.join(faulty)}."
        return [wrong("SHOP-B01", seen, "Look for what did it, then make them again.")]
    if last is None or utc_now() - last > DUMP_IS_OLD:
        when = (
            f"The last dump of the database is of {last:%Y-%m-%d %H:%M} UTC." if last else "There is no dump."
        )
        hint = "Run `ibutsu-tasks enqueue shop.backups.dump`, and see that beat runs."
        return [wrong("SHOP-B02", when, hint)]
    return [well("SHOP-B00", f"The database was dumped at {last:%Y-%m-%d %H:%M} UTC.")]


def check_rates(settings: Settings) -> list[Finding]:
    """See that the gold rate in use is not old."""
    with _session(settings) as session:
        last = session.scalar(select(func.max(GoldRate.fetched_at)))
    hint = "See that SHOP_RATES_URL answers, and run `ibutsu-tasks enqueue shop.pricing.fetch_rate`."
    if last is None:
        return [wrong("SHOP-R01", "No gold rate is known: nothing can be priced.", hint)]
    seen = f"The gold rate in use is of {last:%Y-%m-%d %H:%M} UTC."
    return [advice("SHOP-R10", seen, hint) if utc_now() - last > RATE_IS_OLD else well("SHOP-R00", seen)]


def check_webhooks(settings: Settings) -> list[Finding]:
    """See that webhooks are delivered."""
    is_late = Delivery.next_attempt_at < utc_now() - DELIVERY_IS_LATE
    with _session(settings) as session:
        count = select(func.count()).select_from(Delivery)
        given_up = session.scalar(count.where(Delivery.state == "given up")) or 0
        late = session.scalar(count.where(Delivery.state == "pending", is_late)) or 0
    if late:
        seen = f"{late} webhooks should have been tried again long ago."
        return [wrong("SHOP-W01", seen, "Run beat, and a worker for the queue webhooks.")]
    if given_up:
        seen = f"{given_up} webhooks were given up."
        return [advice("SHOP-W10", seen, "Look at `ibutsu-tasks dead list`; `dead retry` tries them again.")]
    return [well("SHOP-W00", "Webhooks are delivered.")]
