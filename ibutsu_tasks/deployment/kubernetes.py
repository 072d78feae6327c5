"""The API of the cluster that this process runs in: the Deployments of its namespace, as far as it may."""

from __future__ import annotations

import json
import os
import ssl
from contextlib import closing
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.deployment.limited import side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where every pod finds the token, the namespace and the certificate authority of its service account."""

LIMIT_SECONDS = 5.0
MOST_BYTES = 16_000_000
GOOD, UNAUTHORISED, FORBIDDEN = 200, 401, 403


class NotReadableError(Exception):
    """The API cannot be read; the text says why."""


class Cluster(NamedTuple):
    """The API, and what it takes to be let in."""

    host: str
    port: int
    namespace: str
    token: str
    authority: str


def find_cluster(environ: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Cluster:
    """Give the cluster this process runs in. Raises NotReadableError outside of one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not port.isdecimal():
        raise NotReadableError("this is no pod of a cluster")
    try:
        token, namespace = ((account / name).read_text("utf-8").strip() for name in ("token", "namespace"))
    except (OSError, ValueError):
        raise NotReadableError(f"the pod has no service account in {account}") from None
    return Cluster(host, int(port), namespace, token, str(account / "ca.crt"))


def read_deployments(cluster: Cluster) -> list[dict[str, Any]]:
    """Give the Deployments of the namespace. Raises NotReadableError."""
    [answer] = side_by_side([lambda: _read(cluster)], LIMIT_SECONDS)
    if answer is None:
        raise NotReadableError(f"its API has not answered within {LIMIT_SECONDS:g} s")
    try:
        items = json.loads(answer)["items"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise NotReadableError("its API gave no list of Deployments") from None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _read(cluster: Cluster) -> bytes:
    try:
        status, content = _get(cluster, f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments")
    except ssl.SSLError as error:
        raise NotReadableError(f"the certificate of its API cannot be trusted ({error.reason})") from None
    except (OSError, HTTPException, ValueError) as error:
        raise NotReadableError(f"its API cannot be reached ({type(error).__name__})") from None
    if status in {UNAUTHORISED, FORBIDDEN}:
        raise NotReadableError(f"the service account may not list Deployments ({status})")
    if status != GOOD:
        raise NotReadableError(f"its API answers {status}")
    return content


def _get(cluster: Cluster, path: str) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=cluster.authority)
    connection = HTTPSConnection(cluster.host, cluster.port, timeout=LIMIT_SECONDS, context=context)
    with closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Bearer {cluster.token}"})
        answer = connection.getresponse()
        return answer.status, answer.read(MOST_BYTES)
