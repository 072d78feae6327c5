"""The update strategies, read from a server that speaks as the API of a cluster does, over TLS."""

from __future__ import annotations

import json
import math
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from ibutsu_tasks.deployment import kubernetes
from ibutsu_tasks.deployment.fleet import Fleet, Worker
from ibutsu_tasks.deployment.updates import check_updates
from ibutsu_tasks.settings import load_settings
from tests.doors import dead_port, forwarding, server_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ibutsu_tasks.doctor.report import Finding

TOKEN = "s3cret-token"
NAMESPACE = "ibutsu"


class Api(BaseHTTPRequestHandler):
    """Lists `deployments` to who shows the token and asks for the namespace."""

    deployments: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        is_known = self.headers["Authorization"] == f"Bearer {TOKEN}"
        is_found = self.path == f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
        content = json.dumps({"kind": "DeploymentList", "items": self.deployments}).encode()
        self.send_response(403 if not is_known else 200 if is_found else 404)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of the API, and the directory of a service account that is let in."""
    account = tmp_path_factory.mktemp("account")
    context = server_context(account)
    if context is None:
        pytest.skip("there is no openssl program")
    (account / "certificate.pem").rename(account / "ca.crt")
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text(NAMESPACE)
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        with forwarding(server.server_port, context) as port:
            yield port, account
        server.shutdown()
        thread.join()


def deployment(*args: str, replicas: int = 3, grace: int = 40, **strategy: Any) -> dict[str, Any]:
    template = {
        "terminationGracePeriodSeconds": grace,
        "containers": [{"name": "it", "image": "registry.example/qa/ibutsu-tasks:1", "args": list(args)}],
    }
    spec = {"replicas": replicas, "strategy": strategy, "template": {"spec": template}}
    return {"metadata": {"name": f"the-{args[0]}", "labels": {}}, "spec": spec}


def rolling(surge: int | str, unavailable: int | str) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def look(api: tuple[int, Path], grace_seconds: float = 25, **change: Any) -> Finding:
    port, account = api
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(port)}
    cluster = kubernetes.find_cluster(environ, account)._replace(**change)
    told = {"ibutsu_tasks_lease_seconds": 20, "ibutsu_tasks_grace_seconds": grace_seconds}
    fleet = Fleet((Worker("a@pod", configuration=told),))
    found = check_updates(load_settings({}, environ={}), fleet, cluster)
    assert TOKEN not in found.seen
    return found


@contextmanager
def listed(*items: dict[str, Any]) -> Iterator[None]:
    Api.deployments[:] = items
    yield
    Api.deployments.clear()


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (deployment("worker", "--concurrency", "4", **rolling(1, 1)), "IBT-A90"),
        (deployment("worker", **rolling("25%", "25%")), "IBT-A90"),
        (deployment("worker", replicas=1, **rolling(1, 0)), "IBT-A90"),
        (deployment("worker", type="Recreate"), "IBT-A91"),
        (deployment("worker", **rolling(0, "100%")), "IBT-A92"),
        (deployment("worker", replicas=1, **rolling(1, 1)), "IBT-A92"),
        (deployment("worker", grace=24, **rolling(1, 1)), "IBT-A93"),
        (deployment("beat", type="Recreate"), "IBT-A98"),
    ],
)
def test_strategies(api: tuple[int, Path], item: dict[str, Any], code: str) -> None:
    with listed(deployment("flower", type="Recreate"), item):
        found = look(api)
    assert found.code == code, found.seen
    assert bool(found.hint) is (code < "IBT-A98" and code != "IBT-A90")


@pytest.mark.parametrize(
    ("words", "needed"), [(("--timeout", "100"), 125), (("--timeout=7.5",), 32.5), ((), 625)]
)
def test_what_drains_first_needs_its_time_too(
    api: tuple[int, Path], words: tuple[str, ...], needed: float
) -> None:
    for grace, code in ((math.ceil(needed), "IBT-A90"), (math.ceil(needed) - 1, "IBT-A93")):
        item = deployment("worker", grace=grace, **rolling(1, 1))
        (container,) = item["spec"]["template"]["spec"]["containers"]
        container["lifecycle"] = {"preStop": {"exec": {"command": ["ibutsu-tasks", "drain", *words]}}}
        with listed(item):
            found = look(api)
        assert found.code == code, found.seen
        assert (f"above {needed:g}" in (found.hint or "")) == (code == "IBT-A93")


def test_the_grace_is_what_workers_tell(api: tuple[int, Path]) -> None:
    with listed(deployment("worker", grace=60, **rolling(1, 1))):
        assert look(api, grace_seconds=60).code == "IBT-A90"
        assert look(api, grace_seconds=61).code == "IBT-A93"


def test_a_deployment_of_something_else(api: tuple[int, Path]) -> None:
    other = deployment("worker", type="Recreate")
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/other:1"
    with listed(other):
        assert look(api).code == "IBT-A98"


def test_what_cannot_be_read_is_no_failure(api: tuple[int, Path], tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    server_context(stranger)
    for change, sentence in (
        ({"token": "another"}, "may not list Deployments (403)"),
        ({"namespace": "elsewhere"}, "answers 404"),
        ({"port": dead_port()}, "cannot be reached"),
        ({"authority": str(stranger / "certificate.pem")}, "cannot be trusted"),
        ({"authority": str(stranger / "nothing")}, "cannot be reached"),
    ):
        found = look(api, **change)
        assert (found.code, sentence in found.seen) == ("IBT-A98", True), found.seen


def test_outside_of_a_cluster(tmp_path: Path) -> None:
    with pytest.raises(kubernetes.NotReadableError, match="no pod"):
        kubernetes.find_cluster({}, tmp_path)
    with pytest.raises(kubernetes.NotReadableError, match="no service account"):
        kubernetes.find_cluster({"KUBERNETES_SERVICE_HOST": "127.0.0.1"}, tmp_path)
