"""The gold rate, and the prices that follow it."""

from __future__ import annotations

import logging
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import httpx
from celery import shared_task
from sqlalchemy import func, select, update

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.tasks import DatabaseTask, Policy, prune
from shop.models import GoldRate, Product
from shop.settings import HTTP_TIMEOUT_SECONDS, RATES_URL

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

logger = logging.getLogger(__name__)


# httpx' time limit is for each read; a source that drips is ended by the task's own.
@shared_task(
    name="shop.pricing.fetch_rate", bind=True, base=DatabaseTask, policy=Policy(time_limit_seconds=60)
)
def fetch_rate(self: DatabaseTask) -> dict[str, Any]:
    """Ask the source for the rate. While it gives none, the last one known stays in use."""
    try:
        per_gram = _ask(self.resources.settings)
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        with self.session() as session:
            last = last_rate(session)
        logger.warning("The source gave no rate (%s); in use is the one of %s.", error, last.fetched_at)
        return {"per_gram": str(last.per_gram), "is_live": False}
    with self.session() as session:
        session.add(GoldRate(per_gram=per_gram))
    return {"per_gram": str(per_gram), "is_live": True}


def _ask(settings: Settings) -> Decimal:
    """Give the rate. Raises HTTPError, and ValueError, LookupError or TypeError for what is no rate."""
    url = settings.value(RATES_URL)
    if url is None:
        raise RefusedError("There is no source of gold rates.", "Set SHOP_RATES_URL to its address.")
    answer = httpx.get(url, timeout=settings.value(HTTP_TIMEOUT_SECONDS)).raise_for_status()
    try:
        per_gram = Decimal(answer.json()["gold_per_gram"])
    except InvalidOperation:
        raise ValueError("the answer holds no number") from None
    if not 0 < per_gram < 10**8:
        raise ValueError(f"{per_gram} is no price")
    return per_gram


def last_rate(session: Session) -> GoldRate:
    """Give the rate in use. Raises RefusedError when there has never been one."""
    last = session.scalar(select(GoldRate).order_by(GoldRate.fetched_at.desc()).limit(1))
    if last is None:
        raise RefusedError("No gold rate is known yet.", "See that SHOP_RATES_URL answers.")
    return last


@shared_task(name="shop.pricing.set_prices", bind=True, base=DatabaseTask)
def set_prices(self: DatabaseTask) -> int:
    """Price all products by the rate in use; give their number."""
    with self.session() as session:
        rate = last_rate(session).per_gram
        # PostgreSQL computes in decimals, and rounds half a cent up.
        price = func.round(Product.grams * rate * (1 + Product.margin), 2)
        return len(session.execute(update(Product).values(price=price).returning(Product.id)).all())


@shared_task(name="shop.pricing.remove_old_rates", bind=True, base=DatabaseTask)
def remove_old_rates(self: DatabaseTask, days: int = 90) -> dict[str, Any]:
    """Remove rates of long ago, never the last one."""
    return prune(self, "old-rates", days).as_json()
