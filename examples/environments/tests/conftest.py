"""A system on real servers, a worker, a Kubernetes and a GitHub."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from kubernetes import client

from environments.models import Environment
from examples.environments.tests.servers import GitHub, Kubernetes
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import QUARANTINE
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.sending import messages
from ibutsu_tasks.settings import load_settings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from ibutsu_tasks.testing import System

pytest_plugins = ["ibutsu_tasks.testing"]

WAIT_SECONDS = 120
LIMIT = "ENVIRONMENTS_HTTP_TIMEOUT_SECONDS"
TOKEN = "ghp_known-to-nobody"
REPOSITORY, COMMIT = "acme/shop", "4f9d2c7a8b1e0d3c5a6b7f8e9d0c1b2a3f4e5d6c"


class World:
    """All of it, as a test sees it."""

    def __init__(self, system: System, kubernetes: Kubernetes, github: GitHub, directory: Path) -> None:
        self.system, self.kubernetes, self.github = system, kubernetes, github
        kubeconfig = {
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": kubernetes.base_url}}],
            "users": [{"name": "test", "user": {"token": "t"}}],
        }
        # Written as JSON, which is YAML.
        (directory / "kubeconfig").write_text(json.dumps(kubeconfig))
        (directory / "token").write_text(f"{TOKEN}\n")
        self.env = system.environment
        self.env |= {
            "IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu",
            # Seconds, so that a killed worker is missed soon.
            "IBUTSU_TASKS_LEASE_SECONDS": "5",
            "IBUTSU_TASKS_GRACE_SECONDS": "3",
            "CELERY_RESULT_EXPIRES": "3600",
            "ENVIRONMENTS_KUBECONFIG": str(directory / "kubeconfig"),
            "ENVIRONMENTS_GITHUB_URL": github.url,
            "ENVIRONMENTS_GITHUB_TOKEN_FILE": str(directory / "token"),
            LIMIT: "5",
        }
        self.settings = load_settings(environ=self.env)
        self.app = create_client_app(self.settings)
        self.redis = build_client(system.broker_url)
        configuration = client.Configuration(host=kubernetes.base_url)
        self.core = client.CoreV1Api(client.ApiClient(configuration))

    def add(self, **values: Any) -> Environment:
        given = {"id": uuid4(), "repository": REPOSITORY, "pull_request": 7, "commit": COMMIT, **values}
        environment = Environment(**given)
        with self.system.session() as session:
            session.expire_on_commit = False
            session.add(environment)
        return environment

    def row(self, environment: Environment) -> Environment:
        with self.system.session() as session:
            session.expire_on_commit = False
            return session.get_one(Environment, environment.id)

    def set(self, environment: Environment, **values: Any) -> None:
        with self.system.session() as session:
            row = session.get_one(Environment, environment.id)
            for name, value in values.items():
                setattr(row, name, value)

    def send(self, task: str, *args: Any, **options: Any) -> str:
        given = [str(one.id) if isinstance(one, Environment) else one for one in args]
        return messages.send(self.app, f"environments.{task}", given, **options)

    def outcome(self, task_id: str) -> messages.TaskOutcome:
        return messages.wait_for(self.app, self.settings.backend_url or "", task_id, WAIT_SECONDS)

    def run(self, task: str, *args: Any) -> Any:
        """Have the worker run a task; give its result."""
        outcome = self.outcome(self.send(task, *args))
        assert outcome.succeeded, f"{outcome.error}\n{outcome.traceback}"
        return outcome.result

    def fail(self, task: str, *args: Any) -> str:
        """Have the worker run a task that fails; give its sentence."""
        outcome = self.outcome(self.send(task, *args))
        assert not outcome.succeeded, outcome.result
        return outcome.error or ""

    def made(self, **values: Any) -> Environment:
        """Give an environment that is READY."""
        environment = self.add(**values)
        assert self.run("provision_environment", environment) == "READY"
        return self.row(environment)

    def held(self) -> Environment:
        """Give one that is READY and whose namespace, once it is deleted, does not go."""
        environment = self.made()
        self.core.patch_namespace(environment.namespace, {"metadata": {"finalizers": ["tests/held"]}})
        return environment

    def let_go(self, environment: Environment) -> None:
        self.core.patch_namespace(environment.namespace, {"metadata": {"finalizers": []}})

    def namespace(self, environment: Environment) -> Any:
        """Give its namespace, None where there is none."""
        found = self.core.list_namespace().items
        return next((one for one in found if one.metadata.name == environment.namespace), None)

    @contextmanager
    def doomed_worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker that alone has the queue `doomed`, and that waits for an answer for minutes."""
        usual, name = self.env[LIMIT], f"doomed-{uuid4().hex[:8]}@test"
        self.env[LIMIT] = "600"
        try:
            with self.system.worker("--queues", "doomed", "--hostname", name) as worker:
                yield worker
        finally:
            self.env[LIMIT] = usual

    def empty(self) -> None:
        with self.system.session() as session:
            session.query(Environment).delete()
        self.redis.delete(QUARANTINE)
        self.kubernetes.allowed = True
        self.kubernetes.faults.clear()
        self.github.clear()

    def close(self) -> None:
        self.app.close()
        self.redis.close()
        self.core.api_client.rest_client.pool_manager.clear()


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Kubernetes]:
    server = Kubernetes()
    server.start()
    yield server
    server.faults.clear()
    server.stop()


@pytest.fixture(scope="session")
def github() -> Iterator[GitHub]:
    with GitHub(TOKEN) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def idle_world(system: System, kubernetes: Kubernetes, github: GitHub) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="ibutsu-tasks-test-") as directory:
        world = World(system, kubernetes, github, Path(directory))
        yield world
        world.close()


@pytest.fixture(scope="session")
def working_world(idle_world: World) -> Iterator[World]:
    with idle_world.system.worker("--concurrency", "2"):
        yield idle_world


@pytest.fixture
def world(working_world: World) -> World:
    """A system with a worker of two processes, and nothing of what the last test left."""
    working_world.empty()
    return working_world


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition. Raises AssertionError when it does not come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.05)
