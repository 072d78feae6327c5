"""A runner on servers of its own: its tables, a real worker, and its API as a process."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psutil
import pytest
from dotenv import dotenv_values
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.local.servers.shared import LocalServers
from ibutsu_tasks.sending import messages
from ibutsu_tasks.settings import load_settings
from tests.commands import Running, role, run, services, until
from tests.conftest import _no_settings_from_outside, discard  # noqa: F401 - a fixture
from tools.models import ENDED, Job, LogPart

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

WAIT_SECONDS = 60
TOKEN = "a-token-of-the-tests"
SHIPPED = Path(__file__).parents[1] / "tools.env"
TOOLS_FILE = Path(__file__).with_name("tools.toml")

CACHE, BROKER, RESULTS, BROKER_WITHOUT_WORKER = range(4)


class Runner:
    """The runner as a test sees it, by its API and its rows."""

    def __init__(self, servers: LocalServers, directory: Path, broker: int = BROKER) -> None:
        shipped = {name: value or "" for name, value in dotenv_values(SHIPPED).items()}
        for name in ("POSTGRESQL_HOST", "POSTGRESQL_DATABASE", "TOOLS_API_TOKEN_FILE"):
            del shipped[name]
        self.servers, self.output = servers, directory / "output"
        self.env = (
            shipped
            | services(_database(servers, broker), servers.database_url)
            | {
                "CELERY_RESULT_BACKEND": _database(servers, RESULTS),
                "IBUTSU_TASKS_CACHE_URL": _database(servers, CACHE),
                "IBUTSU_TASKS_LEASE_SECONDS": "2",
                "TOOLS_FILE": str(TOOLS_FILE),
                "TOOLS_OUTPUT_DIR": str(self.output),
                "TOOLS_RETRY_SECONDS": "0.5",
                "TOOLS_API_TOKEN": TOKEN,
            }
        )
        self.settings = load_settings(environ=self.env)
        self.app = create_client_app(self.settings)
        self.engine = create_engine(servers.database_url)
        self.redis = build_client(self.env["CELERY_BROKER_URL"])

    def send(
        self,
        tool: str,
        parameters: Mapping[str, Any] | None = None,
        job_id: UUID | None = None,
        **options: Any,
    ) -> UUID:
        """Send the task, without the API; give the job."""
        job_id = job_id or uuid4()
        messages.send(self.app, "tools.run_tool", (str(job_id), tool, parameters or {}), **options)
        return job_id

    def run(self, task: str, *args: Any) -> Any:
        task_id = messages.send(self.app, task, args)
        done = messages.wait_for(self.app, self.settings.backend_url or "", task_id, WAIT_SECONDS)
        assert done.succeeded, f"{done.error}\n{done.traceback}"
        return done.result

    def job(self, job_id: UUID) -> Job | None:
        with self.session() as session:
            return session.get(Job, job_id)

    def state(self, job_id: UUID) -> str | None:
        job = self.job(job_id)
        return job and job.state

    def end_of(self, job_id: UUID) -> Job:
        until(lambda: self.state(job_id) in ENDED, WAIT_SECONDS)
        job = self.job(job_id)
        assert job is not None
        assert job.state in ENDED, job.state
        return job

    def log(self, job_id: UUID, attempt: int = 1) -> str:
        parts = select(LogPart.text).where(LogPart.job_id == job_id, LogPart.attempt == attempt)
        with self.session() as session:
            return "".join(session.scalars(parts.order_by(LogPart.number)))

    def session(self) -> Session:
        return Session(self.engine, expire_on_commit=False)

    def close(self) -> None:
        self.app.close()
        self.engine.dispose()
        self.redis.close()


class Api:
    """The API's process, and requests to it."""

    def __init__(self, process: Running, port: int) -> None:
        self.process, self.url = process, f"http://127.0.0.1:{port}"

    def open(
        self, method: str, path: str, body: Any = None, token: str | None = TOKEN, timeout_seconds: float = 60
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)  # noqa: S310 - its own URL
        request.add_header("Content-Type", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        return urllib.request.urlopen(request, timeout=timeout_seconds)  # noqa: S310 - as above

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        try:
            with self.open(method, path, body, **options) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def post(self, tool: str, **parameters: Any) -> dict[str, Any]:
        status, answer = self.ask("POST", "/api/run", {"tool": tool, "parameters": parameters})
        assert status == 202, answer
        return answer  # type: ignore[no-any-return]

    def events(self, path: str, begun: threading.Event | None = None) -> Iterator[dict[str, Any]]:
        """Give what comes until the server ends the stream; `begun` is set when it begins."""
        with self.open("GET", path) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            for line in answer:
                if begun:
                    begun.set()
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))


@contextmanager
def serving(env: Mapping[str, str]) -> Iterator[Api]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {**env, "TOOLS_API_PORT": str(port)}
    with Running(sys.executable, "-m", "tools.api", env=variables) as process:
        process.wait_for("Uvicorn running")
        yield Api(process, port)
        print(process.output)  # noqa: T201 - shown when a test fails


@contextmanager
def working(env: Mapping[str, str], *arguments: str) -> Iterator[Running]:
    with role("worker", "--concurrency", "2", *arguments, env=env) as worker:
        worker.wait_for("ready.")
        yield worker
        print(worker.output)  # noqa: T201 - as above


def alive(mark: str) -> list[int]:
    """Find the processes that have a mark in their command line."""
    found = psutil.process_iter(["cmdline", "status"])
    return [
        one.pid
        for one in found
        if mark in " ".join(one.info["cmdline"] or ()) and one.info["status"] != psutil.STATUS_ZOMBIE
    ]


def until_gone(mark: str) -> None:
    until(lambda: not alive(mark), WAIT_SECONDS)
    assert alive(mark) == []


def _database(servers: LocalServers, number: int) -> str:
    return servers.broker_url.replace("virtual_host=0", f"virtual_host={number}")


@pytest.fixture
def mark() -> str:
    """A word of the test's own for the command lines of its tools."""
    return f"mark-{uuid4()}"


@pytest.fixture(scope="session")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A runner on a broker that has no worker."""
    directory = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        with LocalServers(directory / "data") as servers:
            runner = Runner(servers, tmp_path_factory.mktemp("idle"), BROKER_WITHOUT_WORKER)
            created = run("db", "create", env=runner.env)
            assert created.returncode == 0, created.stderr
            yield runner
            runner.close()
    finally:
        discard(directory / "data")


@pytest.fixture
def alone(idle: Runner) -> Runner:
    """The same, and nothing of what the last test left on its broker."""
    idle.redis.flushdb()
    return idle


@pytest.fixture(scope="session")
def runner(idle: Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A runner with a worker of two processes."""
    runner = Runner(idle.servers, tmp_path_factory.mktemp("runner"))
    with working(runner.env):
        yield runner
    runner.close()


@pytest.fixture(scope="session")
def api(runner: Runner) -> Iterator[Api]:
    with serving(runner.env) as api:
        yield api
