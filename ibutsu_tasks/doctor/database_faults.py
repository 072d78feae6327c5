"""What stands behind an error of the PostgreSQL driver while connecting, and how to fix it.

PostgreSQL gives no error code to a connection that failed, only a text. A server that speaks another
language than English falls through to the last row, which quotes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.database.engine import place_as_json
from ibutsu_tasks.doctor.report import UNREACHED, Fault, find_fault, reason_of, variable_of

if TYPE_CHECKING:
    from sqlalchemy import URL

    from ibutsu_tasks.doctor.report import Finding
    from ibutsu_tasks.settings import Settings

CONNECT_SECONDS = 2
"""The least libpq takes seriously; it covers TLS and log-in too."""

FAULTS = (
    Fault(
        r"password authentication failed|PAM authentication failed|LDAP authentication failed",
        "04",
        "PostgreSQL at {place} refuses the password of the user {user}.",
        "Correct {password_variable}.",
    ),
    Fault(
        r"no password supplied",
        "05",
        "PostgreSQL at {place} asks for the password of the user {user}, and none is set.",
        "Set {password_variable}.",
    ),
    Fault(
        r"server does not support SSL",
        "06",
        "PostgreSQL at {place} speaks no TLS, and {tls_variable} asks for it.",
        "Set {prefer_tls}.",
    ),
    Fault(
        r"no pg_hba\.conf entry.*(no encryption|SSL off)",
        "07",
        "PostgreSQL at {place} does not admit {user} to {database} from here without TLS.",
        "Set {require_tls}, or add a line to its pg_hba.conf.",
    ),
    Fault(
        r"no pg_hba\.conf entry|pg_hba\.conf rejects|authentication failed for user",
        "07",
        "PostgreSQL at {place} does not admit {user} to {database} from here.",
        "Add a line for them to its pg_hba.conf, then run `select pg_reload_conf()`.",
    ),
    Fault(
        r"certificate verify failed|root certificate file .* does not exist|server certificate for",
        "08",
        "The certificate of PostgreSQL at {place} is not trusted: {reason}",
        "Name its authority in PGSSLROOTCERT=/path/to/ca.pem.",
    ),
    Fault(
        r'role "[^"]*" does not exist|is not permitted to log in',
        "10",
        "PostgreSQL at {place} has no user {user} who may log in.",
        "Correct {user_variable}, or create the user: `create role {user} login`.",
    ),
    Fault(
        r'database "[^"]*" does not exist',
        "11",
        "PostgreSQL at {place} has no database {database}.",
        "Correct {database_variable}, or create it: `createdb {database}`.",
    ),
    Fault(
        r"too many (clients|connections)|remaining connection slots",
        "12",
        "PostgreSQL at {place} has no connection left.",
        "Stop what holds them (`select * from pg_stat_activity`), or raise max_connections there.",
    ),
    Fault(
        r"is starting up|is shutting down|in recovery mode|not yet accepting connections",
        "13",
        "PostgreSQL at {place} is starting, stopping or recovering.",
        "Wait, then run `ibutsu-tasks doctor` again.",
    ),
    Fault(
        r"permission denied for database",
        "14",
        "The user {user} may not connect to the database {database}.",
        "Run `grant connect on database {database} to {user}` there.",
    ),
    Fault(
        r"invalid (dsn|connection option|URI)|invalid \w+ value|extra key/value",
        "15",
        "The address of the database has an option that cannot be used: {reason}",
        "Correct {address_variable}.",
    ),
    Fault(
        r"statement timeout|lock timeout",
        "16",
        "PostgreSQL at {place} answers, but not about its tables: they are locked, or it is overloaded.",
        "See who holds them: `select * from pg_locks where not granted`.",
    ),
    *UNREACHED,
    Fault(
        r"received invalid response|expected authentication request|closed the connection unexpectedly"
        r"|unsupported frontend protocol|reset by peer",
        "09",
        "What answers at {place} is not PostgreSQL, or it closed the connection.",
        "Correct {host_variable} and the port.",
    ),
)

OTHER = Fault("", "19", "PostgreSQL at {place} did not work: {reason}", "Correct {address_variable}.")


def explain(error: BaseException, settings: Settings, url: URL) -> Finding:
    """Say what stands behind an error of connecting to `url`."""
    original = getattr(error, "orig", None) or error
    fault = find_fault(FAULTS, str(original)) or OTHER
    return fault.finding("database", **words_of(settings, url, reason_of(original, settings)))


def words_of(settings: Settings, url: URL, reason: str) -> dict[str, object]:
    """Give what the sentences above may use."""
    place = place_as_json(url)
    return {
        "service": "PostgreSQL",
        "place": place["host"],
        "user": url.username or "(the system's)",
        "database": place["name"] or "(its user's)",
        "reason": reason,
        "seconds": CONNECT_SECONDS,
        **_variables(settings),
    }


def _variables(settings: Settings) -> dict[str, str]:
    if settings.database_url:
        uri = variable_of(settings, "database_url")
        tls = {"prefer_tls": f"sslmode=prefer in {uri}", "require_tls": f"sslmode=require in {uri}"}
        parts = ("address", "host", "user", "database", "password", "tls")
        return {f"{part}_variable": uri for part in parts} | tls
    words = {
        f"{part}_variable": variable_of(settings, f"postgresql_{part}")
        for part in ("host", "user", "database", "password")
    }
    sslmode = variable_of(settings, "postgresql_sslmode")
    return words | {
        "address_variable": "the POSTGRESQL_* variables",
        "tls_variable": sslmode,
        "prefer_tls": f"{sslmode}=prefer",
        "require_tls": f"{sslmode}=require",
    }
