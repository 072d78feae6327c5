"""The one table of errors that pass by themselves: of PostgreSQL, of Redis and of the network, with reasons.

Told by what errors carry, not by their classes: no driver is loaded for it.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from ibutsu_tasks.errors import BusyError, ServiceUnreachableError

POSTGRESQL = {
    "08": "the connection broke, or a pooler has none to give",
    "25006": "the server takes no writes: a standby, or a primary in the middle of a fail-over",
    "25P03": "the server ended a transaction that waited too long for us",
    "40001": "another transaction changed the same rows at the same moment",
    "40003": "the connection broke before the server could say what came of the statement",
    "40P01": "two transactions waited for each other",
    "53000": "the server lacks something for now",
    "53100": "the server's disk is full",
    "53200": "the server is out of memory",
    "53300": "all connections are taken",
    "55006": "something else uses the database right now",
    "55P03": "somebody holds the lock for long",
    "57P01": "an administrator ended the connection, or the server stops",
    "57P02": "the server crashed and recovers",
    "57P03": "the server starts, stops or recovers",
    "57P04": "the database was dropped, as in the middle of a restore",
    "57P05": "the server ended a connection that nobody used",
    "58000": "the server's machine failed",
    "58030": "the server's disk failed to read or to write",
}
"""SQLSTATE, or the class that its first two characters are, → why it passes. Of class 53, a limit that
somebody set (53400) is left out, for it is met again; and so is a cancelled statement (57014), which somebody
decided."""

INTERNAL_ERROR = "XX000"

POOLERS = {
    "server closed": "the server behind the pooler went away",
    "server conn crashed": "the server behind the pooler went away",
    "server login has been failing": "the pooler cannot log in to the server",
    "cannot connect to server": "the pooler cannot reach the server",
    "failed to connect": "the pooler cannot reach the server",
    "unable to connect": "the pooler cannot reach the server",
    "backend connection": "the pooler cannot reach the server",
    "no more connections allowed": "all connections of the pooler are taken",
    "max clients reached": "all connections of the pooler are taken",
    "query_wait_timeout": "all connections of the pooler are taken",
    "pooler is shut down": "the pooler restarts",
}
"""What poolers say under the code of an internal error, in lower case → why it passes."""

NO_ANSWER = "the server did not answer, or closed the connection"
"""An error of PostgreSQL's driver without a code: no server gave it."""

REDIS = {
    "BUSY": "a script keeps the server busy",
    "CLUSTERDOWN": "the cluster waits for a node",
    "LOADING": "the server reads its data after a start",
    "MASTERDOWN": "the replica has lost its primary",
    "MISCONF": "the server cannot save its data",
    "NOREPLICAS": "too few replicas are there to write",
    "OOM": "the server is out of memory",
    "READONLY": "the server is a replica: a fail-over is on its way",
    "TRYAGAIN": "the cluster moves the keys",
    "UNBLOCKED": "the server became a replica in the middle of a wait",
}
"""The first word of what Redis or Valkey answers → why it passes."""

REDIS_CLIENT = {
    "TimeoutError": "the server did not answer in time",
    "ConnectionError": "the server cannot be reached, or takes no more connections",
}
"""Classes of the Redis client → why they pass. One that is refused for its password is among them: passwords
are changed on one side first."""

NETWORK: dict[type[OSError], str] = {
    ConnectionError: "the connection was refused or broke",
    TimeoutError: "nothing was heard in time",
    socket.gaierror: "the name could not be resolved",
}
NETWORK_NUMBERS = {
    errno.ENETDOWN: "the network is down",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.EHOSTDOWN: "the host is down",
    errno.EHOSTUNREACH: "the host cannot be reached",
}


CONTENTION_CLASSES = frozenset({"40", "55"})
"""Classes of PostgreSQL in which nothing is away: somebody else was faster."""


def is_temporary(error: BaseException) -> bool:
    """Say whether the same work may succeed on a second try."""
    return why_temporary(error) is not None


def is_contention(error: BaseException) -> bool:
    """Say whether the database works and somebody else was faster."""
    sqlstate = getattr(getattr(error, "orig", None) or error, "pgcode", None)
    return (sqlstate or "")[:2] in CONTENTION_CLASSES


def why_temporary(error: BaseException) -> str | None:
    """Say why the same work may succeed on a second try; None when it would fail again."""
    if isinstance(error, BusyError | ServiceUnreachableError):
        return str(error)
    library = type(error).__module__.partition(".")[0]
    if library == "redis":
        return _of_redis(error)
    if library == "kombu" and type(error).__name__ == "OperationalError":
        # It stands for whatever failed below it.
        return why_temporary(error.__cause__) if error.__cause__ else str(error)
    if library in {"sqlalchemy", "psycopg2"}:
        return _of_database(error)
    return _of_network(error) if isinstance(error, OSError) else None


def _of_database(error: Any) -> str | None:
    driver_error = getattr(error, "orig", None) or error
    if not hasattr(driver_error, "pgcode"):
        return "no connection of the pool is free" if type(error).__name__ == "TimeoutError" else None
    if driver_error.pgcode is None:
        lost = getattr(error, "connection_invalidated", False)
        return NO_ANSWER if lost or "OperationalError" in _class_names(driver_error) else None
    return why_sqlstate(driver_error.pgcode, str(driver_error))


def why_sqlstate(sqlstate: str, text: str = "") -> str | None:
    """Say why an error with this code and text passes; None when it does not."""
    if sqlstate == INTERNAL_ERROR:
        words = text.lower()
        return next((reason for sign, reason in POOLERS.items() if sign in words), None)
    return POSTGRESQL.get(sqlstate) or POSTGRESQL.get(sqlstate[:2])


def _of_redis(error: Any) -> str | None:
    # In a pipeline the number and text of the command stand first.
    text = str(error).rpartition("caused error: ")[2]
    if reason := REDIS.get(error_code(error) or text.partition(" ")[0]):
        return reason
    return next((REDIS_CLIENT[name] for name in _class_names(error) if name in REDIS_CLIENT), None)


def error_code(error: object) -> str | None:
    """Give the first word of the answer, where the client took it off the text."""
    return getattr(error, "status_code", None)


def _of_network(error: OSError) -> str | None:
    if (reason := NETWORK_NUMBERS.get(error.errno or 0)) is not None:
        return reason
    return next((reason for kind, reason in NETWORK.items() if isinstance(error, kind)), None)


def _class_names(error: object) -> list[str]:
    return [kind.__name__ for kind in type(error).__mro__]
