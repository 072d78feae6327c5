"""How a failure of the broker is worded: the place and why, without the password, and what to do."""

from __future__ import annotations

from ibutsu_tasks.broker.connection import address_of, build_client, describe
from ibutsu_tasks.broker.garbled import find_behind
from ibutsu_tasks.errors import BrokerUnreachableError
from ibutsu_tasks.settings.masking import Masker
from ibutsu_tasks.text.control_characters import visible

LOOK_SECONDS = 1.0
"""For the keys behind a refusal, of a server that has just answered."""


def unreachable(error: BaseException, broker_url: str) -> BrokerUnreachableError:
    """Turn a client's error into a sentence that names the place and why, and the key if one is in the way.

    May look at the server once more.
    """
    with build_client(broker_url, LOOK_SECONDS) as client:
        garbled = find_behind(error, client)
    if garbled:
        reason = visible("; ".join(map(str, garbled)))
        hint = garbled[0].remedy(address_of(broker_url).db)
    else:
        reason = Masker([broker_url]).mask(" ".join(str(error).split()) or type(error).__name__)
        hint = None
    return BrokerUnreachableError(f"Redis at {describe(broker_url)} did not work: {reason}", hint)
