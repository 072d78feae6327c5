"""Measurements, the alerts that rules make of them, and who is told when one stays open."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import httpx
from celery import shared_task
from redis.exceptions import RedisError
from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.tasks import DatabaseTask, Policy
from shop.models import Alert, Delivery, Sample
from shop.settings import BACKUP_DIR, HTTP_TIMEOUT_SECONDS, RATES_URL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session


class Rule(NamedTuple):
    """An alert is open while the newest sample of this name is above `most`."""

    sample: str
    most: float
    sentence: str


RULES = {
    "disk": Rule("disk_used_share", 0.9, "The disk of the backups is nearly full."),
    "database": Rule("database_connections_share", 0.8, "Few connections to the database are left."),
    "webhooks": Rule("webhooks_pending", 1000, "Webhooks do not reach their endpoints."),
    "rates": Rule("rates_down", 0, "The source of gold rates does not answer."),
    "broker": Rule("broker_down", 0, "The broker does not answer."),
}

KEPT_FOR = timedelta(days=7)

LEVELS = (
    (timedelta(minutes=15), "on-call"),
    (timedelta(hours=1), "lead"),
    (timedelta(hours=4), "management"),
)
"""Who is told of an alert that has been open for so long."""


def write_samples(session: Session, samples: Mapping[str, float]) -> list[str]:
    """Write measurements down, and open an alert for each rule that they break; give the rules' names."""
    session.add_all(Sample(name=name, value=value) for name, value in samples.items())
    opened = []
    for name, rule in RULES.items():
        if (value := samples.get(rule.sample, 0)) > rule.most:
            new = insert(Alert).values(rule=name, value=value).on_conflict_do_nothing()
            opened += [name] if session.scalar(new.returning(Alert.id)) else []
    return opened


@shared_task(name="shop.monitoring.measure", bind=True, base=DatabaseTask)
def measure(self: DatabaseTask) -> list[str]:
    """Measure this host and the database; give the alerts that were opened."""
    disk = shutil.disk_usage(self.resources.settings.value(BACKUP_DIR).parent)
    connections = text(
        "select count(*) / current_setting('max_connections')::float from pg_stat_activity"
        " where backend_type = 'client backend'"
    )
    with self.session() as session:
        pending = select(func.count()).select_from(Delivery).where(Delivery.state == "pending")
        samples = {
            "load": os.getloadavg()[0],
            "disk_used_share": disk.used / disk.total,
            "database_bytes": session.scalar(text("select pg_database_size(current_database())")) or 0,
            "database_connections_share": session.scalar(connections) or 0,
            "webhooks_pending": session.scalar(pending) or 0,
        }
        session.execute(delete(Sample).where(Sample.at < utc_now() - KEPT_FOR))
        return write_samples(session, samples)


@shared_task(
    name="shop.monitoring.look_at_services",
    bind=True,
    base=DatabaseTask,
    policy=Policy(time_limit_seconds=60),
)
def look_at_services(self: DatabaseTask) -> list[str]:
    """See whether the services answer; give the alerts that were opened."""
    down = {"broker_down": float(not _broker_answers(self)), "rates_down": float(not _source_answers(self))}
    with self.session() as session:
        return write_samples(session, down)


def _broker_answers(task: DatabaseTask) -> bool:
    try:
        return bool(task.resources.brief_redis.ping())
    except RedisError:
        return False


def _source_answers(task: DatabaseTask) -> bool:
    settings = task.resources.settings
    url = settings.value(RATES_URL)
    try:
        return url is None or httpx.get(url, timeout=settings.value(HTTP_TIMEOUT_SECONDS)).is_success
    except httpx.HTTPError:
        return False


def _open_alerts(session: Session) -> Sequence[Alert]:
    """Give those that no other task has just now."""
    is_open = (Alert.resolved_at.is_(None), Alert.rule.in_(RULES))
    return session.scalars(select(Alert).where(*is_open).with_for_update(skip_locked=True)).all()


@shared_task(name="shop.monitoring.escalate", bind=True, base=DatabaseTask)
def escalate(self: DatabaseTask) -> int:
    """Tell the next one of each alert that has been open for too long; give the number of alerts."""
    now, number = utc_now(), 0
    with self.transaction() as (session, follow_ups):
        for alert in _open_alerts(session):
            level = sum(now - alert.opened_at >= after for after, _ in LEVELS)
            if level <= alert.level:
                continue
            alert.level, number = level, number + 1
            _, to = LEVELS[level - 1]
            sentence = f"{RULES[alert.rule].sentence} Open since {alert.opened_at:%Y-%m-%d %H:%M} UTC."
            key = f"alert-{alert.id}-{level}"
            follow_ups.send("shop.notifications.send", key, to, f"Alert: {alert.rule}", sentence)
    return number


@shared_task(name="shop.monitoring.resolve", bind=True, base=DatabaseTask)
def resolve(self: DatabaseTask) -> int:
    """Close the alerts whose rule holds again; give their number."""
    number = 0
    with self.session() as session:
        for alert in _open_alerts(session):
            rule = RULES[alert.rule]
            newest = (
                select(Sample.value).where(Sample.name == rule.sample).order_by(Sample.at.desc()).limit(1)
            )
            value = session.scalar(newest)
            if value is not None and value <= rule.most:
                alert.resolved_at, number = utc_now(), number + 1
    return number
