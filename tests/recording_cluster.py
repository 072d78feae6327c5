"""The API of a cluster, as far as kubectl asks for it: takes what is applied, and writes it down.

A Deployment is rolled out as soon as it is there, and has one pod. A command in a pod is a WebSocket by the
subprotocol `v5.channel.k8s.io`: frames whose first byte is a channel (1 stdout, 3 the status at the end).
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROUPS = {
    "v1": {
        "Namespace": "namespaces",
        "Secret": "secrets",
        "ConfigMap": "configmaps",
        "Service": "services",
        "ServiceAccount": "serviceaccounts",
        "Pod": "pods",
        "PersistentVolumeClaim": "persistentvolumeclaims",
    },
    "apps/v1": {"Deployment": "deployments"},
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "rbac.authorization.k8s.io/v1": {"Role": "roles", "RoleBinding": "rolebindings"},
    "keda.sh/v1alpha1": {"ScaledObject": "scaledobjects"},
}
WEBSOCKET_KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Of RFC 6455."""


@dataclass
class Cluster:
    """What it has, what it was asked, and how commands in its pods end."""

    objects: dict[str, Any] = field(default_factory=dict)
    """By path."""
    applied: list[dict[str, Any]] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)
    exit_code: int = 0
    is_stuck: bool = False
    """Whether no new pod of a Deployment becomes ready."""

    def read(self, path: str, query: dict[str, list[str]]) -> Any:
        """The JSON of a page; None where there is none."""
        if described := _description(path):
            return described
        if path.endswith("/pods"):
            return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [POD]}
        if path.endswith(f"/pods/{POD['metadata']['name']}"):
            return POD
        if path.endswith("/deployments"):
            name = query["fieldSelector"][0].partition("=")[2]
            items = [self.objects[f"{path}/{name}"]]
            return {"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {}, "items": items}
        return self.objects.get(path)

    def apply(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Take a document as it is; a Deployment runs at once."""
        self.applied.append(document)
        kept = {**document, "metadata": {**document["metadata"], "generation": 1, "resourceVersion": "1"}}
        if document["kind"] == "Deployment":
            number = 0 if self.is_stuck else document["spec"].get("replicas", 1)
            counts = dict.fromkeys(
                ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), number
            )
            kept["status"] = {"observedGeneration": 1, **counts}
        self.objects[path] = kept
        return kept


POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "metrics-1", "namespace": "ibutsu"},
    "spec": {"containers": [{"name": "metrics"}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}


def _description(path: str) -> dict[str, Any] | None:
    """What the API says of itself; None for a page that is no part of that."""
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if path in {"/api", "/apis"}:
        return _discovery(path)
    if path.startswith("/openapi/v3"):
        return _openapi(path.removeprefix("/openapi/v3/"))
    return _resources(version) if version in GROUPS else None


def _discovery(path: str) -> dict[str, Any]:
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    versions = {name.partition("/")[0]: name for name in GROUPS if "/" in name}
    groups = [
        {"name": group, "versions": [one], "preferredVersion": one}
        for group, name in versions.items()
        if (one := {"groupVersion": name, "version": name.partition("/")[2]})
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _resources(version: str) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "patch", "create"]
    resources = [
        {
            "name": name,
            "singularName": kind.lower(),
            "kind": kind,
            "verbs": verbs,
            "namespaced": kind != "Namespace",
        }
        for kind, name in GROUPS[version].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _openapi(page: str) -> dict[str, Any]:
    """Say that the server itself checks the fields of what is applied, so that kubectl need not."""
    pages = {("apis/" + version if "/" in version else "api/v1"): version for version in GROUPS}
    if page not in pages:
        return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash=1"} for name in pages}}
    group, _, version = pages[page].rpartition("/")
    checked = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    paths = {
        f"/{page}/namespaces/{{namespace}}/{name}/{{name}}": {
            "patch": {
                "parameters": checked,
                "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
            }
        }
        for kind, name in GROUPS[pages[page]].items()
    }
    return {"openapi": "3.0.0", "info": {"title": "test", "version": "1"}, "paths": paths}


class Handler(BaseHTTPRequestHandler):
    """Answers kubectl."""

    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path.endswith("/exec"):
            self._run(query["command"])
        else:
            self._answer(self.cluster.read(url.path, query))

    def do_PATCH(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.cluster.apply(urlsplit(self.path).path, yaml.safe_load(text)))

    def _answer(self, document: Any) -> None:
        reason = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": "NotFound",
            "code": 404,
        }
        content = json.dumps(document or reason | {"message": f"{self.path} is not here"}).encode()
        self.send_response(200 if document else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _run(self, command: list[str]) -> None:
        self.cluster.commands.append(command)
        token = hashlib.sha1(
            (self.headers["Sec-WebSocket-Key"] + WEBSOCKET_KEY).encode(), usedforsecurity=False
        )
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(token.digest()).decode())
        self.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
        self.end_headers()
        self._send(b"\x01checked\n")
        self._send(b"\x03" + json.dumps(_status(self.cluster.exit_code)).encode())
        self.wfile.write(b"\x88\x02" + struct.pack(">H", 1000))
        self.close_connection = True

    def _send(self, payload: bytes) -> None:
        size = len(payload)
        head = struct.pack(">BB", 0x82, size) if size < 126 else struct.pack(">BBH", 0x82, 126, size)
        self.wfile.write(head + payload)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _status(exit_code: int) -> dict[str, Any]:
    if not exit_code:
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(exit_code)}]
    failure = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NonZeroExitCode"}
    return failure | {"message": f"exit code {exit_code}", "details": {"causes": causes}}


@contextmanager
def running(cluster: Cluster, kubeconfig: Path) -> Iterator[None]:
    """Serve a cluster, and write the file by which kubectl finds it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"cluster": cluster}))
    place = f"http://127.0.0.1:{server.server_port}"
    known = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": place}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
    }
    kubeconfig.write_text(json.dumps(known), encoding="utf-8")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
