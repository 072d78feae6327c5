"""`ibutsu-tasks db create`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from ibutsu_tasks.ibutsu.database.models import TABLES
from tests.commands import run
from tests.doors import blackhole, dead_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

import pytest

SECRET = "s3cret-Pa55"


def create(database_url: str) -> subprocess.CompletedProcess[str]:
    done = run("db", "create", env={"SQLALCHEMY_DATABASE_URI": database_url})
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    return done


def tables(database_url: str) -> set[str]:
    engine = create_engine(database_url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def execute(database_url: str, *statements: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def guest_url(empty_database_url: str) -> Iterator[str]:
    """The same database for a user who may create nothing."""
    execute(empty_database_url, "create role db_guest login", "revoke create on schema public from public")
    yield make_url(empty_database_url).set(username="db_guest").render_as_string()
    execute(empty_database_url, "drop role db_guest")


def test_tables_are_created_and_doctor_agrees(empty_database_url: str) -> None:
    done = create(empty_database_url)
    assert done.returncode == 0
    assert done.stdout == f"Created 12 tables in the database {make_url(empty_database_url).database}.\n"
    assert tables(empty_database_url) == set(TABLES)
    env = {"SQLALCHEMY_DATABASE_URI": empty_database_url}
    assert run("doctor", "--only", "database", env=env).returncode == 0


def test_a_second_time_is_refused(database_url: str) -> None:
    done = create(database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not empty" in done.stderr


def test_a_database_of_an_api_server_is_refused(empty_database_url: str) -> None:
    execute(empty_database_url, "create table alembic_version (version_num text)")
    done = create(empty_database_url)
    assert done.returncode == 1
    assert "migrations" in done.stderr
    assert tables(empty_database_url) == {"alembic_version"}


def test_two_at_once_make_one_set(empty_database_url: str) -> None:
    with ThreadPoolExecutor(2) as both:
        done = list(both.map(create, [empty_database_url] * 2))
    assert sorted(item.returncode for item in done) == [0, 1]
    assert "not empty" in "".join(item.stderr for item in done)
    assert tables(empty_database_url) == set(TABLES)


def test_unreachable(database_url: str) -> None:
    assert create(f"postgresql://u:{SECRET}@127.0.0.1:{dead_port()}/x").returncode == 4
    missing = create(make_url(database_url).set(database="nowhere").render_as_string())
    assert missing.returncode == 4
    assert 'database "nowhere" does not exist' in missing.stderr
    with blackhole() as port:
        assert create(f"postgresql://u:{SECRET}@127.0.0.1:{port}/x").returncode == 4


def test_without_settings() -> None:
    done = run("db", "create")
    assert done.returncode == 3
    assert "POSTGRESQL_HOST" in done.stderr


def test_a_user_who_may_not_create(guest_url: str) -> None:
    done = create(guest_url)
    assert done.returncode == 1
    assert "permission denied" in done.stderr
    assert tables(guest_url) == set()
