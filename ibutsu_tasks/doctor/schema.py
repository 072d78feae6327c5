"""The contract's tables compared with the database's catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from ibutsu_tasks.database.indexes import read_catalogue
from ibutsu_tasks.database.models import TABLES, Base
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.operations.prune import indexes as prune_indexes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from ibutsu_tasks.database.indexes import Catalogue

SHOWN_NAMES = 3
MIGRATE = "Run the migrations of the Ibutsu API server on it."

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


@dataclass(frozen=True, slots=True)
class Schema:
    """What the catalogue says: types by table and column, and the rest by name."""

    tables: Mapping[str, Mapping[str, str]]
    must_be_given: frozenset[str]
    """Columns as `table.column` that are not null and have no default."""
    catalogue: Catalogue
    not_writable: tuple[str, ...]
    is_empty: bool
    """No table at all, of whatever name."""
    has_alembic_version: bool
    alembic_version: str | None
    user: str


def read_schema(connection: Connection) -> Schema:
    """Read the catalogue, of the contract's tables alone. Raises SQLAlchemyError."""
    tables: dict[str, dict[str, str]] = {}
    must_be_given = set()
    for row in connection.execute(_COLUMNS, {"tables": list(TABLES)}):
        tables.setdefault(row.table_name, {})[row.column_name] = row.type
        if row.must_be_given:
            must_be_given.add(f"{row.table_name}.{row.column_name}")
    names = set(connection.scalars(_TABLE_NAMES))
    readable = bool(connection.scalar(_HAS_VERSION))
    return Schema(
        tables=tables,
        must_be_given=frozenset(must_be_given),
        catalogue=read_catalogue(connection),
        not_writable=tuple(connection.scalars(_NOT_WRITABLE, {"tables": list(TABLES)})),
        is_empty=not names,
        has_alembic_version="alembic_version" in names,
        alembic_version=connection.scalar(text("select version_num from alembic_version"))
        if readable
        else None,
        user=connection.scalar(text("select current_user")) or "",
    )


def judge_schema(schema: Schema, place: str, variable: str) -> list[Finding]:
    """Give the findings about the tables; `variable` is what names the database."""
    missing = [table for table in TABLES if table not in schema.tables]
    if missing:
        return [_missing_tables(schema, missing, place, variable)]
    return [*_columns(schema), *_indexes(schema), *_privileges(schema)]


def _missing_tables(schema: Schema, missing: list[str], place: str, variable: str) -> Finding:
    if schema.is_empty:
        return finding("IBT-D20", f"{place} is empty: it has no tables.", "Run `ibutsu-tasks db create`.")
    hint = MIGRATE if schema.has_alembic_version else f"Name the database of the Ibutsu server in {variable}."
    return finding("IBT-D21", f"{place} lacks {_listed(missing, 'table')}.", hint)


def _columns(schema: Schema) -> list[Finding]:
    wanted = contract_columns()
    actual = {
        f"{table}.{name}": kind for table, kinds in schema.tables.items() for name, kind in kinds.items()
    }
    missing = [column for column in wanted if column not in actual]
    wrong = [
        f"{column} ({actual[column]} in place of {kind})"
        for column, kind in wanted.items()
        if column in actual and actual[column] != kind
    ]
    strange = sorted(schema.must_be_given - wanted.keys())
    found = []
    if missing:
        found.append(finding("IBT-D22", f"Missing: {_listed(missing, 'column')}.", MIGRATE))
    if wrong:
        found.append(finding("IBT-D23", f"Of another type: {_listed(wrong, 'column')}.", MIGRATE))
    if strange:
        seen = f"Not null, without a default and not filled by this version: {_listed(strange, 'column')}."
        found.append(finding("IBT-D24", seen, "Update ibutsu-tasks to a version made for this schema."))
    return found


def _indexes(schema: Schema) -> list[Finding]:
    wanted = {str(index.name) for table in Base.metadata.tables.values() for index in table.indexes}
    missing = sorted(wanted - schema.catalogue.usable_names)
    found = []
    if missing:
        found.append(
            finding("IBT-D25", f"Missing or invalid, so slow: {_listed(missing, 'index')}.", MIGRATE)
        )
    for index in prune_indexes.missing_indexes(schema.catalogue):
        seen = f"Prunes refuse to run: {prune_indexes.describe(index)}"
        found.append(finding("IBT-D30", seen, prune_indexes.remedy(index)))
    return found


def _privileges(schema: Schema) -> list[Finding]:
    if not schema.not_writable:
        return []
    grant = f'grant select, insert, update, delete on all tables in schema public to "{schema.user}"'
    seen = f"The user {schema.user} may not read and write {_listed(schema.not_writable, 'table')}."
    return [finding("IBT-D28", seen, f"Run `{grant}` there.")]


def contract_columns() -> dict[str, str]:
    """Give PostgreSQL's name of the type of every `table.column` of the contract."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it bare
    return {
        f"{table.name}.{column.name}": column.type.compile(dialect).lower()
        for table in Base.metadata.tables.values()
        for column in table.columns
    }


def _listed(names: Iterable[str], kind: str) -> str:
    ordered = list(names)
    plural = {"index": "indexes"}.get(kind, f"{kind}s")
    rest = f" and {len(ordered) - SHOWN_NAMES} more" if len(ordered) > SHOWN_NAMES else ""
    number = f"the {kind}" if len(ordered) == 1 else f"{len(ordered)} {plural}:"
    return f"{number} {', '.join(ordered[:SHOWN_NAMES])}{rest}"
