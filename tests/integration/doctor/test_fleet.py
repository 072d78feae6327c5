"""Workers, beat and Flower: the real ones, started as an operator starts them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import BEAT_LEADER_KEY, HELD_PREFIX, HOLDERS, UNACKED, UNACKED_INDEX
from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.doctor import examine, running
from ibutsu_tasks.doctor.checks import workers
from ibutsu_tasks.doctor.codes import Severity, Verdict
from ibutsu_tasks.settings import load_settings
from tests.commands import role, services, until
from tests.doors import dead_port, speaking

if TYPE_CHECKING:
    import pytest

    from ibutsu_tasks.settings import Settings

    from .conftest import Diagnose


def send(settings: Settings, queue: str) -> None:
    app = create_broker_celery_app(settings=settings)
    app.send_task("some.task", queue=queue)
    app.close()


def test_no_worker(diagnose: Diagnose, settings: Settings, broker_url: str) -> None:
    send(settings, "celery")
    found = diagnose("workers", broker_url=broker_url)
    assert found.code == "IBT-W01"
    assert "1 message waits in celery" in found.seen


def test_no_beat(diagnose: Diagnose, broker_url: str) -> None:
    assert diagnose("beat", broker_url=broker_url).code == "IBT-T01"


def test_a_clock_that_is_wrong(diagnose: Diagnose, broker_url: str) -> None:
    with build_client(broker_url) as client:
        now = time.time()
        leader = {"host": "elsewhere", "pid": 7, "fence": 1, "since": now - 5, "time": now - 3605}
        client.set(BEAT_LEADER_KEY, json.dumps(leader), ex=10)
    found = diagnose("beat", broker_url=broker_url)
    assert (found.code, "elsewhere" in found.seen) == ("IBT-T02", True)


def test_all_good_then_a_queue_nobody_consumes(
    settings: Settings, broker_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All known workers having answered, nothing is waited for: a wait for more would fail the check.
    monkeypatch.setattr(workers, "REPLY_SECONDS", 120)
    monkeypatch.setattr(running, "CHECK_SECONDS", 60)
    monkeypatch.setattr(running, "TOTAL_SECONDS", 60)
    env = services(broker_url, database_url)
    with role("worker", env=env) as worker, role("beat", env=env), build_client(broker_url) as client:
        worker.wait_for("ready.")
        until(lambda: client.exists(BEAT_LEADER_KEY))
        good = examine(settings)
        assert {item.severity for item in good.findings} == {Severity.OK, Severity.SKIPPED}, good
        assert good.verdict is Verdict.GOOD

        send(settings, "bulk")
        send(settings, "bulk")
        starving = examine(settings, ["workers"])
    [found] = starving.findings
    assert found.code == "IBT-W02"
    assert "2 messages wait in the queue bulk" in found.seen
    assert "ibutsu-tasks worker --queues bulk" in found.hint
    assert starving.verdict is Verdict.BAD_NEWS


def test_a_queue_without_consumer_and_asking_leaves_nothing_behind(
    broker_url: str, database_url: str, settings: Settings
) -> None:
    nightly = load_settings({"broker_url": broker_url, "worker_queues": "celery,night"}, environ={})
    with (
        role("worker", env=services(broker_url, database_url)) as worker,
        build_client(broker_url) as client,
    ):
        worker.wait_for("ready.")
        before = set(client.scan_iter())
        for _ in range(2):
            examine(settings, ["backend", "workers", "beat"])
        assert set(client.scan_iter()) - before <= {b"_kombu.binding.reply.celery.pidbox"}
        assert not client.smembers("_kombu.binding.reply.celery.pidbox")
        [found] = examine(nightly, ["workers"]).findings
    assert (found.code, found.severity) == ("IBT-W03", Severity.WARNING)


def test_flower(diagnose: Diagnose, broker_url: str) -> None:
    port = dead_port()
    env = {"CELERY_BROKER_URL": broker_url, "FLOWER_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    with role("flower", env=env):
        until(lambda: diagnose("flower", flower_url=url).code == "IBT-F03")
        assert diagnose("flower", flower_url=url).code == "IBT-F03"
    with role("flower", env={**env, "FLOWER_BASIC_AUTH": "op:s3cret-Pa55"}):
        until(lambda: diagnose("flower", flower_url=url).code == "IBT-F00")
        assert diagnose("flower", flower_url=url).code == "IBT-F00"
    assert diagnose("flower", flower_url=url).code == "IBT-F01"


def test_something_else_at_flowers_address(diagnose: Diagnose, valkey_port: int) -> None:
    assert diagnose("flower", flower_url=f"http://127.0.0.1:{valkey_port}").code == "IBT-F01"
    with speaking(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as port:
        assert diagnose("flower", flower_url=f"http://127.0.0.1:{port}").code == "IBT-F02"


def test_flower_is_not_asked_for_unless_configured(diagnose: Diagnose) -> None:
    assert diagnose("flower").severity is Severity.SKIPPED


def test_held_messages(diagnose: Diagnose, broker_url: str) -> None:
    assert diagnose("held", broker_url=broker_url).code == "IBT-H00"
    with build_client(broker_url) as client:
        now = client.time()[0]
        client.zadd(HOLDERS, {"celery@gone:1f": now - 60})
        client.hset(f"{HELD_PREFIX}celery@gone:1f", "tag", f"{now - 90} celery")
        client.hset(UNACKED, "tag", "[{}]")
        client.zadd(UNACKED_INDEX, {"tag": now - 60})
    found = diagnose("held", broker_url=broker_url)
    assert (found.code, "celery@gone (1)" in found.seen) == ("IBT-H01", True)
