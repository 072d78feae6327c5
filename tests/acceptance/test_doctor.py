"""`ibutsu-tasks doctor` as an operator runs it: real faults in, sentences and exit codes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from sqlalchemy.engine import make_url

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import BEAT_LEADER_KEY
from tests.commands import role, run, services, until
from tests.doors import (
    blackhole,
    dead_port,
    dripping,
    forwarding,
    own_valkey,
    silence,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

SECRET = "s3cret-Pa55"
TERMINAL_WIDTH = 80


def doctor(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it and assert what holds for every run."""
    done = run("doctor", *arguments, env=env)
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text
        assert SECRET not in text
    return done


def codes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {item["check"]: item["code"] for item in json.loads(done.stdout)["findings"]}


def test_nothing_to_talk_to(tmp_path: Path) -> None:
    done = doctor(env={"XDG_DATA_HOME": str(tmp_path)})
    assert done.returncode == 3
    assert "CELERY_BROKER_URL" in done.stdout
    assert "POSTGRESQL_HOST" in done.stdout
    assert "ibutsu-tasks up" in done.stdout


def test_all_good(broker_url: str, database_url: str) -> None:
    env = services(broker_url, database_url)
    with role("worker", env=env) as worker, role("beat", env=env), build_client(broker_url) as client:
        worker.wait_for("ready.")
        until(lambda: client.exists(BEAT_LEADER_KEY))
        table, document = doctor(env=env), doctor("--json", env=env)
    assert (table.returncode, document.returncode) == (0, 0)
    assert table.stderr == ""
    assert max(map(len, table.stdout.splitlines())) <= TERMINAL_WIDTH
    assert table.stdout.splitlines()[-1].startswith("1 skipped, 10 in order in")
    assert "Try:" not in table.stdout
    assert json.loads(document.stdout)["verdict"] == "good"
    assert set(codes(document).values()) == {
        *(
            "IBT-S00",
            "IBT-K00",
            "IBT-B00",
            "IBT-R00",
            "IBT-D00",
            "IBT-W00",
            "IBT-H00",
            "IBT-T00",
            "IBT-I00",
            "IBT-P00",
            "IBT-F80",
        ),
    }


def test_bad_news_come_with_the_command_that_mends_them(broker_url: str, empty_database_url: str) -> None:
    done = doctor(env=services(broker_url, empty_database_url))
    assert done.returncode == 1
    for command in ("db create", "worker", "beat"):
        assert f"`ibutsu-tasks {command}`" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= TERMINAL_WIDTH
    assert done.stdout.splitlines()[-1].startswith("3 failed, 1 skipped, 7 in order in")


def test_dead_services() -> None:
    port = dead_port()
    env = services(
        f"redis://:{SECRET}@127.0.0.1:{port}/0", f"postgresql://u:{SECRET}@127.0.0.1:{port}/ibutsu"
    )
    done = doctor("--json", env=env)
    assert done.returncode == 4
    assert codes(done) == {
        "settings": "IBT-S00",
        "packages": "IBT-K00",
        "broker": "IBT-B01",
        "backend": "IBT-R80",
        "database": "IBT-D01",
        "workers": "IBT-W80",
        "held": "IBT-H80",
        "beat": "IBT-T80",
        "prunes": "IBT-P80",
        "imports": "IBT-I80",
        "flower": "IBT-F80",
    }


def test_services_that_swallow_and_drip() -> None:
    with silence() as quiet, blackhole() as hole, dripping(b"$1000000\r\n") as slow:
        env = {
            "CELERY_BROKER_URL": f"redis://:{SECRET}@127.0.0.1:{slow}/0",
            "CELERY_RESULT_BACKEND": f"rediss://:{SECRET}@127.0.0.1:{quiet}/0",
            "POSTGRESQL_HOST": "127.0.0.1",
            "POSTGRESQL_PORT": str(hole),
            "POSTGRESQL_USER": "someone",
            "POSTGRESQL_PASSWORD": SECRET,
            "POSTGRESQL_DATABASE": "ibutsu",
            "IBUTSU_TASKS_FLOWER_URL": f"http://127.0.0.1:{hole}",
        }
        done = doctor("--json", env=env)
    assert done.returncode == 4
    failed = {check: code for check, code in codes(done).items() if not code.endswith(("00", "80"))}
    assert failed == {"broker": "IBT-B90", "backend": "IBT-R02", "database": "IBT-D02", "flower": "IBT-F01"}


def test_wrong_password_and_wrong_database(database_url: str) -> None:
    wrong = make_url(database_url).set(database="nowhere").render_as_string()
    with own_valkey("--requirepass", "another") as port:
        done = doctor(env=services(f"redis://:{SECRET}@127.0.0.1:{port}/0", wrong))
    assert done.returncode == 4
    told = " ".join(done.stdout.split())
    assert "refuses the password" in told
    assert "has no database nowhere" in told
    assert "CELERY_BROKER_URL" in told


def test_tls_where_there_is_none(broker_url: str, database_url: str) -> None:
    directory = Path(str(make_url(database_url).query["host"]))
    with (
        forwarding(Path(urlsplit(broker_url).path)) as redis_port,
        forwarding(directory / ".s.PGSQL.5432") as postgresql_port,
    ):
        env = {
            "CELERY_BROKER_URL": f"rediss://127.0.0.1:{redis_port}/0",
            "POSTGRESQL_HOST": "127.0.0.1",
            "POSTGRESQL_PORT": str(postgresql_port),
            "POSTGRESQL_USER": "ibutsu",
            "POSTGRESQL_DATABASE": "ibutsu",
            "POSTGRESQL_SSLMODE": "require",
        }
        done = doctor("--only", "broker,database", "--json", env=env)
    assert done.returncode == 4
    assert codes(done) == {"broker": "IBT-B06", "database": "IBT-D06"}
    assert "POSTGRESQL_SSLMODE=prefer" in done.stdout


def test_only_takes_commas_and_repetition(broker_url: str, database_url: str) -> None:
    env = services(broker_url, database_url)
    done = doctor("--only", "broker,database", "--only", "backend", "--json", env=env)
    assert done.returncode == 0
    assert list(codes(done)) == ["broker", "backend", "database"]


def test_unknown_check() -> None:
    done = doctor("--only", "databse", env={})
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Did you mean database?" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_settings_that_cannot_be_read(arguments: list[str]) -> None:
    env = {"CELERY_BROKER_URL": f"amqp://u:{SECRET}@h", "POSTGRESQL_PORT": "many"}
    done = doctor(*arguments, env=env)
    assert done.returncode == 3
    assert "IBT-S03" in done.stdout
    assert r"\x0a" not in done.stdout
    assert "POSTGRESQL_PORT" in done.stdout
