"""When a stack is ready: its worker and its beat are at work, and its Flower page is served."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing
from typing import TYPE_CHECKING

from redis import RedisError

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import BEAT_LEADER_KEY
from ibutsu_tasks.errors import BrokerUnreachableError, LocalServersError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibutsu_tasks.stack_record import StackRecord

FIRST_FLOWER_PORT = 5555
FLOWER_PORTS_TRIED = 50


def choose_flower_port(wanted: int | None) -> int:
    """Give `wanted`, or without one the first free port from 5555 on.

    Raises LocalServersError when it is, or all of them are, taken.
    """
    ports = [wanted] if wanted else range(FIRST_FLOWER_PORT, FIRST_FLOWER_PORT + FLOWER_PORTS_TRIED)
    free = next(filter(_is_free, ports), None)
    if free is None:
        raise LocalServersError(
            f"Port {wanted} is taken." if wanted else f"Ports {ports[0]} to {ports[-1]} are all taken.",
            "Choose another with --flower-port, or leave Flower out with --no-flower.",
        )
    return free


def readiness_checks(
    record: StackRecord, is_worker_ready: Callable[[str], bool]
) -> dict[str, Callable[[], bool]]:
    """Give for each role what says whether it is ready."""
    return {
        "worker": lambda: _holds(is_worker_ready, record.broker_url),
        "beat": lambda: _holds(_has_leading_beat, record.broker_url),
        "flower": lambda: _holds(_serves_flower, record.flower_url or ""),
    }


def _holds(check: Callable[[str], bool], address: str) -> bool:
    try:
        return check(address)
    except (BrokerUnreachableError, RedisError, OSError, http.client.HTTPException):
        return False


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        # As Flower does: a port whose last connections are still fading counts as free.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _has_leading_beat(broker_url: str) -> bool:
    with build_client(broker_url) as client:
        return bool(client.exists(BEAT_LEADER_KEY))


def _serves_flower(address: str) -> bool:
    with closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=1)) as connection:
        connection.request("GET", "/healthcheck")
        return connection.getresponse().status == http.client.OK
