"""A HorizontalPodAutoscaler over real workers in place of pods, by the numbers of `examples/kubernetes`.

It decides as the Kubernetes documentation says (Horizontal Pod Autoscaling, "Algorithm details"); its clock
goes faster than a cluster's.
"""

from __future__ import annotations

import http.client
import math
import re
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from tests.commands import Running, role, until
from tests.doors import dead_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OVERLAY = Path(__file__).parents[2] / "examples/kubernetes/overlays/production"
LOAD = re.compile(r"^ibutsu_tasks_load (\S+)$", re.MULTILINE)
TOLERANCE = 0.1
SYNC_SECONDS = 15


@dataclass
class Autoscaler:
    """Decides how many pods there are to be; all times are seconds of the cluster's clock."""

    least: int
    most: int
    target: float
    growth: float
    growth_seconds: float
    calm_seconds: float
    removed: int
    removed_seconds: float
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    @classmethod
    def of_the_example(cls) -> Autoscaler:
        spec = yaml.safe_load((OVERLAY / "scaling-hpa.yaml").read_text(encoding="utf-8"))["spec"]
        up, down = (spec["behavior"][way] for way in ("scaleUp", "scaleDown"))
        return cls(
            least=spec["minReplicas"],
            most=spec["maxReplicas"],
            target=float(spec["metrics"][0]["external"]["target"]["value"]),
            growth=up["policies"][0]["value"] / 100,
            growth_seconds=up["policies"][0]["periodSeconds"],
            calm_seconds=down["stabilizationWindowSeconds"],
            removed=down["policies"][0]["value"],
            removed_seconds=down["policies"][0]["periodSeconds"],
        )

    def decide(self, now: float, pods: int, load: float) -> int:
        """Give the number of pods from now on."""
        ratio = load / self.target
        wanted = pods if abs(ratio - 1) <= TOLERANCE else math.ceil(pods * ratio)
        self._wanted.append((now, min(max(wanted, self.least), self.most)))
        while now - self._wanted[0][0] > self.calm_seconds:
            self._wanted.popleft()
        # What is to shrink waits for the highest wish of the window; what is to grow does not.
        wish = max(number for _, number in self._wanted) if wanted < pods else self._wanted[-1][1]
        if wish > pods:
            before = pods - self._changed(now, self.growth_seconds, +1)
            decided = min(wish, math.ceil(before * (1 + self.growth)))
        else:
            before = pods + self._changed(now, self.removed_seconds, -1)
            decided = max(wish, before - self.removed)
        if decided != pods:
            self._changes.append((now, decided - pods))
        return decided

    def _changed(self, now: float, period_seconds: float, sign: int) -> int:
        return sum(max(0, sign * by) for at, by in self._changes if now - at < period_seconds)


class Point(NamedTuple):
    """How things stood once."""

    seconds: float
    load: float
    pods: int
    ended: int


class Pods:
    """Workers that are started, and drained before SIGTERM, as the Deployment of the example says."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._stack = ExitStack()
        self._made = 0
        self.running: list[tuple[str, Running]] = []
        self.leaving: list[tuple[Running, Running]] = []
        self.all: list[Running] = []

    def scale(self, number: int) -> None:
        """Start pods, or have the newest ones drained, so that so many stay."""
        while len(self.running) < number:
            self._made += 1
            node = f"pod-{self._made}@cluster"
            pod = self._stack.enter_context(role("worker", "--hostname", node, env=self._env))
            self.running.append((node, pod))
            self.all.append(pod)
        while len(self.running) > number:
            node, pod = self.running.pop()
            self.leaving.append((pod, self._stack.enter_context(self._drain(node))))

    def end_the_drained(self) -> None:
        """Send SIGTERM to those whose drain is over."""
        for pod, drain in self.leaving:
            if drain.process.poll() is not None and pod.process.poll() is None:
                pod.process.terminate()

    def _drain(self, node: str) -> Running:
        return role("drain", "--node", node, env=self._env)

    def close(self) -> None:
        """End all of them."""
        self._stack.close()


def simulate(
    env: dict[str, str], speed: float, ended: Callable[[], int], expected: int, limit_seconds: float
) -> tuple[list[Point], Pods]:
    """Scale by the load that a real exporter serves, until all has ended and the least pods are left.

    Gives the curve, in seconds of the cluster's clock, and the pods, all of which have ended.
    """
    autoscaler, port, curve, pods = Autoscaler.of_the_example(), dead_port(), [], Pods(env)
    began = time.monotonic()
    with role("metrics", "--port", str(port), env=env | {"IBUTSU_TASKS_HEALTH_ADDRESS": "127.0.0.1"}):
        try:
            pods.scale(autoscaler.least)
            until(lambda: _load(port) is not None)
            while time.monotonic() - began < limit_seconds:
                now, load = (time.monotonic() - began) * speed, _load(port) or 0.0
                curve.append(Point(now, load, len(pods.running), ended()))
                if curve[-1].ended == expected and len(pods.running) == autoscaler.least:
                    break
                pods.scale(autoscaler.decide(now, len(pods.running), load))
                pods.end_the_drained()
                time.sleep(SYNC_SECONDS / speed)
            until(lambda: all(drain.process.poll() is not None for _, drain in pods.leaving))
            pods.end_the_drained()
        finally:
            pods.close()
    return curve, pods


def _load(port: int) -> float | None:
    connection: Any = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        found = LOAD.search(connection.getresponse().read().decode())
    except OSError:
        return None
    finally:
        connection.close()
    return float(found[1]) if found else None
