"""Real servers for the tests: embedded PostgreSQL and Valkey, started once; a fresh database per test."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import psutil
import psycopg2
import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.ibutsu.database.models import create_tables
from ibutsu_tasks.local.servers.shared import LocalServers, reset
from ibutsu_tasks.packages import choose
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.settings import Settings, load_settings, setting_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

TEMPLATE = "ibutsu_tasks_test_template"
SETTING_PREFIXES = (
    *("CELERY_", "POSTGRES", "SQLALCHEMY_", "FLOWER_", "IBUTSU_TASKS_", "REMAP_SIGTERM"),
    "OTEL_",
)
_numbers = itertools.count(1)

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - only directories with names of our own are made there
ROOM_BYTES = 8 * 1024**3


def _work_in_memory() -> None:
    """Have temporary files in memory where there is room: half of the time was spent waiting for the disk."""
    if "TMPDIR" in os.environ or not os.access(IN_MEMORY, os.W_OK):
        return
    place = os.statvfs(IN_MEMORY)
    room_bytes = min(place.f_bavail * place.f_frsize, psutil.virtual_memory().available)
    if room_bytes >= ROOM_BYTES and not place.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


_work_in_memory()

# A shell that starts the tests in the background has Ctrl-C ignored, in whatever they start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no finding: no example has a time limit.
hypothesis_settings.register_profile("tests", deadline=None)
hypothesis_settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix the files: some wait and some work, and together they keep two cores busy to the end."""
    items.sort(key=lambda item: crc32(item.nodeid.partition("::")[0].encode()))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A developer's own variables and stack must not reach a test, nor a test the developer's servers."""
    for name in list(os.environ):
        if name.startswith(SETTING_PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "no-data"))
    # A test before this one may have left Ibutsu out, or run a role that has a log.
    choose((), (), setting_rows().values())
    if logging.root.level != logging.WARNING:
        logging.root.setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def servers() -> Iterator[LocalServers]:
    data_dir = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        with LocalServers(data_dir) as running:
            _wait_for_no_disk(running.database_url)
            _create_template(running.database_url)
            yield running
    finally:
        discard(data_dir)


@pytest.fixture(scope="session")
def used_data_dir() -> Iterator[Path]:
    """A data directory that has been in use before, to be copied: the tables are there, nothing runs."""
    with tempfile.TemporaryDirectory(prefix="ibutsu-tasks-test-") as directory:
        data_dir = Path(directory) / "used"
        with LocalServers(data_dir) as servers:
            engine = create_engine(servers.database_url)
            create_tables(engine)
            engine.dispose()
        yield data_dir
        discard(data_dir)


def discard(data_dir: Path) -> None:
    """End what is left of the servers of a data directory of ours, and remove it."""
    reset(data_dir)
    shutil.rmtree(data_dir, ignore_errors=True)


def _wait_for_no_disk(server_url: str) -> None:
    """Spare the tests the disk: a database for each took longer than most of them.

    A server that is killed still has all that was committed; only the machine's own end would lose it.
    """
    for statement in ("alter system set fsync = off", "select pg_reload_conf()"):
        _execute(server_url, statement)


def _create_template(server_url: str) -> None:
    _execute(server_url, f"create database {TEMPLATE}")
    engine = create_engine(make_url(server_url).set(database=TEMPLATE))
    create_tables(engine)
    engine.dispose()


def _execute(server_url: str, statement: str) -> None:
    url = make_url(server_url)
    connection = psycopg2.connect(host=url.query["host"], user=url.username, dbname=url.database)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def _fresh_database(server_url: str, template: str) -> Iterator[str]:
    name = f"ibutsu_tasks_test_{os.getpid()}_{next(_numbers)}"
    _execute(server_url, f"create database {name} template {template}")
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    _execute(server_url, f"drop database {name} with (force)")


@pytest.fixture
def database_url(servers: LocalServers) -> Iterator[str]:
    """A database of this test's own, with the contract's tables."""
    yield from _fresh_database(servers.database_url, TEMPLATE)


@pytest.fixture
def empty_database_url(servers: LocalServers) -> Iterator[str]:
    """A database of this test's own without any table."""
    yield from _fresh_database(servers.database_url, "template0")


@pytest.fixture
def broker_url(servers: LocalServers) -> Iterator[str]:
    """The embedded Valkey, emptied before and after."""
    client = build_client(servers.broker_url)
    client.flushall()
    yield servers.broker_url
    client.flushall()
    client.close()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine, expire_on_commit=False) as open_session:
        yield open_session


@pytest.fixture
def settings(broker_url: str, database_url: str) -> Settings:
    return load_settings({"broker_url": broker_url, "database_url": database_url}, environ={})


@pytest.fixture
def resources(settings: Settings) -> Iterator[Resources]:
    connections = Resources(settings, "test")
    yield connections
    connections.close()
