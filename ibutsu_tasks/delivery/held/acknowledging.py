"""Giving up, under a lease, what was delivered: done, refused or put back, and only while it is held still.

Without a lease, it does what kombu does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from kombu.transport import redis, virtual
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from ibutsu_tasks.delivery.held.lease import leave
from ibutsu_tasks.delivery.held.taking import give_up, look_up, put_back

if TYPE_CHECKING:
    from collections.abc import Collection

    from redis import Redis


class QoS(redis.QoS):
    """Gives up a message only while this worker holds it; taking it has already written it down."""

    channel: Any
    _delivered: Any

    @property
    def delivered(self) -> Collection[str]:
        """The tags of what was delivered."""
        return cast("Collection[str]", self._delivered.keys())

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was delivered."""
        if self.channel.lease is None:
            super().append(message, delivery_tag)
        else:
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Remove a message that is done."""
        lease = self.channel.lease
        if lease is None:
            super().ack(delivery_tag)
            return
        try:
            with self.channel.conn_or_acquire() as client:
                give_up(client, lease.holder, delivery_tag)
        except (RedisError, OSError) as error:
            lease.done.add(delivery_tag)
            raise RedisConnectionError(str(error)) from error
        finally:
            # Done is done: where the broker does not answer, the next renewal removes it.
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Remove a message, or put it back at the far end of its queue."""
        if self.channel.lease is None:
            super().reject(delivery_tag, requeue=requeue)
        elif requeue:
            self.restore_by_tag(delivery_tag, leftmost=True)
            virtual.QoS.ack(self, delivery_tag)
        else:
            self.ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Redis | None = None, leftmost: bool = False) -> None:
        """Put a message back, if it is held still; or, by the visibility time-out, one of others."""
        lease = self.channel.lease
        if lease is None or tag not in self._delivered:
            super().restore_by_tag(tag, client, leftmost)
            return
        with self.channel.conn_or_acquire(client) as connected:
            for held in look_up(connected, lease.holder, [tag]):
                put_back(connected, lease.holder, held, at_far_end=leftmost)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Put everything back when the channel closes, and end the lease."""
        super().restore_unacked_once(stderr)
        lease = self.channel.lease
        if lease is not None and lease.pid == os.getpid():
            with self.channel.conn_or_acquire() as client:
                leave(client, lease.holder)
