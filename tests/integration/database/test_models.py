"""What the models create, compared to the letter with the catalogue of a running API server's database."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.models import TABLES, create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTRACT = json.loads(
    (Path(__file__).parents[2] / "data" / "contract-schema.json").read_text(encoding="utf-8")
)

COLUMNS = """
    select c.relname as table_name, a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
           not a.attnotnull as nullable, pg_get_expr(d.adbin, d.adrelid) as default
    from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relkind = 'r' order by c.relname, a.attnum
"""

CONSTRAINTS = """
    select conrelid::regclass::text as table_name, conname as name, pg_get_constraintdef(oid) as definition
    from pg_constraint where connamespace = 'public'::regnamespace and contype in ('p', 'f', 'u', 'c', 'x')
"""

INDEXES = """
    select tablename as table_name, indexname as name, indexdef as definition from pg_indexes
    where schemaname = 'public'
"""


def catalogue(connection: Connection) -> dict[str, Any]:
    """The database in the shape of the contract's file."""
    tables: dict[str, Any] = {}
    for row in connection.execute(text(COLUMNS)):
        table = tables.setdefault(row.table_name, {"columns": {}, "constraints": {}, "indexes": {}})
        column = {"type": row.type, "nullable": row.nullable}
        table["columns"][row.name] = column | ({"default": row.default} if row.default else {})
    for row in connection.execute(text(CONSTRAINTS)):
        tables[row.table_name]["constraints"][row.name] = row.definition
    for row in connection.execute(text(INDEXES)):
        if row.name not in tables[row.table_name]["constraints"]:
            unique = "UNIQUE " if row.definition.startswith("CREATE UNIQUE") else ""
            tables[row.table_name]["indexes"][row.name] = (
                f"{unique}USING{row.definition.partition('USING')[2]}"
            )
    return tables


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[Engine]:
    engine = create_engine(empty_database_url)
    yield engine
    engine.dispose()


def read(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        return catalogue(connection)


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_tables_are_the_contracts(empty_engine: Engine) -> None:
    assert create_tables(empty_engine) == 12
    assert read(empty_engine).keys() == CONTRACT.keys() == set(TABLES)


@pytest.mark.parametrize("table", sorted(CONTRACT))
@pytest.mark.parametrize("part", ["columns", "constraints", "indexes"])
def test_a_table_is_the_contracts_to_the_letter(engine: Engine, table: str, part: str) -> None:
    assert read(engine)[table][part] == CONTRACT[table][part]


def test_columns_stand_in_the_contracts_order(engine: Engine) -> None:
    created = read(engine)
    for table, parts in CONTRACT.items():
        assert list(created[table]["columns"]) == list(parts["columns"])


def test_the_number_of_indexes_and_cascades(engine: Engine) -> None:
    created = read(engine)
    names = [name for table in created.values() for name in table["indexes"] if name.startswith("ix_")]
    keys = [definition for table in created.values() for definition in table["constraints"].values()]
    assert len(names) == 59
    assert sum("ON DELETE" in key for key in keys) == 1


def test_nothing_else_is_created(engine: Engine) -> None:
    counts = """
        select (select count(*) from pg_trigger where not tgisinternal)
             + (select count(*) from pg_proc where pronamespace = 'public'::regnamespace)
             + (select count(*) from pg_class where relkind in ('v', 'm', 'S')
                and relnamespace = 'public'::regnamespace)
             + (select count(*) from pg_type where typtype = 'e')
             + (select count(*) from pg_extension where extname <> 'plpgsql')
    """
    with engine.connect() as connection:
        assert connection.scalar(text(counts)) == 0


def test_a_database_of_an_api_server_is_never_altered(engine: Engine, empty_engine: Engine) -> None:
    for target in (engine, empty_engine):
        execute(target, "create table alembic_version (version_num text)")
        before = read(target)
        with pytest.raises(RefusedError, match="alembic_version"):
            create_tables(target)
        assert read(target) == before


def test_a_database_with_tables_is_refused(empty_engine: Engine) -> None:
    execute(empty_engine, "create table invoices (id int)")
    with pytest.raises(RefusedError, match=r"not empty: its tables are invoices \(1 in all\)"):
        create_tables(empty_engine)
    assert read(empty_engine).keys() == {"invoices"}


def test_a_creation_that_fails_leaves_nothing(empty_engine: Engine) -> None:
    # A type of a table's name makes the creation of that table fail, after others were made.
    execute(empty_engine, "create type runs as enum ('a')")
    with pytest.raises(Exception, match="runs"):
        create_tables(empty_engine)
    assert read(empty_engine) == {}


def test_several_at_once_make_one_set(empty_engine: Engine) -> None:
    def attempt(_: int) -> bool:
        try:
            create_tables(empty_engine)
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(4) as several:
        assert sum(several.map(attempt, range(4))) == 1
    assert read(empty_engine).keys() == CONTRACT.keys()
