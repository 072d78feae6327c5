"""Measurements, and what becomes of an alert."""

from __future__ import annotations

import mailbox
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from ibutsu_tasks.clock import utc_now
from shop.models import Alert, Sample
from tests.commands import until

if TYPE_CHECKING:
    from examples.shop.tests.conftest import Shop


def test_this_host_and_the_database_are_measured(shop: Shop) -> None:
    shop.add(Sample(name="load", value=1, at=utc_now() - timedelta(days=8)))
    shop.run("shop.monitoring.measure")
    with shop.session() as session:
        samples = dict(session.execute(select(Sample.name, Sample.value)).all())
        assert len(session.scalars(select(Sample)).all()) == len(samples)
    assert 0 < samples["disk_used_share"] < 1
    assert 0 < samples["database_connections_share"] < 1
    assert samples["database_bytes"] > 1_000_000


def test_an_alert_is_opened_once_escalated_step_by_step_and_resolved(shop: Shop) -> None:
    shop.web.answer(503)
    ids = [shop.send("shop.monitoring.look_at_services") for _ in range(3)]
    assert sorted(shop.outcome(one).result for one in ids) == [[], [], ["rates"]]
    assert shop.run("shop.monitoring.escalate") == 0
    assert shop.run("shop.monitoring.resolve") == 0
    for minutes, told in ((16, 1), (20, 0), (61, 1), (62, 0)):
        with shop.session() as session, session.begin():
            session.scalars(select(Alert)).one().opened_at = utc_now() - timedelta(minutes=minutes)
        assert shop.run("shop.monitoring.escalate") == told
    until(lambda: shop.mail.exists() and len(mailbox.Maildir(shop.mail)) == 2)
    assert sorted(mail["To"] for mail in mailbox.Maildir(shop.mail)) == ["lead", "on-call"]
    shop.web.answer(200)
    shop.run("shop.monitoring.look_at_services")
    assert shop.run("shop.monitoring.resolve") == 1
    assert shop.run("shop.monitoring.escalate") == 0
    shop.web.answer(503)
    assert shop.run("shop.monitoring.look_at_services") == ["rates"]
