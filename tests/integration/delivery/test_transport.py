"""Our transport on a real broker, outside any worker."""

from __future__ import annotations

from kombu import Connection, Consumer, Queue

from ibutsu_tasks.broker.connection import build_client, celery_url
from ibutsu_tasks.delivery.held.transport import Transport


def test_a_broker_without_memory_ends_no_look_at_what_was_held_for_too_long(broker_url: str) -> None:
    with build_client(broker_url) as client, Connection(celery_url(broker_url)) as connection:
        connection.transport_cls = Transport
        Consumer(connection.channel(), Queue("celery")).consume()
        client.config_set("maxmemory", 1)
        try:
            # Raised in a worker's loop, it would be a traceback in the log each time.
            connection.transport.cycle.maybe_restore_messages()
        finally:
            client.config_set("maxmemory", 0)
