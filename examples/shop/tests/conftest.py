"""A shop on servers of its own: its tables, a real worker, and a web server that answers as it is told."""

from __future__ import annotations

import shutil
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import ONCE_PREFIX, QUARANTINE
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.local.servers.shared import LocalServers
from ibutsu_tasks.sending import messages
from ibutsu_tasks.settings import load_settings
from shop.models import METADATA, Tenant
from tests.commands import role, run, services
from tests.conftest import _no_settings_from_outside, discard  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS = 60


class Web(ThreadingHTTPServer):
    """Answers every request with `status` and `body`, and keeps what came."""

    status, body = 200, b"{}"
    daemon_threads = True

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def answer(self, status: int, body: bytes = b"{}") -> None:
        self.requests.clear()
        self.status, self.body = status, body


class _Handler(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output to what they say."""


class Shop:
    """The shop as a test sees it."""

    def __init__(self, servers: LocalServers, directory: Path, web: Web) -> None:
        self.directory, self.web = directory, web
        self.backups, self.reports, self.mail = (
            directory / "backups",
            directory / "reports",
            directory / "mail",
        )
        self.configuration = directory / "configuration"
        self.configuration.mkdir()
        self.env = services(servers.broker_url, servers.database_url) | {
            "IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu",
            "IBUTSU_TASKS_LEASE_SECONDS": "2",
            "SHOP_BACKUP_DIR": str(self.backups),
            "SHOP_REPORT_DIR": str(self.reports),
            "SHOP_MAIL_DIR": str(self.mail),
            "SHOP_CONFIG_DIR": str(self.configuration),
            "SHOP_RATES_URL": web.url,
            "SHOP_HTTP_TIMEOUT_SECONDS": "2",
        }
        self.settings = load_settings(environ=self.env)
        self.app = create_client_app(self.settings)
        self.engine = create_engine(servers.database_url)
        self.redis = build_client(servers.broker_url)

    def send(self, task: str, *args: Any, **options: Any) -> str:
        return messages.send(self.app, task, args, **options)

    def outcome(self, task_id: str) -> messages.TaskOutcome:
        return messages.wait_for(self.app, self.settings.backend_url or "", task_id, WAIT_SECONDS)

    def run(self, task: str, *args: Any) -> Any:
        """Have the worker run a task; give its result."""
        outcome = self.outcome(self.send(task, *args))
        assert outcome.succeeded, f"{outcome.error}\n{outcome.traceback}"
        return outcome.result

    def session(self) -> Session:
        return Session(self.engine, expire_on_commit=False)

    def add(self, *rows: Any) -> None:
        with self.session() as session, session.begin():
            session.add_all(rows)

    def add_tenant(self, name: str = "A shop") -> Tenant:
        tenant = Tenant(id=uuid4(), name=name)
        self.add(tenant)
        return tenant

    def empty(self) -> None:
        with self.engine.begin() as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(table.delete())
        self.redis.delete(QUARANTINE, *self.redis.scan_iter(f"{ONCE_PREFIX}*"))
        for directory in (self.backups, self.reports, self.mail):
            shutil.rmtree(directory, ignore_errors=True)
        self.web.answer(200)

    def close(self) -> None:
        self.app.close()
        self.engine.dispose()
        self.redis.close()


@pytest.fixture(scope="session")
def web() -> Iterator[Web]:
    with Web() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def idle_shop(web: Web) -> Iterator[Shop]:
    """A shop without a worker."""
    directory = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        with LocalServers(directory / "data") as servers:
            shop = Shop(servers, directory, web)
            created = run("db", "create", env=shop.env)
            assert created.returncode == 0, created.stderr
            yield shop
            shop.close()
    finally:
        discard(directory / "data")


@pytest.fixture(scope="session")
def working_shop(idle_shop: Shop) -> Iterator[Shop]:
    with role("worker", "--concurrency", "2", env=idle_shop.env) as worker:
        worker.wait_for("ready.")
        yield idle_shop
        print(worker.output)  # noqa: T201 - shown when a test fails


@pytest.fixture
def shop(working_shop: Shop) -> Shop:
    """A shop with a worker of two processes, and nothing of what the last test left."""
    working_shop.empty()
    return working_shop
