"""Settings as clusters give them, met by every command alike."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.commands import CELERY, role, run, run_here, services, until
from tests.doors import dead_port, own_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTIONS = "health_check_interval=30&socket_timeout=20&max_connections=20&db=1&retry_on_timeout=true"


def injected(service: str, port: int) -> dict[str, str]:
    """What Kubernetes puts into the environment of every pod beside a service."""
    name, address = service.upper().replace("-", "_"), "10.0.0.1"
    link, full = f"tcp://{address}:{port}", f"{name}_PORT_{port}_TCP"
    of_port = {full: link, f"{full}_PROTO": "tcp", f"{full}_PORT": str(port), f"{full}_ADDR": address}
    of_service = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(port), f"{name}_PORT": link}
    return of_service | {f"{name}_SERVICE_PORT_HTTP": str(port)} | of_port


SERVICES = {
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "flower": 5555,
    "ibutsu-tasks": 80,
    "ibutsu-tasks-flower": 5555,
    "ibutsu-tasks-metrics": 8000,
    "ibutsu-tasks-health": 8000,
}
CLUSTER = {
    name: value for service, port in SERVICES.items() for name, value in injected(service, port).items()
}
CLUSTER |= {
    "APP": "anything",
    "BROKER_URL": "redis://nowhere.invalid",
    "LOADER": "nothing",
}
BROKER, DATABASE = "redis://127.0.0.1:1/0", "postgresql://127.0.0.1:1/d"

BAD_BROKERS = [
    "redis://h:99999999/0",
    "redis://h:0/0",
    "redis://h:port/0",
    "redis://h/abc",
    "redis://h/0?db=x",
    "redis://h/0?bogus_option=[x]",
    "redis://h/0?health_check_interval=often",
    "redis://h/0?socket_timeout=-1",
    "redis://h/0?ssl_cert_reqs=none",
    "redis://[::1/0",
    "redis://h/0;redis://h:x/0",
    "redis://us/er:pw@h/0",
    "rediss://h/0?ssl_cert_reqs=perhaps",
    "redis+socket://run/redis.sock",
    "http://h",
    "h:6379",
]
BAD_DATABASES = [
    "postgresql://h:abc/d",
    "postgresql://h:70000/d",
    "postgresql://[::1/d",
    "postgresql://h/d?bogus=1",
    "postgresql://h/d?sslmode=perhaps",
    "postgresql://h/d?connect_timeout=soon",
    "postgresql://h/d?host=a:b",
    "postgresql://us/er:pw@h/d",
    "mysql://h/d",
]
USE_A_BROKER = [
    ("prune", "--history"),
    ("enqueue", "sync_aborted_runs"),
    ("import", "README.md"),
    ("worker",),
    ("beat",),
    ("flower",),
]
USE_A_DATABASE = [
    ("prune", "results", "--dry-run"),
    ("db", "create"),
    ("beat",),
    ("enqueue", "sync_aborted_runs", "--local"),
]


@pytest.fixture
def tcp_broker() -> Iterator[str]:
    with own_valkey() as port:
        yield f"redis://127.0.0.1:{port}/0?{OPTIONS}"


@pytest.mark.parametrize("url", BAD_BROKERS)
@pytest.mark.parametrize("command", USE_A_BROKER, ids=" ".join)
def test_a_broker_url_that_is_none_is_a_sentence(command: tuple[str, ...], url: str) -> None:
    ended = run_here(*command, env=services(url, DATABASE))
    assert ended.returncode == 3
    assert ended.stderr.count("\n  - CELERY_BROKER_URL ") == 1
    assert "Traceback" not in ended.stderr
    assert ("Percent-encode" in ended.stderr) is ("us/er" in url)
    assert "pw" not in ended.stderr


@pytest.mark.parametrize("url", BAD_DATABASES)
@pytest.mark.parametrize("command", USE_A_DATABASE, ids=" ".join)
def test_a_database_url_that_is_none_is_a_sentence(command: tuple[str, ...], url: str) -> None:
    ended = run_here(*command, env=services(BROKER, url))
    assert ended.returncode == 3
    assert ended.stderr.count("\n  - SQLALCHEMY_DATABASE_URI ") == 1
    assert "Traceback" not in ended.stderr
    assert "pw" not in ended.stderr


@pytest.mark.parametrize(
    ("env", "check"),
    [({"CELERY_BROKER_URL": url}, "broker") for url in BAD_BROKERS]
    + [({"SQLALCHEMY_DATABASE_URI": url}, "database") for url in BAD_DATABASES],
)
def test_the_doctor_and_config_say_the_same(env: dict[str, str], check: str) -> None:
    env = services(BROKER, DATABASE) | env
    ended = run_here("doctor", "--only", check, "--json", env=env)
    assert ended.returncode == 3
    found = json.loads(ended.stdout)["findings"][0]
    assert found["code"] == "IBT-S03"
    ended = run_here("config", "--json", env=env)
    assert ended.returncode == 3
    problems = [row["problem"] for row in json.loads(ended.stdout)["settings"] if row["problem"]]
    assert problems == [found["seen"]]


@pytest.mark.soak
def test_options_of_the_broker_url_work_in_every_command(
    tcp_broker: str, database_url: str, tmp_path: Path
) -> None:
    env = services(tcp_broker, database_url) | CLUSTER
    report = tmp_path / "report.xml"
    report.write_text('<testsuite name="s"><testcase name="t"/></testsuite>')
    with (
        role("worker", env=env) as worker,
        role("beat", env=env) as beat,
        role("flower", "--port", str(dead_port()), env=env) as flower,
    ):
        worker.wait_for("ready.")
        beat.wait_for("leads now")
        flower.wait_for("Connected to")
        waited = run("enqueue", "sync_aborted_runs", "--wait", "60", env=env)
        assert waited.returncode == 0, waited.stderr
        imported = run("import", str(report), env=env)
        assert imported.returncode == 0, imported.stderr
        history = run("prune", "--history", env=env)
        assert history.returncode == 0, history.stderr

        def is_well() -> bool:
            return run("doctor", env=env).returncode == 0

        until(is_well)
        told = run("doctor", env=env)
        assert told.returncode == 0, told.stdout
        inspected = run_celery("inspect", "ping", env=env)
        assert "pong" in inspected
        for process in (worker, beat, flower):
            assert process.process.poll() is None
            assert "Traceback" not in process.output
            # None of a cluster's variables is taken for a misspelled setting.
            assert "has no effect" not in process.output


def run_celery(*arguments: str, env: dict[str, str]) -> str:
    command = [CELERY, "-A", "ibutsu_tasks:worker_app", *arguments]
    kept = {name: value for name, value in env.items() if name not in {"BROKER_URL", "LOADER"}}
    ended = subprocess.run(
        command, env=os.environ | kept, capture_output=True, text=True, check=False, timeout=120
    )
    return ended.stdout + ended.stderr


def test_a_remark_is_made_on_a_misspelled_variable() -> None:
    env = {"IBUTSU_TASKS_RETENTON": "none", "CELERY_BROKER_URL": BROKER}
    ended = run_here("prune", "--history", env=env)
    assert ended.returncode == 4
    assert "did you mean IBUTSU_TASKS_RETENTION?" in ended.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("flower", "--port", "99999999"), "--port must be at most 65535, not '99999999'"),
        (("worker", "--concurrency", "9" * 21), "--concurrency must be at most"),
        (("worker", "--max-tasks-per-child", "9" * 21), "--max-tasks-per-child must be at most"),
        (("worker", "--prefetch-multiplier", "9" * 5000), "--prefetch-multiplier must be a whole number"),
        (("worker", "--time-limit", "1e300"), "--time-limit must be a positive number of seconds up to"),
    ],
)
def test_a_number_nobody_can_use_is_refused(words: tuple[str, ...], sentence: str) -> None:
    ended = run_here(*words, env=services(BROKER, DATABASE))
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_config_has_the_types_of_json_and_shows_what_holds() -> None:
    ended = run_here("config", "--json", env={"CELERY_BROKER_URL": "redis://:S3cret@h"})
    assert ended.returncode == 0
    shown = {row["name"]: row["value"] for row in json.loads(ended.stdout)["settings"]}
    assert shown["result_backend"] == shown["broker_url"] == "redis://:***@h"
    assert shown["postgresql_sslmode"] == "prefer"
    assert shown["worker_hostname"] == f"celery@{os.uname().nodename}"
    assert (shown["flower_port"], shown["result_expires_seconds"]) == (5555, 86400)
    assert (shown["retention"], shown["postgresql_host"]) == ([], None)
    assert shown["worker_queues"] == ["celery", "ibutsu-tasks"]


def test_config_lists_all_and_marks_what_is_bad() -> None:
    env = {"FLOWER_PORT": "70000", "CELERY_WORKER_CONCURRENCY": "7", "FLOWER_BASIC_AUTH": "S3cret"}
    ended = run_here("config", env=env)
    assert ended.returncode == 3
    assert "✗ FLOWER_PORT must be at most 65535, not '70000'." in ended.stdout
    assert "✗ FLOWER_BASIC_AUTH must be user:password." in ended.stdout
    assert "environment CELERY_WORKER_CONCURRENCY" in ended.stdout
    assert "S3cret" not in ended.stdout + ended.stderr
