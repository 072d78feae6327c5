"""`examples/compose`: fit for the compose specification, and what it promises."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose, parse_duration

from tests.command_lines import read_command_line, read_environment
from tests.manifests import EXAMPLES

FOLDER = EXAMPLES / "compose"
ROLES = ("worker", "beat", "flower")
VALUES = dict(
    line.split("=", 1)
    for line in (FOLDER / "env.example").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


def filled(text: str) -> str:
    """Fill in `${NAME}`, `${NAME:-default}` and `${NAME:?what to do}` as compose does."""
    return re.sub(r"\$\{(\w+)(?::[-?][^}]*)?\}", lambda match: VALUES[match[1]], text)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(filled((FOLDER / "compose.yaml").read_text(encoding="utf-8"))))


def test_it_follows_the_specification(compose: dict[str, Any]) -> None:
    PyCompose.from_json(json.dumps(compose)).validate()
    with pytest.raises(ValueError, match="stop_grace"):
        PyCompose.from_json('{"services": {"a": {"image": "b", "stop_grace": "1s"}}}')


def test_every_variable_of_the_file_is_used() -> None:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)", text)) == VALUES.keys()
    # What has no default is a secret, and none is written down.
    assert "change-me" not in text


@pytest.mark.parametrize("role", ROLES)
def test_each_role_starts_with_what_it_is_given(compose: dict[str, Any], role: str) -> None:
    service = compose["services"][role]
    read_command_line(service["command"])
    settings = read_environment(service["environment"])
    if role == "worker":
        settings.require_services()
    program, *words = service["healthcheck"]["test"][1:]
    assert program == "ibutsu-tasks"
    assert words == ["probe", "live", "--role", role]
    read_command_line(words)


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_more_than_it_needs(compose: dict[str, Any], role: str) -> None:
    service = compose["services"][role]
    assert service["read_only"] is True
    assert service["tmpfs"] == [service["environment"]["IBUTSU_TASKS_SCRATCH_DIR"]] == ["/scratch"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory"} == service["deploy"]["resources"]["limits"].keys()
    assert parse_duration(service["healthcheck"]["start_period"]) == 300


def test_a_worker_may_end_a_long_import(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    grace_seconds = int(worker["environment"]["IBUTSU_TASKS_GRACE_SECONDS"])
    assert grace_seconds >= 600
    assert parse_duration(worker["stop_grace_period"]) - grace_seconds == 30
    assert worker["deploy"]["replicas"] == compose["services"]["beat"]["deploy"]["replicas"] == 2


def test_it_stands_beside_an_unmodified_server(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["backend"]["image"].startswith("quay.io/ibutsu/backend:")
    same = ("CELERY_BROKER_URL", "POSTGRESQL_HOST", "POSTGRESQL_DATABASE", "POSTGRESQL_PASSWORD")
    assert [services["backend"]["environment"][name] for name in same] == [
        services["worker"]["environment"][name] for name in same
    ]
    assert "noeviction" in services["redis"]["command"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
