"""Kombu's Redis transport, which sets aside what is no message before kombu reads it.

Kombu takes a message off its list first and reads it then. By an error in it the worker ends, and the message
is lost or, once it was delivered, goes back and ends the next worker.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kombu.transport import redis

from ibutsu_tasks.delivery.envelope import problem_of
from ibutsu_tasks.delivery.quarantine import set_aside

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger(__name__)


class Channel(redis.Channel):
    """A channel that looks at each message as Redis answers with it."""

    def _create_client(self, asynchronous: bool = False) -> Redis:
        client: Redis = super()._create_client(asynchronous)  # type: ignore[misc]  # not in its stubs
        client.set_response_callback("BRPOP", self._check)
        return client

    def _check(self, answer: Any, **_: Any) -> Any:
        """Give the answer to BRPOP, a list and its item; None, as for no item, when that is set aside."""
        if not answer:
            return None
        name, item = answer
        problem = problem_of(item)
        if problem is None:
            return name, item
        queue = name.decode("utf-8", "replace").rsplit(self.sep, 1)[0]
        with self.conn_or_acquire() as client:
            set_aside(client, item, queue, problem)
        logger.error("A message of the queue %s was set aside: %s.", queue, problem)
        return None


class Transport(redis.Transport):
    """The same with these channels."""

    Channel = Channel
