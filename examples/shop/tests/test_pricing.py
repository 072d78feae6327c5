"""The gold rate over HTTP, and prices in exact decimals."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from ibutsu_tasks.clock import utc_now
from shop.models import GoldRate, Product
from tests.commands import run

if TYPE_CHECKING:
    from examples.shop.tests.conftest import Shop

LIVE = b'{"gold_per_gram": "61.25"}'


def test_prices_follow_the_rate_to_the_cent(shop: Shop) -> None:
    tenant = shop.add_tenant()
    ring = Product(tenant_id=tenant.id, name="ring", grams=Decimal("2.002"), margin=Decimal("0.25"))
    shop.add(ring)
    shop.web.answer(200, LIVE)
    assert shop.run("shop.pricing.fetch_rate") == {"per_gram": "61.25", "is_live": True}
    assert shop.run("shop.pricing.set_prices") == 1
    with shop.session() as session:
        # 2.002 × 61.25 × 1.25 = 153.278125
        assert session.get_one(Product, ring.id).price == Decimal("153.28")


@pytest.mark.parametrize(
    ("status", "body"),
    [(503, b""), (200, b"<html>"), (200, b'{"gold_per_gram": "dear"}'), (200, b'{"gold_per_gram": "-1"}')],
)
def test_without_an_answer_the_last_rate_stays_in_use(shop: Shop, status: int, body: bytes) -> None:
    shop.add(GoldRate(per_gram=Decimal("60.1234")))
    shop.web.answer(status, body)
    assert shop.run("shop.pricing.fetch_rate") == {"per_gram": "60.1234", "is_live": False}


def test_without_any_rate_the_task_fails_with_a_sentence(shop: Shop) -> None:
    shop.web.answer(503)
    outcome = shop.outcome(shop.send("shop.pricing.fetch_rate"))
    assert outcome.error == "No gold rate is known yet."


def test_old_rates_go_and_the_last_one_stays(shop: Shop) -> None:
    long_ago = utc_now() - timedelta(days=100)
    shop.add(*(GoldRate(per_gram=number, fetched_at=long_ago + timedelta(days=number)) for number in (1, 2)))
    dry = json.loads(run("prune", "old-rates", "--dry-run", "--json", env=shop.env).stdout)
    assert [(one["table"], one["rows"]) for one in dry["plan"][0]["tables"]] == [("shop_gold_rates", 1)]
    assert shop.run("shop.pricing.remove_old_rates")["deleted"] == {"shop_gold_rates": 1}
    again = run("prune", "old-rates", "--older-than", "7d", "--yes", env=shop.env)
    assert (again.returncode, again.stderr) == (0, "Nothing is due.\n")
    with shop.session() as session:
        assert session.scalars(select(GoldRate.per_gram)).all() == [2]
