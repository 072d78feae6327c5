"""The tables of the task packages: those that are missing are made, and none is ever altered."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.packages import loaded, named_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

CREATION_LOCK = int.from_bytes(b"ibt-make", "big")
"""The advisory lock that makes a second creator wait for the first, and then find the tables."""


@contextmanager
def creating(engine: Engine) -> Iterator[Connection]:
    """Give a transaction in which nobody else makes tables."""
    with engine.begin() as connection:
        connection.execute(text("set local lock_timeout = '10s'"))
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": CREATION_LOCK})
        yield connection


def missing_tables(engine: Engine) -> dict[str, list[str]]:
    """Give, by task package, the tables that are not there. Raises what the driver raises."""
    existing = set(inspect(engine).get_table_names())
    found = {one.name: sorted(set(metadata.tables) - existing) for one, metadata in loaded().each("tables")}
    return {name: tables for name, tables in found.items() if tables}


def create_tables(engine: Engine) -> int:
    """Make what is missing of each package's tables, all of one package or none; give their number.

    Raises RefusedError when a package refuses, and none of another package was missing; SettingsError when
    what a package names cannot be used.
    """
    number, refusal = 0, None
    # All are loaded before the first is made.
    for package, metadata in tuple(loaded().each("tables")):
        try:
            if package.create_tables:
                number += named_by(package, "create_tables")(engine)
                continue
        except RefusedError as error:
            refusal = error
            continue
        with creating(engine) as connection:
            missing = set(metadata.tables) - set(inspect(connection).get_table_names())
            metadata.create_all(connection)
            number += len(missing)
    if refusal and not number:
        raise refusal
    return number
