"""Webhooks: signed, tried again with growing pauses, and set aside when that does not help."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from celery import shared_task
from celery.exceptions import Reject
from sqlalchemy import select

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.tasks import DatabaseTask, Policy, prune
from shop.models import Delivery, Endpoint
from shop.settings import HTTP_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.tasks import FollowUps

MOST_ATTEMPTS = 8
FIRST_PAUSE = timedelta(minutes=1)
"""Doubled with each attempt: the last one is two hours after the first."""

CLAIM = timedelta(minutes=5)
"""For how long a message counts as on its way before another one is sent."""


def send_delivery(follow_ups: FollowUps, delivery: Delivery) -> None:
    """Send the message of a delivery's next attempt."""
    delivery.next_attempt_at = utc_now() + CLAIM
    follow_ups.send("shop.webhooks.deliver", str(delivery.id), delivery.attempts)


@shared_task(name="shop.webhooks.retry_due", bind=True, base=DatabaseTask)
def retry_due(self: DatabaseTask) -> int:
    """Send the messages of all deliveries that are due; give their number."""
    due = select(Delivery).where(Delivery.state == "pending", Delivery.next_attempt_at <= utc_now())
    with self.transaction() as (session, follow_ups):
        deliveries = session.scalars(due.with_for_update(skip_locked=True)).all()
        for delivery in deliveries:
            send_delivery(follow_ups, delivery)
    return len(deliveries)


@shared_task(
    name="shop.webhooks.deliver",
    bind=True,
    base=DatabaseTask,
    # However many messages there are of one attempt, it is made once.
    policy=Policy(key=lambda delivery_id, attempt: f"{delivery_id}:{attempt}", time_limit_seconds=60),
)
def deliver(self: DatabaseTask, delivery_id: str, attempt: int) -> str:
    """Make an attempt; give the state that came of it. After the last, the message is set aside."""
    with self.session() as session:
        delivery = session.get_one(Delivery, UUID(delivery_id))
        if delivery.state != "pending":
            return delivery.state
        endpoint = session.get_one(Endpoint, delivery.endpoint_id)
    error = _post(endpoint, delivery, self.resources.settings.value(HTTP_TIMEOUT_SECONDS))
    with self.session() as session:
        delivery = session.get_one(Delivery, UUID(delivery_id))
        delivery.error, delivery.attempts = error, attempt + 1
        delivery.next_attempt_at = utc_now() + FIRST_PAUSE * 2**attempt
        if error is None:
            delivery.state = "delivered"
        elif delivery.attempts >= MOST_ATTEMPTS:
            delivery.state = "given up"
    if delivery.state == "given up":
        raise Reject(f"the endpoint took it in none of {delivery.attempts} attempts: {error}", requeue=False)
    return delivery.state


def _post(endpoint: Endpoint, delivery: Delivery, timeout_seconds: float) -> str | None:
    """Send it; give what went wrong."""
    body, now = json.dumps(delivery.event).encode(), str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        # So that who is told twice, which may happen, can know.
        "X-Shop-Delivery": str(delivery.id),
        "X-Shop-Time": now,
        "X-Shop-Signature": sign(endpoint.secret, now, body),
    }
    try:
        httpx.post(endpoint.url, content=body, headers=headers, timeout=timeout_seconds).raise_for_status()
    except httpx.HTTPStatusError as error:
        return f"it answered with {error.response.status_code}"
    except httpx.HTTPError as error:
        return f"it could not be reached ({type(error).__name__})"
    return None


def sign(secret: str, now: str, body: bytes) -> str:
    """Give the signature of a body; the time is part of it, so that an old one cannot be sent again."""
    return hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()


def reopen(resources: Resources, task: str | None, delivery_id: str | None) -> str | None:
    """Let a delivery that was given up be tried again, before its message is sent; say what is in the way."""
    if task != "shop.webhooks.deliver" or delivery_id is None:
        return None
    with resources.session() as session:
        delivery = session.get(Delivery, UUID(delivery_id))
        if delivery is None:
            return "its delivery was removed meanwhile"
        delivery.state, delivery.attempts = "pending", 0
        delivery.next_attempt_at = utc_now() + CLAIM
    return None


@shared_task(name="shop.webhooks.remove_old", bind=True, base=DatabaseTask)
def remove_old(self: DatabaseTask, days: int = 30) -> dict[str, Any]:
    """Remove the deliveries of long ago that are over."""
    return prune(self, "old-deliveries", days).as_json()
