"""Events of the shops: whoever wants to be told of one is told by a webhook."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from sqlalchemy import select

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.tasks import DatabaseTask
from shop.models import Delivery, Endpoint
from shop.tasks.webhooks import send_delivery


@shared_task(name="shop.events.publish", bind=True, base=DatabaseTask)
def publish(self: DatabaseTask, tenant_id: str, event: dict[str, Any]) -> int:
    """Send an event to each endpoint of a tenant; give their number."""
    with self.transaction() as (session, follow_ups):
        endpoints = session.scalars(select(Endpoint.id).where(Endpoint.tenant_id == UUID(tenant_id))).all()
        for endpoint_id in endpoints:
            delivery = Delivery(endpoint_id=endpoint_id, event=event, next_attempt_at=utc_now(), attempts=0)
            session.add(delivery)
            session.flush()
            send_delivery(follow_ups, delivery)
    return len(endpoints)
