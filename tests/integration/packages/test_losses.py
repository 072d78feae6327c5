"""How many whole workers a message may lose, where the policy of its task says so."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.broker.layout import HOLDERS, QUARANTINE, UNACKED, UNACKED_INDEX
from ibutsu_tasks.celery_app import create_celery_app
from ibutsu_tasks.delivery.held import recovery
from ibutsu_tasks.delivery.held.lease import Lease
from ibutsu_tasks.delivery.held.taking import TAKE, held_key
from ibutsu_tasks.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.packaged import Workshop

LEASE_SECONDS = 600.0


def lose_a_worker(workshop: Workshop) -> None:
    """Take what waits as a worker does, and find that worker gone."""
    lease = Lease("a@here", LEASE_SECONDS)
    lease.renew(workshop.client, (), lambda: False)
    keys = (UNACKED, UNACKED_INDEX, HOLDERS, held_key(lease.holder), "work")
    assert TAKE(workshop.client, keys, lease.holder, LEASE_SECONDS)
    assert recovery.recover(workshop.client, lease.holder, LEASE_SECONDS, at_once=True) == 1


@pytest.mark.parametrize(("task", "most"), [("deadly", 2), ("endless", 3)])
def test_a_message_is_set_aside_after_as_many_workers_as_its_policy_says(
    closed_workshop: Callable[..., Workshop], task: str, most: int
) -> None:
    workshop = closed_workshop()
    with closing(create_celery_app(settings=load_settings(environ=workshop.env))):
        workshop.send(task, "bomb")
        for _ in range(most - 1):
            lose_a_worker(workshop)
            assert not workshop.client.exists(QUARANTINE)
        lose_a_worker(workshop)
    assert workshop.client.hlen(QUARANTINE) == 1
    assert not workshop.client.exists("work", UNACKED)
