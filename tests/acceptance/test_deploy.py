"""`ibutsu-tasks deploy check` against real fleets: sound ones, and each thing that may be wrong with one."""

from __future__ import annotations

import json
import shlex
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.doctor.codes import LINES
from tests import chaos
from tests.chaos.fleet import Fleet
from tests.commands import CELERY, Running, role, run, run_here, services, until
from tests.documentation import IN_PRODUCTION, lines_of
from tests.doors import dead_port, dripping

if TYPE_CHECKING:
    from collections.abc import Mapping

TERMINAL_WIDTH = 80

ALL_GOOD = {line: f"IBT-A{place}0" for place, line in enumerate(LINES)}
ALL_GOOD |= {"failover": "IBT-A88", "updates": "IBT-A98"}


def check(env: Mapping[str, str], *options: str, code: int = 1) -> tuple[dict[str, str], dict[str, str]]:
    """Run it; give what is not as in a sound fleet, by line, and what was seen of each line."""
    done = run("deploy", "check", "--json", *options, env=env)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr == ""
    lines = json.loads(done.stdout)["findings"]
    assert [line["check"] for line in lines] == list(LINES)
    assert all(bool(line["hint"]) is (line["severity"] == "failure") for line in lines)
    found = {line["check"]: line["code"] for line in lines}
    return (
        {name: one for name, one in found.items() if one != ALL_GOOD[name]},
        {line["check"]: line["seen"] for line in lines},
    )


def stock_worker(broker_url: str) -> Running:
    directory = str(Path(next(iter(chaos.__path__))))
    words = ("--workdir", directory, "-A", "stock_worker", "worker", "--queues", "stock")
    options = ("--hostname", "stock@here", "--concurrency", "1", "-l", "info")
    env = {"STOCK_BROKER_URL": broker_url, "PYTHONWARNINGS": "ignore"}
    return Running(CELERY, *words, *options, env=env)


def test_a_sound_fleet_and_what_may_be_wrong_with_one(broker_url: str, database_url: str) -> None:
    env, port = services(broker_url, database_url), str(dead_port())
    options = {"a": ("--health-port", port), "b": (), "c": ()}
    with ExitStack() as stack:
        beats = [stack.enter_context(role("beat", env=env)) for _ in "ab"]
        workers = {
            name: stack.enter_context(role("worker", "--hostname", f"{name}@fleet", *more, env=env))
            for name, more in options.items()
        }
        # It waits for all of them itself.
        line, _ = lines_of("Upgrade", IN_PRODUCTION)
        shown = run(*shlex.split(line)[1:], "--probe", f"http://127.0.0.1:{port}", env=env)
        assert shown.returncode == 0, shown.stdout
        assert shown.stdout.splitlines()[-1].startswith("2 skipped, 8 in order in ")
        assert max(map(len, shown.stdout.splitlines())) <= TERMINAL_WIDTH

        with dripping(b"HTTP/1.1 200 OK\r\nX: ") as slow:
            probes = (f"http://127.0.0.1:{dead_port()}/readyz", f"http://127.0.0.1:{slow}/livez")
            asked = ("--probe", probes[0], "--probe", probes[1], "--workers", "4", "--standbys", "2")
            wrong, seen = check(env, *asked, "--wait", "1", "--queues", "bulk", "--concurrency", "4")
        wrong.pop("canary", None)  # on a busy machine
        assert list(wrong.values()) == ["IBT-A01", "IBT-A12", "IBT-A41", "IBT-A52", "IBT-A61"]
        assert "3 of 4 workers online after 1 s: a@fleet, b@fleet, c@fleet" in seen["online"]
        assert "refused" in seen["probes"]
        assert "has not answered" in seen["probes"]
        assert "bulk" in seen["queues"]

        other = ("--hostname", "d@fleet", "--concurrency", "2", "--queues", "own")
        stock = stack.enter_context(stock_worker(broker_url))
        workers["d"] = stack.enter_context(role("worker", *other, env=env))
        for one in (stock, workers["d"]):
            one.wait_for("ready.")
        wrong, seen = check(env, "--workers", "5")
        assert wrong == {"limits": "IBT-A51"}
        assert "concurrency 2 on d@fleet" in seen["limits"]
        assert "not known: stock@here" in seen["probes"]
        assert "not sent to stock" in seen["canary"]
        assert "own" in seen["canary"]

        for beat in beats:
            beat.stop()
        workers["b"].process.send_signal(signal.SIGSTOP)
        wrong, seen = check(env, "--workers", "4", "--wait", "3")
        workers["b"].process.send_signal(signal.SIGCONT)
        wrong.pop("canary", None)  # of which the frozen one may have taken some
        assert list(wrong.values()) == ["IBT-A11", "IBT-A21", "IBT-A32", "IBT-A51"]
        assert "b@fleet" in seen["connected"]

        away = env | {"CELERY_RESULT_BACKEND": f"redis://127.0.0.1:{dead_port()}/0"}
        done = run("deploy", "check", "--wait", "0", env=away)
        assert (done.returncode, "result backend" in done.stderr) == (4, True)
        for one in workers.values():
            one.process.terminate()


@pytest.mark.soak
def test_failover(broker_url: str, database_url: str) -> None:
    env = services(broker_url, database_url)
    _, line = lines_of("Upgrade", IN_PRODUCTION)
    names = ("worker a", "worker b", "worker c", "beat x")
    with Fleet(*names, env=env) as fleet, ThreadPoolExecutor() as threads:
        fleet.wait_until_ready()
        asked = threads.submit(check, env, *shlex.split(line)[3:], code=0)
        while not asked.done():
            fleet.restart_what_ended()
            until(asked.done, 0.2)
        wrong, seen = asked.result()
        assert wrong == {"failover": "IBT-A80"}
        assert "its work done by another" in seen["failover"]
        [stopped] = fleet.ended
        assert stopped.process.returncode == 0

        wrong, seen = check(env, "--workers", "3", "--wait", "2", "--failover")
        assert wrong == {"failover": "IBT-A85"}
        # One is left when this one is gone, too.
        left = next(name for name, one in fleet.running.items() if one.process.poll() is None)
        fleet.running[left].stop()
        assert check(env, "--failover")[0] == {"failover": "IBT-A81"}
        assert sum(one.process.poll() is None for one in fleet.running.values()) == 1 + 1


def test_no_worker_at_all(broker_url: str) -> None:
    wrong, _ = check({"CELERY_BROKER_URL": broker_url}, "--wait", "0", "--failover")
    missing = {"online": "IBT-A01", "leader": "IBT-A11", "scheduler": "IBT-A31", "queues": "IBT-A61"}
    unchecked = {"connected": "IBT-A28", "probes": "IBT-A48", "limits": "IBT-A58", "canary": "IBT-A78"}
    assert wrong == missing | unchecked


def test_a_broker_that_drips_its_answer() -> None:
    with dripping(b"$1000000\r\n") as slow:
        done = run("deploy", "check", env={"CELERY_BROKER_URL": f"redis://127.0.0.1:{slow}/0"})
    assert (done.returncode, "has not answered" in done.stderr) == (4, True)


def test_what_keeps_it_from_looking(broker_url: str) -> None:
    dead = f"redis://:s3cret-Pa55@127.0.0.1:{dead_port()}/0"
    for env, options, code in (
        ({}, (), 3),
        ({"CELERY_BROKER_URL": dead}, (), 4),
        ({"CELERY_BROKER_URL": broker_url}, ("--probe", "worker:8000"), 2),
        ({"CELERY_BROKER_URL": broker_url}, ("--workers", "0"), 2),
    ):
        done = run_here("deploy", "check", "--json", *options, env=env)
        assert done.returncode == code, done.stderr
        assert json.loads(done.stdout)["error"]
        assert "s3cret" not in done.stdout + done.stderr
