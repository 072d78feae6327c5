"""What renews a lease goes on, whatever becomes of the connection it uses."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.delivery.held.lease import Renewer
from tests.commands import until

if TYPE_CHECKING:
    import pytest


def test_a_connection_that_the_workers_loop_closes_under_a_renewal_is_told_of_once(
    broker_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with build_client(broker_url) as client, build_client(broker_url) as observer:
        renewer = Renewer(lambda: client.blpop(["nobody-sends-here"], 30))

        def is_reading() -> bool:
            return any(one["cmd"] == "blpop" for one in observer.client_list())

        for _ in range(2):
            thread = threading.Thread(target=renewer)
            thread.start()
            until(is_reading)
            client.connection_pool.disconnect()
            thread.join(10)
            assert renewer.fails
            until(lambda: not is_reading())
    told = [message for message in caplog.messages if "could not be renewed" in message]
    assert len(told) == 1
