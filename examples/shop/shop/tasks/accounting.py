"""Depreciation in equal parts, to the cent."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from celery import shared_task
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.tasks import DatabaseTask
from shop.models import Asset, Depreciation

CENT = Decimal("0.01")


@shared_task(name="shop.accounting.depreciate", bind=True, base=DatabaseTask)
def depreciate(self: DatabaseTask) -> int:
    """Write off every month that is over and was not written off yet; give the number of rows."""
    today = utc_now().date()
    with self.session() as session:
        rows = [row for asset in session.scalars(select(Asset)) for row in parts_of(asset, today)]
        if not rows:
            return 0
        written = insert(Depreciation).values(rows).on_conflict_do_nothing().returning(Depreciation.month)
        return len(session.execute(written).all())


def parts_of(asset: Asset, today: date) -> list[dict[str, object]]:
    """Give a row for each of an asset's months that are over; all parts together are exact."""
    whole = asset.cost - asset.residual
    first = asset.bought_on.year * 12 + asset.bought_on.month - 1
    number = min(asset.months, today.year * 12 + today.month - 1 - first)
    # What is written off up to each month is rounded, not each part: no cent is lost or gained.
    sums = [(whole * n / asset.months).quantize(CENT, ROUND_HALF_UP) for n in range(number + 1)]
    return [
        {"asset_id": asset.id, "month": _month(first + n), "amount": sums[n + 1] - sums[n]}
        for n in range(number)
    ]


def _month(number: int) -> date:
    """Give the first day of a month, counted from the year 0."""
    return date(number // 12, number % 12 + 1, 1)
