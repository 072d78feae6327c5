"""The policy of a task, its end and its progress, through a real worker that knows nothing of Ibutsu."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text

from ibutsu_tasks.broker.job_updates import CHANNEL
from ibutsu_tasks.broker.layout import UNACKED
from ibutsu_tasks.tasks import FollowUps
from tests.commands import run, until

if TYPE_CHECKING:
    from tests.packaged import Workshop

OVER_TIME = "It took longer than its time limit and was stopped."


def test_a_transaction_is_committed_before_its_follow_up_is_sent(workshop: Workshop) -> None:
    assert workshop.end_of(workshop.send("make", "chair")) == ("SUCCESS", 7)
    until(workshop.ran)
    assert (workshop.pieces(), workshop.ran()) == ({"chair": "made"}, ["made chair"])


def test_of_a_task_that_fails_nothing_stays_and_nothing_is_sent(workshop: Workshop) -> None:
    state, error = workshop.end_of(workshop.send("make", "chair", "broken"))
    assert (state, str(error)) == ("FAILURE", "It broke.")
    workshop.end_of(workshop.send("note", "later"))
    assert (workshop.pieces(), workshop.ran()) == ({}, ["later"])


def test_a_follow_up_that_no_message_can_hold_is_known_before_the_commit() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        FollowUps().send("workshop.note", object())


def test_an_error_of_the_policy_is_tried_again_after_growing_pauses(workshop: Workshop) -> None:
    assert workshop.end_of(workshop.send("flaky", "growing", 2)) == ("SUCCESS", 3)
    first, second, third = map(float, workshop.attempts("growing"))
    assert second - first >= 0.2
    assert third - second >= 0.4


def test_after_its_retries_it_fails_with_the_last_error(workshop: Workshop) -> None:
    state, error = workshop.end_of(workshop.send("flaky", "never", 99))
    assert (state, str(error), len(workshop.attempts("never"))) == ("FAILURE", "attempt 3", 3)


def test_an_error_of_another_kind_is_not_tried_again_and_its_log_holds_no_secret(workshop: Workshop) -> None:
    state, _ = workshop.end_of(workshop.send("hopeless", "other"))
    assert (state, len(workshop.attempts("other"))) == ("FAILURE", 1)
    workshop.worker.wait_for("LookupError: nothing opens with ***")
    assert workshop.env["WORKSHOP_TOKEN"] not in workshop.worker.output


@pytest.mark.parametrize("how", [["--wait", "60"], ["--local"]])
def test_enqueue_shows_no_secret_that_an_error_quotes(workshop: Workshop, how: list[str]) -> None:
    done = run("enqueue", "workshop.hopeless", "name=other", "--verbose", *how, env=workshop.env)
    assert (done.returncode, "LookupError: nothing opens with ***" in done.stderr) == (1, True)
    assert workshop.env["WORKSHOP_TOKEN"] not in done.stdout + done.stderr


def test_the_soft_time_limit_asks_a_task_to_end(workshop: Workshop) -> None:
    assert workshop.end_of(workshop.send("patient")) == ("SUCCESS", "asked to end")


def test_a_hard_time_limit_is_told(workshop: Workshop) -> None:
    state, error = workshop.end_of(workshop.send("endless", "table"))
    assert (state, type(error).__name__) == ("FAILURE", "TimeLimitExceeded")
    until(workshop.pieces)
    assert workshop.pieces() == {"table": OVER_TIME}


def test_a_message_that_kills_its_processes_is_given_up_after_its_own_number(workshop: Workshop) -> None:
    state, error = workshop.end_of(workshop.send("deadly", "bomb"))
    assert (state, type(error).__name__) == ("FAILURE", "KilledTooOftenError")
    until(workshop.pieces)
    assert workshop.pieces().keys() == {"bomb"}
    assert "killed 2 times" in workshop.pieces()["bomb"]
    assert len(workshop.attempts("bomb")) == 2


def test_a_revocation_is_told_before_and_while_it_runs(workshop: Workshop) -> None:
    waiting = workshop.send("make", "waiting", countdown=5)
    until(lambda: waiting.id.encode() in b"".join(workshop.client.hvals(UNACKED)))
    workshop.app.control.revoke(waiting.id)
    running = workshop.send("endless", "running", time_limit=600)
    until(lambda: "endless running" in workshop.ran())
    workshop.app.control.revoke(running.id, terminate=True, signal="SIGTERM")
    until(lambda: len(workshop.pieces()) == 2)
    assert workshop.pieces() == {
        "waiting": "It was revoked before it began.",
        "running": "It was terminated while it ran (SIGTERM).",
    }


def test_what_the_database_does_not_take_is_told_when_it_does(workshop: Workshop) -> None:
    admin = create_engine(workshop.engine.url.set(database="template1"), isolation_level="AUTOCOMMIT")
    with closing(admin.connect()) as connection:
        connection.execute(text("alter database ibutsu allow_connections off"))
        try:
            connection.execute(
                text("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'ibutsu'")
            )
            workshop.end_of(workshop.send("endless", "away"))
            until(lambda: workshop.client.hlen("ibutsu-tasks:gave-up"))
            assert workshop.client.hlen("ibutsu-tasks:gave-up") == 1
        finally:
            connection.execute(text("alter database ibutsu allow_connections on"))
    admin.dispose()
    workshop.engine.dispose()
    until(workshop.pieces)
    assert workshop.pieces() == {"away": OVER_TIME}
    until(lambda: not workshop.client.exists("ibutsu-tasks:gave-up", "ibutsu-tasks:gave-up:lock"))
    assert not workshop.client.exists("ibutsu-tasks:gave-up", "ibutsu-tasks:gave-up:lock")


def test_of_two_messages_with_one_key_one_runs_and_both_have_its_result(workshop: Workshop) -> None:
    running = workshop.send("once", "shared", "wait")
    until(lambda: workshop.attempts("shared"))
    waiting = workshop.send("once", "shared", "wait")
    until(lambda: f"workshop.once[{waiting.id}] retry" in workshop.worker.output)
    workshop.go("shared")
    made = datetime(2026, 3, 4, 5, 6)  # noqa: DTZ001
    assert [workshop.end_of(one) for one in (running, waiting)] == [("SUCCESS", made)] * 2
    assert workshop.attempts("shared") == [running.id]


@pytest.mark.parametrize("way", ["fails", "killed"])
def test_a_run_that_came_to_nothing_keeps_no_key(workshop: Workshop, way: str) -> None:
    first = workshop.send("once", f"job-{way}", way)
    assert workshop.end_of(first)[0] == {"fails": "FAILURE", "killed": "SUCCESS"}[way]
    assert set(workshop.attempts(f"job-{way}")) == {first.id}
    assert workshop.end_of(workshop.send("once", f"job-{way}", "at once"))[0] == "SUCCESS"


def test_a_message_that_was_given_up_keeps_no_key(workshop: Workshop) -> None:
    assert workshop.end_of(workshop.send("limited_once", "limited"))[0] == "FAILURE"
    assert workshop.end_of(workshop.send("limited_once", "limited")) == ("SUCCESS", "done")
    assert len(workshop.attempts("limited")) == 2


def test_progress_is_in_the_state_and_on_the_channel(workshop: Workshop) -> None:
    seen: list[tuple[str, Any]] = []
    with closing(workshop.client.pubsub(ignore_subscribe_messages=True)) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(CHANNEL)
        # That it is subscribed, which is given as None.
        channel.get_message(timeout=60)
        result = workshop.send("counting", "long")
        until(lambda: seen.append((result.state, result.info)) or seen[-1][0] != "PENDING")  # type: ignore[func-returns-value]
        workshop.go("long")
        assert workshop.end_of(result) == ("SUCCESS", "counted")
        heard = [json.loads(one["data"]) for one in iter(lambda: channel.get_message(timeout=1), None)]
    state, info = seen[-1]
    assert (state, info["total"], info["done"] > 0) == ("STARTED", 1000, True)
    told = {"task_id": result.id, "task": "workshop.counting", "status": "running", "total": 1000}
    assert [one | told | {"done": 1} for one in heard[:1]] == heard[:1]
    *running, last = heard
    assert [one["done"] for one in running] == sorted({one["done"] for one in running})
    assert last["done"] >= running[-1]["done"]
    assert last | told | {"status": "counted", "by": ["hand"]} == last
