"""How a failure of the broker is worded: the place and why, without the password, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.broker.connection import address_of, build_client, describe
from ibutsu_tasks.broker.garbled import find_behind
from ibutsu_tasks.errors import BrokerUnreachableError
from ibutsu_tasks.settings.masking import Masker
from ibutsu_tasks.text.control_characters import visible

if TYPE_CHECKING:
    from ibutsu_tasks.broker.garbled import GarbledKey

LOOK_SECONDS = 1.0
"""For the keys behind a refusal, of a server that has just answered."""

MOVE_EACH = "`ibutsu-tasks doctor --only broker` says how to move each of them out of the way."


def unreachable(error: BaseException, broker_url: str) -> BrokerUnreachableError:
    """Turn a client's error into a sentence that names the place and why, and the key if one is in the way.

    May look at the server once more.
    """
    with build_client(broker_url, LOOK_SECONDS) as client:
        garbled = find_behind(error, client)
    reason, hint = _in_the_way(garbled, broker_url) if garbled else (_reason(error, broker_url), None)
    return BrokerUnreachableError(f"Redis at {describe(broker_url)} did not work: {reason}", hint)


def _reason(error: BaseException, broker_url: str) -> str:
    return Masker([broker_url]).mask(" ".join(str(error).split()) or type(error).__name__)


def _in_the_way(garbled: list[GarbledKey], broker_url: str) -> tuple[str, str]:
    is_one = len(garbled) == 1
    hint = garbled[0].remedy(address_of(broker_url).db) if is_one else MOVE_EACH
    return visible("; ".join(map(str, garbled))), hint
