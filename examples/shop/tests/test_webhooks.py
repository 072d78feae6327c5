"""Webhooks: signed, tried again, given up to quarantine, and taken from there again."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from ibutsu_tasks.clock import utc_now
from shop.models import Delivery, Endpoint
from shop.tasks.webhooks import FIRST_PAUSE, MOST_ATTEMPTS, sign
from tests.commands import run, until

if TYPE_CHECKING:
    from examples.shop.tests.conftest import Shop

EVENT = {"kind": "order", "amount": "12.50"}


def publish(shop: Shop, url: str = "") -> Delivery:
    """Publish an event; give its delivery after the first attempt."""
    tenant = shop.add_tenant()
    shop.add(Endpoint(tenant_id=tenant.id, url=url or shop.web.url, secret="s3cret"))
    assert shop.run("shop.events.publish", str(tenant.id), EVENT) == 1
    until(lambda: delivery_of(shop).attempts == 1)
    return delivery_of(shop)


def delivery_of(shop: Shop) -> Delivery:
    with shop.session() as session:
        return session.scalars(select(Delivery)).one()


def set_delivery(shop: Shop, **values: object) -> None:
    with shop.session() as session, session.begin():
        delivery = session.scalars(select(Delivery)).one()
        for name, value in values.items():
            setattr(delivery, name, value)


def test_an_event_is_delivered_and_signed(shop: Shop) -> None:
    delivery = publish(shop)
    assert delivery.state == "delivered"
    ((headers, body),) = shop.web.requests
    assert json.loads(body) == EVENT
    assert headers["X-Shop-Delivery"] == str(delivery.id)
    assert headers["X-Shop-Signature"] == sign("s3cret", headers["X-Shop-Time"], body)
    assert sign("another", headers["X-Shop-Time"], body) != headers["X-Shop-Signature"]


def test_what_fails_is_tried_again_with_growing_pauses(shop: Shop) -> None:
    shop.web.answer(500)
    delivery = publish(shop)
    assert (delivery.state, delivery.error) == ("pending", "it answered with 500")
    pauses = [delivery.next_attempt_at - utc_now()]
    # Not due yet.
    assert shop.run("shop.webhooks.retry_due") == 0
    for attempt in (2, 3):
        set_delivery(shop, next_attempt_at=utc_now())
        # Two of them at once send one message, and send none while it is on its way.
        ids = [shop.send("shop.webhooks.retry_due") for _ in range(2)]
        assert sorted(shop.outcome(one).result for one in ids) == [0, 1]
        until(lambda attempt=attempt: delivery_of(shop).attempts == attempt)  # type: ignore[misc]
        pauses.append(delivery_of(shop).next_attempt_at - utc_now())
    expected = [FIRST_PAUSE * 2**number for number in range(3)]
    assert all(0 <= (most - pause).total_seconds() < 30 for most, pause in zip(expected, pauses, strict=True))
    shop.web.answer(200)
    set_delivery(shop, next_attempt_at=utc_now())
    shop.run("shop.webhooks.retry_due")
    until(lambda: delivery_of(shop).state == "delivered")
    assert len(shop.web.requests) == 1


def test_the_same_attempt_is_made_once(shop: Shop) -> None:
    delivery = publish(shop)
    assert shop.run("shop.webhooks.deliver", str(delivery.id), 0) == "delivered"
    assert len(shop.web.requests) == 1


def test_after_the_last_attempt_it_is_set_aside_and_an_operator_sends_it_again(shop: Shop) -> None:
    shop.web.answer(410)
    delivery = publish(shop)
    set_delivery(shop, attempts=MOST_ATTEMPTS - 1, next_attempt_at=utc_now())
    shop.run("shop.webhooks.retry_due")
    until(lambda: delivery_of(shop).state == "given up")
    until(lambda: shop.redis.hlen("ibutsu-tasks:quarantine"))
    (dead,) = json.loads(run("dead", "list", "--json", env=shop.env).stdout)["dead"]
    assert dead["about"] == str(delivery.id)
    assert dead["reason"] == "the endpoint took it in none of 8 attempts: it answered with 410"
    found = json.loads(run("doctor", "--json", "--only", "webhooks", env=shop.env).stdout)["findings"]
    assert "SHOP-W10" in {one["code"] for one in found}
    shop.web.answer(200)
    done = run("dead", "retry", "--all", env=shop.env)
    assert done.returncode == 0, done.stderr
    until(lambda: delivery_of(shop).state == "delivered")
    assert delivery_of(shop).state == "delivered"


def test_an_endpoint_that_is_not_there_is_told_without_its_secret(shop: Shop) -> None:
    delivery = publish(shop, "http://127.0.0.1:1/")
    assert delivery.error == "it could not be reached (ConnectError)"


def test_old_deliveries_go_unless_they_are_pending(shop: Shop) -> None:
    publish(shop)
    set_delivery(shop, created_at=utc_now() - timedelta(days=31), state="pending")
    assert shop.run("shop.webhooks.remove_old")["deleted"] == {"shop_deliveries": 0}
    set_delivery(shop, state="delivered")
    dry = json.loads(run("prune", "all", "--dry-run", "--json", env=shop.env).stdout)
    assert [one["rows"] for one in dry["plan"]] == [0, 0, 1]
    done = json.loads(run("prune", "old-deliveries", "--yes", "--json", env=shop.env).stdout)
    assert done["result"][0]["deleted"] == {"shop_deliveries": 1}
