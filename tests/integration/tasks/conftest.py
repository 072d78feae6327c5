from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.ibutsu.database.models import create_tables
from ibutsu_tasks.local.servers.shared import LocalServers
from tests.commands import Running, role, services
from tests.conftest import discard
from tests.worker_system import System

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis


@pytest.fixture(scope="package")
def running() -> Iterator[tuple[Redis, str, Running]]:
    data_dir = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        with LocalServers(data_dir) as servers:
            engine = create_engine(servers.database_url)
            create_tables(engine)
            engine.dispose()
            client = build_client(servers.broker_url)
            env = services(servers.broker_url, servers.database_url)
            with role("worker", "--concurrency", "2", env=env) as worker:
                worker.wait_for("ready.")
                yield client, servers.database_url, worker
                print(worker.output)  # noqa: T201 - shown when a test fails
            client.close()
    finally:
        discard(data_dir)


@pytest.fixture
def system(running: tuple[Redis, str, Running]) -> Iterator[System]:
    client, database_url, worker = running
    engine = create_engine(database_url)
    with Session(engine, expire_on_commit=False) as session:
        yield System(client, session, worker)
    engine.dispose()
