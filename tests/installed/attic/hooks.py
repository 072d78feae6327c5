"""What the attic adds to the doctor and to the page of metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from ibutsu_tasks.doctor.report import Finding, advice
from ibutsu_tasks.health.metrics import gauge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from sqlalchemy import Connection


def judge(connection: Connection) -> list[Finding]:
    """Advise to keep the day that a fresh attic lacks."""
    has_day = connection.scalar(text("select exists (select from attic_days)"))
    return [] if has_day else [advice("AT-D10", "The attic knows no day.", "Write today down.")]


def of_broker(client: Redis) -> Iterator[Any]:
    """Count the visitors, whom a list holds."""
    yield gauge("attic_visitors", "Visitors of the attic.", {}, client.llen("attic:visitors"))
