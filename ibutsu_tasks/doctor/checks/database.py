"""The check of PostgreSQL: a real query, a place that can be written, and the contract's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from ibutsu_tasks.database.engine import place_as_json, place_of
from ibutsu_tasks.doctor.database_faults import CONNECT_SECONDS, explain
from ibutsu_tasks.doctor.report import Finding, finding, variable_of
from ibutsu_tasks.doctor.running import CALL_SECONDS
from ibutsu_tasks.doctor.schema import judge_schema, schema_version
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.retention.due import missing_indexes
from ibutsu_tasks.retention.tables import problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

    from ibutsu_tasks.settings import Settings

OLDEST_VERSION = 15

_STATE = text(
    "select current_setting('server_version_num')::int / 10000 as version, pg_is_in_recovery() as standby,"
    " current_setting('default_transaction_read_only') = 'on' as read_only"
)


def check_database(settings: Settings) -> list[Finding]:
    """Connect, ask for the server's state and read the catalogue; nothing is written."""
    engine = open_engine(settings)
    url = engine.url
    try:
        with engine.connect() as connection:
            return _examine(connection, settings, url)
    except (SQLAlchemyError, UnicodeDecodeError) as error:
        return [explain(error, settings, url)]
    finally:
        engine.dispose()


def open_engine(settings: Settings) -> Engine:
    """Describe connections that are given up early and not kept."""
    return create_engine(
        make_url(settings.require_database()),
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "ibutsu-tasks/doctor",
        },
    )


def _examine(connection: Connection, settings: Settings, url: URL) -> list[Finding]:
    connection.execute(text(f"set local statement_timeout = '{CALL_SECONDS}s'"))
    state = connection.execute(_STATE).mappings().one()
    place = place_of(url)
    variable = variable_of(settings, "database_url" if settings.database_url else "postgresql_database")
    found = [
        *judge_server(place, place_as_json(url)["name"] or url.username or "", **state),
    ]
    tables = 0
    for package, metadata in loaded().each("tables"):
        tables += len(metadata.tables)
        news = list(judge_schema(connection, package, metadata, place, variable))
        # That a database is empty is said once.
        found += [item for item in news if item not in found]
    found += _indexes_of_prunes(connection)
    for _, judge in loaded().each("schema"):
        found += judge(connection)
    version = schema_version(connection)
    right = f"all {tables} tables are right" + (f", schema {version}" if version else "")
    return found or [finding("IBT-D00", f"PostgreSQL {state['version']} answers for {place}; {right}.")]


def _indexes_of_prunes(connection: Connection) -> Iterator[Finding]:
    rules = [rule for rule in loaded().retention.values() if not problem_of(rule)]
    for one in missing_indexes(connection, rules):
        yield finding("IBT-D30", f"Prunes refuse to run: {one.problem}", one.remedy)


def judge_server(
    place: str, database: str, *, version: int, standby: bool, read_only: bool
) -> Iterator[Finding]:
    """Give the findings about the server itself: its major version, and the two ways it refuses writes."""
    if standby:
        yield finding("IBT-D26", f"{place} is a read-only standby.", "Name the primary in POSTGRESQL_HOST.")
    elif read_only:
        yield finding(
            "IBT-D27",
            f"Transactions on {place} are read-only by default.",
            f'Run `alter database "{database}" set default_transaction_read_only = off` there.',
        )
    if version < OLDEST_VERSION:
        yield finding(
            "IBT-D29",
            f"PostgreSQL {version} is older than the {OLDEST_VERSION} this is made for.",
            f"Update the server to PostgreSQL {OLDEST_VERSION} or newer.",
        )
