"""`schedule list` with and without a beat, and without a broker."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from ibutsu_tasks.beat.state import read_state
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import BEAT_LAST_RUNS_KEY
from ibutsu_tasks.ibutsu.schedule import SCHEDULE
from tests.commands import role, run, run_here, until
from tests.doors import dead_port

COLOURS = re.compile(r"\x1b\[[\d;]*m")
NAMES = [row.name for row in SCHEDULE]


def test_who_leads_and_what_ran_when(broker_url: str) -> None:
    env = {"CELERY_BROKER_URL": broker_url}
    with build_client(broker_url) as client, role("beat", env=env) as first, role("beat", env=env) as second:
        until(lambda: read_state(client).leader and read_state(client).standbys)
        ran = datetime.now(UTC) - timedelta(minutes=10)
        client.hset(BEAT_LAST_RUNS_KEY, "prune-old-runs", ran.isoformat())
        for width in ("60", "80", "120", "200"):
            shown = run("schedule", env=env | {"COLUMNS": width, "TTY_COMPATIBLE": "1", "NO_COLOR": "1"})
            assert shown.returncode == 0
            lines = COLOURS.sub("", shown.stdout).splitlines()
            assert max(map(len, lines[:-2])) <= int(width)
            assert all(name in shown.stdout for name in NAMES)
            assert "10 min ago" in " ".join(shown.stdout.split())
            assert "Beat leads on " in shown.stdout
            assert "1 beat standing by" in shown.stdout
        document = json.loads(run("schedule", "list", "--json", env=env).stdout)
        assert {document["leader"]["pid"], document["standbys"][0]["pid"]} == {
            first.process.pid,
            second.process.pid,
        }
    by_name = {entry["name"]: entry for entry in document["entries"]}
    assert document["version"] == 1
    assert list(by_name) == NAMES
    assert by_name["prune-old-runs"]["last_run"] == ran.isoformat()
    assert by_name["sync-aborted-runs"]["last_run"] is None
    assert all(entry["next_run"] > document["time"] for entry in document["entries"])


def test_without_a_beat_it_says_so(broker_url: str) -> None:
    shown = run_here("schedule", "list", env={"CELERY_BROKER_URL": broker_url})
    assert shown.returncode == 0
    assert "No beat leads: nothing is sent. Start one with `ibutsu-tasks beat`." in shown.stdout


@pytest.mark.parametrize("words", [("schedule",), ("schedule", "list")])
def test_without_a_broker_it_shows_what_there_is_to_send(words: tuple[str, ...]) -> None:
    env = {"CELERY_BROKER_URL": f"redis://:s3cret-pw@127.0.0.1:{dead_port()}/0"}
    shown = run_here(*words, env=env)
    assert shown.returncode == 4
    assert all(name in shown.stdout for name in NAMES)
    assert "did not work" in shown.stderr
    told = run_here(*words, "--json", env=env)
    document = json.loads(told.stdout)
    assert (told.returncode, document["leader"]) == (4, None)
    assert [entry["name"] for entry in document["entries"]] == NAMES
    assert "did not work" in document["error"]
    assert "s3cret-pw" not in shown.stderr + told.stdout


def test_without_a_broker_url_it_says_what_to_set() -> None:
    shown = run_here("schedule", "list")
    assert shown.returncode == 3
    assert "CELERY_BROKER_URL is not set" in shown.stderr
