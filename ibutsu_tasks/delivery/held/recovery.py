"""Giving the messages of holders that are gone to others: only theirs, and each once."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from ibutsu_tasks.broker.layout import (
    GONE_HOLDER_SECONDS,
    HOLDERS,
    SEPARATOR,
    TAKEN_OVER_PREFIX,
    holder_names,
)
from ibutsu_tasks.delivery.dead.losses import count_loss
from ibutsu_tasks.delivery.dead.poison import BY_WORKER, end_poisonous, most_losses
from ibutsu_tasks.delivery.held.lease import RENEWALS_PER_LEASE
from ibutsu_tasks.delivery.held.taking import (
    NOW,
    Held,
    Script,
    give_up,
    held_key,
    look_up,
    put_back,
    slots_key,
)
from ibutsu_tasks.delivery.pauses import broker_now, is_waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

logger = logging.getLogger(__name__)

CLIENT_NAME_PREFIX = "ibutsu-tasks-holder-"
"""The name of the connection on which a holder takes messages, before the random part of its name."""

# KEYS: holders, held of the holder, held of who recovers, taken-over of the holder, slots of both.
# ARGV: holder, who recovers, seconds of a lease, seconds for taken-over, 1 to claim before its lease is over.
CLAIM = Script(f"""
{NOW}
local till = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not till or (ARGV[5] ~= '1' and tonumber(till) > now) then return false end
redis.call('SET', KEYS[4], 1, 'EX', ARGV[4])
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('ZADD', KEYS[1], string.format('%.6f', now + tonumber(ARGV[3])), ARGV[2])
  redis.call('RENAME', KEYS[2], KEYS[3])
  if redis.call('EXISTS', KEYS[5]) == 1 then redis.call('RENAME', KEYS[5], KEYS[6]) end
else
  redis.call('DEL', KEYS[5])
end
redis.call('ZREM', KEYS[1], ARGV[1])
return till
""")

OVER = Script(f"""
{NOW}
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
""")


def recover_lapsed(client: redis.Redis, lease_seconds: float) -> int:
    """Give what holders held whose lease is over to others; give the number of messages."""
    lapsed = [holder.decode("utf-8", "replace") for holder in OVER(client, (HOLDERS,))]
    # After a restart of the server every lease is over, and who held it is about to come back.
    if not lapsed or client.info("server")["uptime_in_seconds"] < lease_seconds:
        return 0
    return sum(recover(client, holder, lease_seconds) for holder in lapsed)


def recover_gone(client: redis.Redis, node_name: str, lease_seconds: float) -> int:
    """Give what earlier processes of a node held to others now, where it is certain that they are gone."""
    holders = holder_names(client)
    earlier = [one for one in holders if one.rpartition(":")[0] == node_name and client.exists(held_key(one))]
    connected = _connected(client) if earlier else None
    if connected is None:
        return 0
    gone = [one for one in earlier if CLIENT_NAME_PREFIX + one.rpartition(":")[2] not in connected]
    return sum(recover(client, holder, lease_seconds, at_once=True) for holder in gone)


def recover(
    client: redis.Redis, holder: str, lease_seconds: float, *, at_once: bool = False, is_loss: bool = True
) -> int:
    """Give what a holder held to others; give the number of messages, 0 when somebody else did.

    Who recovers holds the messages meanwhile, with a lease of its own: if it ends in the middle, the next one
    goes on.
    """
    claimant = f"{holder.rpartition(':')[0]}:{secrets.token_hex(8)}"
    own_held, own_slots = held_key(claimant), slots_key(claimant)
    keys = (HOLDERS, held_key(holder), own_held, TAKEN_OVER_PREFIX + holder, slots_key(holder), own_slots)
    till = CLAIM(client, keys, holder, claimant, lease_seconds, GONE_HOLDER_SECONDS, int(at_once))
    if till is None:
        return 0
    count = 0
    found = look_up(client, claimant)
    slots = int(client.get(own_slots) or max((one.slots for one in found), default=0))
    # It lived until it was to renew again at most.
    ended = datetime.fromtimestamp(float(till) - lease_seconds * (1 - 1 / RENEWALS_PER_LEASE), UTC)
    begun = _begun(found, slots, min(ended, broker_now(client))) if is_loss else frozenset()
    # The last one first: at any moment, what is still held are those that were taken first, of which the same
    # ones had begun, and what is back comes in its old order.
    for held in sorted(found, key=lambda one: one.since, reverse=True):
        # A score beyond any of its own: a stock worker was given it meanwhile, and holds it now.
        is_others = held.visible_from > float(till) + 2 * lease_seconds
        count += not is_others and _restore(client, claimant, held, is_loss=held.tag in begun)
        if is_others:
            client.hdel(own_held, held.tag)
    # All that could be given back is: what still lies there, no worker wrote.
    pipeline: Any = client.pipeline()
    pipeline.delete(own_held, own_slots).zrem(HOLDERS, claimant).execute()
    if count:
        messages = "1 message is" if count == 1 else f"{count} messages are"
        logger.warning("%s back in the queue: the worker that held them, %s, is gone.", messages, holder)
    return count


def _begun(found: Sequence[Held], slots: int, ended: datetime) -> frozenset[str]:
    """Give the tags of what had begun: it begins in the order in which it was taken, the others waited."""
    at_once = [one for one in found if not is_waiting(one.message() or {}, ended)]
    return frozenset(one.tag for one in sorted(at_once, key=lambda one: one.since)[:slots])


def _restore(client: redis.Redis, holder: str, held: Held, *, is_loss: bool) -> bool:
    message = held.message()
    if message is not None and is_loss and count_loss(client, message, held.delivery) >= most_losses(message):
        queue = held.place.decode("utf-8", "replace").rsplit(SEPARATOR, 1)[0]
        end_poisonous(client, message, queue, BY_WORKER, key=held.tag)
        return give_up(client, holder, held.tag)
    return put_back(client, holder, held)


def _connected(client: redis.Redis) -> set[str] | None:
    """Name the connections there are; None where a proxy or a missing right keeps them from being seen."""
    name = CLIENT_NAME_PREFIX + secrets.token_hex(8)
    try:
        pipeline: Any = client.pipeline(transaction=False)
        _, connections, _ = pipeline.client_setname(name).client_list().client_setname("").execute()
    except ResponseError:
        return None
    names = {connection.get("name", "") for connection in connections}
    return names if name in names else None
