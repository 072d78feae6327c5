from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.local.servers.shared import LocalServers
from tests.commands import role, run, services
from tests.conftest import discard
from tests.packaged import INSTALLED, WORKSHOP, Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from ibutsu_tasks.resources import Resources


@pytest.fixture(scope="package", autouse=True)
def _workshop_is_installed() -> Iterator[None]:
    sys.path.append(str(INSTALLED))
    yield
    sys.path.remove(str(INSTALLED))


@pytest.fixture(scope="package")
def open_workshop() -> Iterator[Workshop]:
    """A worker of two processes that has the workshop and nothing of Ibutsu, on servers of its own."""
    data_dir = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        with LocalServers(data_dir) as servers:
            env = services(servers.broker_url, servers.database_url)
            env |= WORKSHOP | {"IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu", "WORKSHOP_TOKEN": "open-sesame"}
            env |= {"WORKSHOP_PAUSE": "0.2"}
            made = run("db", "create", env=env)
            assert made.stdout == "Created 1 table in the database ibutsu.\n", made.stderr
            client, engine = build_client(servers.broker_url), create_engine(servers.database_url)
            with role("worker", "--concurrency", "2", env=env) as worker:
                worker.wait_for("ready.")
                workshop = Workshop(client, engine, env)
                workshop.worker = worker
                yield workshop
                print(worker.output)  # noqa: T201 - shown when a test fails
            client.close()
            engine.dispose()
    finally:
        discard(data_dir)


@pytest.fixture
def workshop(open_workshop: Workshop) -> Workshop:
    """The same, with no piece in it."""
    with open_workshop.engine.begin() as connection:
        connection.execute(text("delete from workshop_pieces"))
    open_workshop.client.delete("workshop:ran")
    return open_workshop


@pytest.fixture
def closed_workshop(
    broker_url: str, database_url: str, resources: Resources, engine: Engine
) -> Callable[..., Workshop]:
    """Give a workshop without a worker, with more variables."""

    def make(**variables: str) -> Workshop:
        env = services(broker_url, database_url) | WORKSHOP | variables
        return Workshop(resources.redis, engine, env)

    return make
