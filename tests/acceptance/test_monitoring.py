"""The files of `examples/monitoring`: read by the programs they are for, on the numbers of a real fleet."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.delivery.counts import METRICS
from tests.commands import Running, role, run, services, until
from tests.doors import dead_port
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

MONITORING = Path(__file__).parents[2] / "examples" / "monitoring"
PAGE = MONITORING.with_name("README.md")
NAME = re.compile(r"\bibutsu_tasks_\w+")
SUFFIXES = re.compile(r"_(bucket|sum|count)$")

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="prometheus and promtool are not installed: `apt-get install prometheus` brings both",
)


def queries() -> Iterator[str]:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def served(env: dict[str, str]) -> set[str]:
    """Name the metrics of the fleet, and those that only the health port of a process has."""
    document = json.loads(run("metrics", "--json", env=env).stdout)
    of_fleet = {one["name"] + "_total" * (one["type"] == "counter") for one in document["metrics"]}
    return of_fleet | {"ibutsu_tasks_last_tick_seconds", "ibutsu_tasks_running_tasks"}


def test_every_metric_of_the_examples_and_the_readme_exists_and_every_one_is_in_the_readme(
    broker_url: str, database_url: str
) -> None:
    existing = served(services(broker_url, database_url))
    texts = [(MONITORING / name).read_text(encoding="utf-8") for name in ("alerts.yaml", "alerts.test.yaml")]
    named = {SUFFIXES.sub("", name) for text in (*texts, *queries()) for name in NAME.findall(text)}
    assert len(named) > 20
    assert named <= existing | {"ibutsu_tasks_beat_last_tick_seconds"}
    table = PAGE.read_text(encoding="utf-8").partition("## Numbers to watch")[2].partition("\n## ")[0]
    told = set(re.findall(r"`(\w+)`", table))
    own = {name.removeprefix("ibutsu_tasks_") for name in existing} - {"last_tick_seconds", "running_tasks"}
    assert own <= told, own - told
    assert len(METRICS) == len([name for name in own if name.startswith("fleet_")])


@needs_prometheus
def test_the_alert_rules_are_sound_and_fire_when_they_should() -> None:
    tests = sorted(str(path) for path in MONITORING.glob("*.test.yaml"))
    for arguments in (["check", "rules", str(MONITORING / "alerts.yaml")], ["test", "rules", *tests]):
        done = subprocess.run(
            ["promtool", *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
    rules = set(re.findall(r"alert: (\w+)", (MONITORING / "alerts.yaml").read_text(encoding="utf-8")))
    # The one of them says in `labels` that the alert fires.
    fired = {
        name
        for path in tests
        for name in re.findall(
            r"'ALERTS\{alertname=\"(\w+)\",alertstate=\"firing\",sev", Path(path).read_text(encoding="utf-8")
        )
    }
    assert fired == rules


def ask(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    except (OSError, ValueError):
        return {}
    finally:
        connection.close()


def prometheus(stack: ExitStack, directory: Path, exporter_port: int, worker_port: int) -> int:
    """Start a Prometheus with the configuration of the example, on these ports and in a hurry."""
    text = (MONITORING / "prometheus.yaml").read_text(encoding="utf-8")
    for old, new in (
        ("localhost:8000", f"127.0.0.1:{exporter_port}"),
        ("localhost:8001", f"127.0.0.1:{worker_port}"),
        ("15s", "1s"),
        ("alerts.yaml", str(MONITORING / "alerts.yaml")),
    ):
        assert old in text
        text = text.replace(old, new)
    config = directory / "prometheus.yaml"
    config.write_text(text, encoding="utf-8")
    port = dead_port()
    options = [f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"]
    program = Running("prometheus", *options, f"--web.listen-address=127.0.0.1:{port}", env={})
    stack.enter_context(program)
    return port


@needs_prometheus
def test_a_real_prometheus_scrapes_the_fleet_and_answers_every_query_of_the_dashboard(
    broker_url: str, database_url: str, tmp_path: Path
) -> None:
    health_port, exporter_port = dead_port(), dead_port()
    env = services(broker_url, database_url) | {
        "IBUTSU_TASKS_SCRATCH_DIR": str(tmp_path),
        "IBUTSU_TASKS_HEALTH_ADDRESS": "127.0.0.1",
    }
    with ExitStack() as stack:
        worker = stack.enter_context(role("worker", "--health-port", str(health_port), env=env))
        stack.enter_context(role("beat", env=env))
        stack.enter_context(role("metrics", "--port", str(exporter_port), env=env))
        port = prometheus(stack, tmp_path, exporter_port, health_port)
        assert run("prune", "all", "--yes", env=env).returncode == 0
        worker.wait_for("ready.")
        client = stack.enter_context(build_client(broker_url))
        client.lpush("celery", message_text("runs.update_run", '"no id"', '"and too many"')[1])
        client.lpush("celery", message_text("runs.update_run", '"00000000-0000-4000-8000-000000000000"')[1])

        def targets() -> list[str]:
            return [
                one["health"] for one in ask(port, "/api/v1/targets").get("data", {}).get("activeTargets", ())
            ]

        until(lambda: targets() == ["up", "up"])
        assert targets() == ["up", "up"], ask(port, "/api/v1/targets")

        def answer(query: str) -> Any:
            return ask(port, f"/api/v1/query?query={quote(query.replace('$__rate_interval', '1m'))}")

        for query in queries():
            until(lambda query=query: answer(query).get("data", {}).get("result"))
            found = answer(query)
            assert found.get("status") == "success", (query, found)
            assert found["data"]["result"], f"no data: {query}"
        rules = ask(port, "/api/v1/rules")["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} == {"ok"}
