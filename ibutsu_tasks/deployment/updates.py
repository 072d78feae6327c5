"""The line about updates: how the cluster replaces workers, where its API can be read."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.deployment import kubernetes
from ibutsu_tasks.deployment.kubernetes import NotReadableError
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.deployment.fleet import Fleet
    from ibutsu_tasks.settings import Settings

PROGRAM = "ibutsu-tasks"

DEFAULT_GRACE_SECONDS = 30
DEFAULT_SHARE = "25%"
"""What Kubernetes takes where a Deployment says nothing."""

DEFAULT_DRAIN_SECONDS = 600.0
"""Of `ibutsu-tasks drain` without `--timeout`."""


class Deployment(NamedTuple):
    """What a Deployment of workers says of its updates."""

    name: str
    strategy: str
    replicas: int
    surge: int
    unavailable: int
    grace_seconds: float
    drain_seconds: float
    """What the hook before SIGTERM may take of them."""


def check_updates(settings: Settings, fleet: Fleet, cluster: kubernetes.Cluster | None = None) -> Finding:
    """Read the Deployments of the own namespace, and judge those of workers."""
    try:
        items = kubernetes.read_deployments(cluster or kubernetes.find_cluster())
    except NotReadableError as reason:
        return finding("IBT-A98", f"Not checked: {reason}.")
    deployments = [_read(item) for item in items if is_of_workers(item)]
    if not deployments:
        return finding("IBT-A98", f"Not checked: the namespace has no Deployment of `{PROGRAM} worker`.")
    grace_seconds = max([settings.worker_grace_seconds, *_told_graces(fleet)])
    for deployment in deployments:
        if found := _fault(deployment, grace_seconds):
            return found
    return finding("IBT-A90", f"{'; '.join(map(_describe, deployments))}.")


def is_of_workers(item: dict[str, Any]) -> bool:
    """Tell whether a Deployment runs workers of this package: by its words, and its image or labels."""
    labels = _at(item, "metadata", "labels", default={})
    for container in _containers(item):
        words = [str(word) for key in ("command", "args") for word in (container.get(key) or ())]
        is_ours = PROGRAM in " ".join([*words, str(container.get("image")), *map(str, labels.values())])
        if is_ours and "worker" in " ".join(words).split():
            return True
    return False


def _containers(item: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _at(item, "spec", "template", "spec", "containers", default=[])
    return found


def _read(item: dict[str, Any]) -> Deployment:
    replicas = int(_at(item, "spec", "replicas", default=1))
    rolling = _at(item, "spec", "strategy", "rollingUpdate", default={})
    return Deployment(
        str(_at(item, "metadata", "name", default="?")),
        str(_at(item, "spec", "strategy", "type", default="RollingUpdate")),
        replicas,
        _share(rolling.get("maxSurge", DEFAULT_SHARE), replicas, math.ceil),
        _share(rolling.get("maxUnavailable", DEFAULT_SHARE), replicas, math.floor),
        float(
            _at(
                item,
                "spec",
                "template",
                "spec",
                "terminationGracePeriodSeconds",
                default=DEFAULT_GRACE_SECONDS,
            )
        ),
        max(map(_drain_seconds, _containers(item)), default=0),
    )


def _drain_seconds(container: dict[str, Any]) -> float:
    """Read how long the hook before SIGTERM drains the worker; 0 where it does not."""
    words = [str(word) for word in _at(container, "lifecycle", "preStop", "exec", "command", default=())]
    if "drain" not in words:
        return 0
    line = " ".join(words)
    found = re.search(r"--timeout[ =](\d+(?:\.\d+)?)", line)
    return float(found[1]) if found else DEFAULT_DRAIN_SECONDS


def _fault(deployment: Deployment, grace_seconds: float) -> Finding | None:
    name = deployment.name
    if deployment.strategy != "RollingUpdate":
        return finding(
            "IBT-A91",
            f"{name} is updated by {deployment.strategy}: all its workers stop before a new one starts.",
            "Set spec.strategy.type to RollingUpdate.",
        )
    if deployment.replicas > 0 and deployment.unavailable >= deployment.replicas:
        return finding(
            "IBT-A92",
            f"An update of {name} may stop all {deployment.replicas} workers at once.",
            "Set maxUnavailable below the number of replicas, to 0 with a maxSurge of 1 for one.",
        )
    needed, drain = deployment.drain_seconds + grace_seconds, ""
    if deployment.drain_seconds:
        drain = f" after a drain of up to {deployment.drain_seconds:g} s"
    if deployment.grace_seconds < needed:
        return finding(
            "IBT-A93",
            f"{name} kills its workers after {deployment.grace_seconds:g} s, and their grace is"
            f" {grace_seconds:g} s{drain}.",
            f"Set terminationGracePeriodSeconds above {needed:g}, or give the workers less.",
        )
    return None


def _describe(deployment: Deployment) -> str:
    return (
        f"{deployment.name}: {counted(deployment.replicas, 'replica')}, {deployment.strategy}, surge"
        f" {deployment.surge}, unavailable {deployment.unavailable}, grace {deployment.grace_seconds:g} s"
    )


def _told_graces(fleet: Fleet) -> Iterator[float]:
    for worker in fleet.ours:
        seconds = worker.configuration.get("ibutsu_tasks_grace_seconds")
        if isinstance(seconds, int | float):
            yield float(seconds)


def _share(value: Any, replicas: int, rounded: Any) -> int:
    """Read what is a number, or a percentage of the replicas."""
    text = str(value)
    return int(rounded(replicas * float(text[:-1]) / 100)) if text.endswith("%") else int(text)


def _at(item: Any, *keys: str, default: Any) -> Any:
    for key in keys:
        item = item.get(key) if isinstance(item, dict) else None
    return default if item is None else item
