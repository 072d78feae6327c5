"""What stands behind an error of the Redis client: one sentence per cause, and how to fix it."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.connection import address_of, describe
from ibutsu_tasks.doctor.report import UNREACHED, Fault, Finding, find_fault, reason_of, variable_of
from ibutsu_tasks.doctor.running import CALL_SECONDS

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings

PROBE_SECONDS = 1.0
"""A second look at a port that did not answer: does it speak TLS, does it speak Redis at all?"""

# Read from top to bottom: the first pattern that is found in the error's text is the cause.
FAULTS = (
    Fault(
        r"WRONGPASS|invalid password|invalid username",
        "04",
        "Redis at {place} refuses the password.",
        "Correct the user and password in {variable}.",
    ),
    Fault(
        r"without any password configured",
        "13",
        "Redis at {place} has no password, and {variable} gives one.",
        "Take the password out of {variable}, or set one on the server.",
    ),
    Fault(
        r"NOAUTH|Authentication required|HELLO must be called",
        "05",
        "Redis at {place} asks for a password, and {variable} gives none.",
        "Put it into {variable}: redis://:PASSWORD@HOST:PORT/DB.",
    ),
    Fault(
        r"NOPERM|no permissions",
        "26",
        "The user lacks a permission on Redis at {place}: {reason}",
        "Give it with `redis-cli ACL SETUSER`.",
    ),
    Fault(
        r"not allowed in cluster mode|MOVED|CLUSTERDOWN",
        "21",
        "Redis at {place} is a node of a cluster, which Celery cannot use.",
        "Name a single server, in {variable}.",
    ),
    Fault(
        r"DB index is out of range|invalid DB index",
        "10",
        "Redis at {place} has no database of this number.",
        "Correct the number at the end of {variable}; 0 always exists.",
    ),
    Fault(
        r"DENIED",
        "14",
        "Redis at {place} is in protected mode and admits only its own machine.",
        "Set a password on the server (`requirepass`) and put it into {variable}.",
    ),
    Fault(
        r"max number of clients",
        "12",
        "Redis at {place} has no connection left.",
        "Raise it there: `redis-cli CONFIG SET maxclients 10000`.",
    ),
    Fault(
        r"LOADING|loading the dataset",
        "11",
        "Redis at {place} is still loading its data.",
        "Wait, then run `ibutsu-tasks doctor` again.",
    ),
    Fault(
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "08",
        "The certificate of Redis at {place} is not trusted: {reason}",
        "Name its authority in {variable}: ?ssl_ca_certs=/path/to/ca.pem.",
    ),
    Fault(
        r"Permission denied",
        "14",
        "This user may not use the socket of Redis at {place}.",
        "Run as its owner, or correct {variable}.",
    ),
    Fault(
        r"ReadOnlyError",
        "20",
        "Redis at {place} is a read-only replica: results cannot be written.",
        "Name the primary in CELERY_RESULT_BACKEND.",
    ),
    Fault(
        r"OutOfMemoryError|: OOM",
        "25",
        "The memory of Redis at {place} is full: it takes neither results nor messages.",
        "Raise it: `redis-cli CONFIG SET maxmemory <bytes>`.",
    ),
    Fault(
        r": MISCONF",
        "27",
        "Redis at {place} refuses writes because it cannot save to its disk.",
        "Free space on its disk, then run `redis-cli BGSAVE` there.",
    ),
    *UNREACHED,
    Fault(
        r"HTTP/|Protocol Error|InvalidResponse|closed by server|reset by peer"
        r"|WRONG_VERSION_NUMBER|record layer",
        "09",
        "What answers at {place} is not Redis.",
        "Correct the host and port in {variable}.",
    ),
)

OTHER = Fault("", "19", "Redis at {place} did not work: {reason}", "Correct {variable}.")

PLAIN_ONLY = Fault(
    "",
    "06",
    "Redis at {place} speaks no TLS, and {variable} asks for it.",
    "Write {variable} with redis:// in place of rediss://.",
)

TLS_ONLY = Fault(
    "",
    "07",
    "Redis at {place} wants TLS, and {variable} does without.",
    "Write {variable} with rediss:// in place of redis://.",
)

_MAYBE_TLS = frozenset({"02", "09", "19"})
"""Causes behind which a mismatch of TLS may hide."""


def explain(error: BaseException, settings: Settings, check: str, field: str = "broker_url") -> Finding:
    """Say what stands behind `error` of the check `broker` or `backend`; may look at the port once more.

    `field` is the setting that names the Redis.
    """
    url = getattr(settings, field) or ""
    fault = find_fault(FAULTS, f"{type(error).__name__}: {error}") or OTHER
    if fault.number in _MAYBE_TLS:
        fault = _tls_mismatch(url) or fault
    variable = variable_of(settings, field)
    return fault.finding(
        check,
        service="Redis",
        place=describe(url),
        variable=variable,
        host_variable=variable,
        reason=reason_of(error, settings),
        seconds=CALL_SECONDS,
    )


def _tls_mismatch(url: str) -> Fault | None:
    address = address_of(url)
    if address.path:
        return None
    place = (address.host, address.port)
    if address.tls:
        return PLAIN_ONLY if _speaks_plain_redis(place) else None
    return TLS_ONLY if _speaks_tls(place) else None


def _speaks_plain_redis(address: tuple[str, int]) -> bool:
    """Say whether an unencrypted PING gets Redis's kind of answer. No password is sent."""
    try:
        with socket.create_connection(address, PROBE_SECONDS) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+", b"-"))
    except OSError:
        return False


def _speaks_tls(address: tuple[str, int]) -> bool:
    """Say whether a TLS handshake is answered in kind. Nothing is sent through it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(address, PROBE_SECONDS) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except ssl.SSLError as error:
        # A server that wants a client's certificate refuses us by an alert, which is TLS too.
        return "ALERT" in str(error)
    except OSError:
        return False
