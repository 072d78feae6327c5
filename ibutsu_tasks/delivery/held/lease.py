"""The lease of who holds messages: as long as it is renewed, nobody else is given them.

Renewing also moves what is held ahead in kombu's index: no visibility time-out takes a long task away.
"""

from __future__ import annotations

import logging
import os
import secrets
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.layout import GONE_HOLDER_SECONDS, HOLDERS, TAKEN_OVER_PREFIX, UNACKED_INDEX
from ibutsu_tasks.delivery.held.taking import NOW, Script, give_up, held_key, look_up, put_back, slots_key

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    import redis

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 4

# KEYS: holders, held of the holder, index of unacked, taken-over, slots of the holder.
# ARGV: holder, seconds of the lease, slots, seconds they last.
RENEW = Script(f"""
{NOW}
if redis.call('EXISTS', KEYS[4]) == 1 then return false end
local till = string.format('%.6f', now + tonumber(ARGV[2]))
redis.call('SET', KEYS[5], ARGV[3], 'EX', ARGV[4])
redis.call('ZADD', KEYS[1], till, ARGV[1])
local tags = redis.call('HKEYS', KEYS[2])
for _, tag in ipairs(tags) do redis.call('ZADD', KEYS[3], 'XX', till, tag) end
return tags
""")

# KEYS: holders, held of the holder, slots of the holder. ARGV: holder.
LEAVE = Script("""
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('DEL', KEYS[3])
return redis.call('ZREM', KEYS[1], ARGV[1])
""")


def leave(client: redis.Redis, holder: str) -> None:
    """End a lease when nothing is held; else it runs out, and others are given what is."""
    LEAVE(client, (HOLDERS, held_key(holder), slots_key(holder)), holder)


class Lease:
    """The lease of one holder. It is lost for good once others were given what it held."""

    def __init__(self, node_name: str, seconds: float) -> None:
        self.pid = os.getpid()
        self.token = secrets.token_hex(8)
        self.node_name = node_name
        self.holder = f"{node_name}:{self.token}"
        self.seconds = seconds
        self.slots = 1
        """How many tasks its worker runs at a time."""
        self.is_lost = False
        self.done: set[str] = set()
        """Tags of messages that are done and could not be given up: the broker did not answer."""
        self._unknown: set[str] = set()

    @property
    def renewal_seconds(self) -> float:
        """How often it is to be renewed."""
        return self.seconds / RENEWALS_PER_LEASE

    def renew(self, client: redis.Redis, known: Container[str], is_taking: Callable[[], bool]) -> None:
        """Renew it, give up what is done, and put back what was taken without that its answer arrived.

        `known` are the tags the worker knows that it holds. Raises what the client raises.
        """
        own = (held_key(self.holder), UNACKED_INDEX, TAKEN_OVER_PREFIX + self.holder, slots_key(self.holder))
        tags = RENEW(client, (HOLDERS, *own), self.holder, self.seconds, self.slots, GONE_HOLDER_SECONDS)
        if tags is None:
            self._lose()
            return
        self.give_up_done(client)
        self._put_back_unknown(client, {tag.decode("utf-8", "replace") for tag in tags}, known, is_taking)

    def give_up_done(self, client: redis.Redis) -> None:
        """Remove the messages that were done while the broker did not answer."""
        for tag in tuple(self.done):
            give_up(client, self.holder, tag)
            self.done.discard(tag)

    def _lose(self) -> None:
        if not self.is_lost:
            logger.warning(
                "The lease of this worker ran out, and others were given what it held:"
                " it was stopped or cut off for more than %g s.",
                self.seconds,
            )
        self.is_lost = True

    def _put_back_unknown(
        self, client: redis.Redis, tags: set[str], known: Container[str], is_taking: Callable[[], bool]
    ) -> None:
        # Only what was unknown at the last renewal too: an answer may be on its way.
        unknown = {tag for tag in tags if tag not in known}
        stale = [] if is_taking() else sorted(unknown & self._unknown)
        self._unknown = unknown
        for held in look_up(client, self.holder, stale):
            if put_back(client, self.holder, held):
                logger.warning("A message was taken and never arrived: it is back in the queue.")


class Renewer:
    """Renews a lease and says once when that fails, and once when it works again."""

    def __init__(self, renew: Callable[[], None]) -> None:
        self._renew = renew
        self.fails = False

    def __call__(self) -> None:
        """Renew; whatever fails, such as a broker that does not answer, is tried again the next time."""
        try:
            self._renew()
        except Exception as error:  # noqa: BLE001 - redis-py raises anything where the loop closes the connection
            if not self.fails:
                logger.warning("The lease on what this worker holds could not be renewed: %s", error)
            self.fails = True
        else:
            self.fails = False
