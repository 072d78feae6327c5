"""The tables of a task package compared with the database's catalogue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from ibutsu_tasks.database.indexes import read_catalogue
from ibutsu_tasks.doctor.report import Finding, finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, MetaData, Row

    from ibutsu_tasks.database.indexes import Catalogue
    from ibutsu_tasks.packages import TaskPackage

SHOWN_NAMES = 3

_SPELLINGS = (
    (r"^varchar\b", "character varying"),
    (r"^char\b", "character"),
    (r"^decimal\b", "numeric"),
    (r"^float\(([1-9]|1\d|2[0-4])\)", "real"),
    (r"^float(\(\d+\))?", "double precision"),
    (r", ", ","),
)
"""How PostgreSQL's catalogue writes what SQLAlchemy writes otherwise."""

_COLUMNS = text("""
    select c.relname as table_name, a.attname as column_name, format_type(a.atttypid, a.atttypmod) as type,
           a.attnotnull and not a.atthasdef and a.attidentity = '' as must_be_given
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind in ('r', 'p') and c.relname = any(:tables) and pg_table_is_visible(c.oid)
""")

_NOT_WRITABLE = text("""
    select c.relname from pg_class c
    where c.relkind in ('r', 'p') and c.relname = any(:tables) and pg_table_is_visible(c.oid)
      and not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
               and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete'))
    order by c.relname
""")

_TABLE_NAMES = text("""
    select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
      and n.nspname not like 'pg\\_%'
""")

_HAS_VERSION = text("select coalesce(has_table_privilege(to_regclass('alembic_version'), 'select'), false)")


def schema_version(connection: Connection) -> str | None:
    """Give the version the server's migrations have written down, when there is one that can be read."""
    if not connection.scalar(_HAS_VERSION):
        return None
    version: str | None = connection.scalar(text("select version_num from alembic_version"))
    return version


def judge_schema(
    connection: Connection, package: TaskPackage, metadata: MetaData, place: str, variable: str
) -> Iterator[Finding]:
    """Read the catalogue and give the findings about the tables of a package.

    `variable` is what names the database. Raises SQLAlchemyError.
    """
    wanted = list(metadata.tables)
    migrate = package.migrate or "Tables are made and never altered: migrate them by hand."
    columns = connection.execute(_COLUMNS, {"tables": wanted}).all()
    present = {row.table_name for row in columns}
    missing = [table for table in wanted if table not in present]
    if not missing:
        yield from _columns(columns, metadata, migrate)
        yield from _indexes(read_catalogue(connection, wanted), metadata, migrate)
        yield from _privileges(connection, wanted)
        return
    names = set(connection.scalars(_TABLE_NAMES))
    if not names:
        yield finding("IBT-D20", f"{place} is empty: it has no tables.", "Run `ibutsu-tasks db create`.")
        return
    hint = "Run `ibutsu-tasks db create`."
    if package.migrate:
        hint = (
            package.migrate
            if "alembic_version" in names
            else f"Name the database that has them in {variable}."
        )
    yield finding("IBT-D21", f"{place} lacks {_listed(missing, 'table')} of {package.name}.", hint)


def _columns(rows: Sequence[Row[Any]], metadata: MetaData, migrate: str) -> Iterator[Finding]:
    wanted = columns_of(metadata)
    actual = {f"{row.table_name}.{row.column_name}": row for row in rows}
    missing = [column for column in wanted if column not in actual]
    wrong = [
        f"{column} ({actual[column].type} in place of {kind})"
        for column, kind in wanted.items()
        if column in actual and actual[column].type != kind
    ]
    strange = sorted(column for column, row in actual.items() if row.must_be_given and column not in wanted)
    if missing:
        yield finding("IBT-D22", f"Missing: {_listed(missing, 'column')}.", migrate)
    if wrong:
        yield finding("IBT-D23", f"Of another type: {_listed(wrong, 'column')}.", migrate)
    if strange:
        seen = f"Not null, without a default and not filled by this version: {_listed(strange, 'column')}."
        yield finding("IBT-D24", seen, "Update ibutsu-tasks to a version made for this schema.")


def _indexes(catalogue: Catalogue, metadata: MetaData, migrate: str) -> Iterator[Finding]:
    wanted = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    missing = sorted(wanted - catalogue.usable_names)
    if missing:
        yield finding("IBT-D25", f"Missing or invalid, so slow: {_listed(missing, 'index')}.", migrate)


def _privileges(connection: Connection, tables: list[str]) -> Iterator[Finding]:
    not_writable = connection.scalars(_NOT_WRITABLE, {"tables": tables}).all()
    if not_writable:
        user = connection.scalar(text("select current_user"))
        grant = f'grant select, insert, update, delete on all tables in schema public to "{user}"'
        seen = f"The user {user} may not read and write {_listed(not_writable, 'table')}."
        yield finding("IBT-D28", seen, f"Run `{grant}` there.")


def _as_postgresql(kind: str) -> str:
    for pattern, spelling in _SPELLINGS:
        kind = re.sub(pattern, spelling, kind)
    return kind


def columns_of(metadata: MetaData) -> dict[str, str]:
    """Give PostgreSQL's name of the type of every `table.column`."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it bare
    return {
        f"{table.name}.{column.name}": _as_postgresql(column.type.compile(dialect).lower())
        for table in metadata.tables.values()
        for column in table.columns
    }


def _listed(names: Sequence[str], kind: str) -> str:
    plural = {"index": "indexes"}.get(kind, f"{kind}s")
    rest = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    number = f"the {kind}" if len(names) == 1 else f"{len(names)} {plural}:"
    return f"{number} {', '.join(names[:SHOWN_NAMES])}{rest}"
