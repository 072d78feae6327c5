"""Several beats, and what may happen to them: every entry is sent once, and by one of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.beat.message import DUE_HEADER
from ibutsu_tasks.beat.state import read_state
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import BEAT_LAST_RUNS_KEY, BEAT_LEADER_KEY
from tests.chaos.wrong_clocks import an_hour, needs_wrong_clocks
from tests.commands import Running, role, until
from tests.doors import dead_port, forwarding, listener, own_valkey
from tests.fast_beat import ENTRY, TASK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

LEADS = "this beat leads now"
STARTED = "beat: Starting"
LEASE_AND_A_POLL_SECONDS = 15
ORDERLY_SECONDS = 2
LOST_HOST_SECONDS = 30


@pytest.fixture
def client(broker_url: str) -> Iterator[Redis]:
    with build_client(broker_url) as client:
        yield client


def fast_beat(broker_url: str, **variables: str) -> Running:
    return Running(
        sys.executable, "-m", "tests.fast_beat", env={"CELERY_BROKER_URL": broker_url, **variables}
    )


@contextmanager
def beats(broker_url: str, number: int, **variables: str) -> Iterator[list[Running]]:
    """Run so many beats, the first of which leads."""
    with ExitStack() as stack:
        running = [stack.enter_context(fast_beat(broker_url, **variables))]
        running[0].wait_for(LEADS)
        for _ in range(number - 1):
            running.append(stack.enter_context(fast_beat(broker_url)))
            running[-1].wait_for(STARTED)
        with build_client(broker_url) as client:
            until(lambda: len(read_state(client).standbys) == number - 1)
        yield running


def due_times(client: Redis) -> list[datetime]:
    """Give for which moments messages were sent, in the order of sending."""
    messages = [json.loads(text) for text in reversed(client.lrange("celery", 0, -1))]
    assert all(message["headers"]["task"] == TASK for message in messages)
    return [datetime.fromisoformat(message["headers"][DUE_HEADER]) for message in messages]


def leader_pid(client: Redis) -> int | None:
    leader = read_state(client).leader
    return leader.pid if leader else None


def wait_for_messages(client: Redis, more: int) -> None:
    wanted = client.llen("celery") + more
    until(lambda: client.llen("celery") >= wanted, 60)
    assert client.llen("celery") >= wanted


def longest_gap_seconds(moments: list[datetime]) -> float:
    return max((later - earlier).total_seconds() for earlier, later in pairwise(moments))


def assert_each_once(client: Redis) -> list[datetime]:
    moments = due_times(client)
    assert moments == sorted(set(moments))
    return moments


def test_of_three_beats_one_sends_and_each_second_once(client: Redis, broker_url: str) -> None:
    with beats(broker_url, 3) as running:
        wait_for_messages(client, 6)
        assert [LEADS in beat.output for beat in running] == [True, False, False]
        assert ["sending" in beat.output for beat in running] == [True, False, False]
    moments = assert_each_once(client)
    assert longest_gap_seconds(moments) == 1


def test_an_orderly_end_hands_over_within_two_seconds(client: Redis, broker_url: str) -> None:
    with beats(broker_url, 2) as (first, second):
        wait_for_messages(client, 2)
        assert first.stop() == 0
        began = time.monotonic()
        until(lambda: leader_pid(client) == second.process.pid)
        assert time.monotonic() - began < ORDERLY_SECONDS
        wait_for_messages(client, 2)
    moments = assert_each_once(client)
    # Seconds that passed without a leader are caught up by one message.
    assert longest_gap_seconds(moments) <= 1 + ORDERLY_SECONDS


def test_a_standby_that_ends_is_forgotten_at_once(client: Redis, broker_url: str) -> None:
    with beats(broker_url, 2) as (first, second):
        assert second.stop() == 0
        assert read_state(client).standbys == ()
        assert leader_pid(client) == first.process.pid


def test_a_killed_leader_is_followed_within_fifteen_seconds(client: Redis, broker_url: str) -> None:
    with beats(broker_url, 2) as (first, second):
        wait_for_messages(client, 2)
        first.process.kill()
        began = time.monotonic()
        until(lambda: leader_pid(client) == second.process.pid)
        assert time.monotonic() - began < LEASE_AND_A_POLL_SECONDS
        wait_for_messages(client, 2)
    assert_each_once(client)


@needs_wrong_clocks
@pytest.mark.parametrize("way", ["+", pytest.param("-", marks=pytest.mark.soak)])
def test_a_beat_with_a_wrong_clock_leads_and_sends_by_that_of_redis(
    client: Redis, broker_url: str, way: str
) -> None:
    with beats(broker_url, 1) as (right,), fast_beat(broker_url, **an_hour(way)) as wrong:
        wrong.wait_for(STARTED)
        until(lambda: read_state(client).standbys)
        wait_for_messages(client, 2)
        assert leader_pid(client) == right.process.pid
        assert right.stop() == 0
        wrong.wait_for(LEADS)
        wait_for_messages(client, 3)
        server_now = datetime.fromtimestamp(client.time()[0], UTC)
        assert abs(due_times(client)[-1] - server_now) < timedelta(minutes=1)
    assert_each_once(client)


def test_a_leader_that_froze_right_before_it_sends_sends_nothing_when_it_wakes(
    client: Redis, broker_url: str
) -> None:
    with beats(broker_url, 2, FREEZE_AT="3") as (first, second):
        second.wait_for(LEADS)
        wait_for_messages(client, 3)
        first.process.send_signal(signal.SIGCONT)
        first.wait_for(f"did not send {ENTRY}: not the leader")
        first.wait_for("stands by")
        wait_for_messages(client, 3)
        assert second.output.count(LEADS) == 1
        assert leader_pid(client) == second.process.pid
    assert_each_once(client)


@pytest.mark.soak
def test_a_leader_that_froze_alone_takes_the_lead_anew_and_catches_up_once(
    client: Redis, broker_url: str
) -> None:
    with fast_beat(broker_url, FREEZE_AT="3") as beat:
        until(lambda: client.llen("celery") == 2)
        until(lambda: not client.exists(BEAT_LEADER_KEY))
        beat.process.send_signal(signal.SIGCONT)
        beat.wait_for(f"did not send {ENTRY}: not the leader")
        beat.wait_for("(fence 2)")
        wait_for_messages(client, 3)
    moments = assert_each_once(client)
    assert moments[2] - moments[1] == timedelta(seconds=1)  # the one that was missed
    assert (moments[3] - moments[2]).total_seconds() >= 8  # and none of those between


def test_a_message_whose_answer_was_lost_is_not_sent_again(client: Redis, broker_url: str) -> None:
    with fast_beat(broker_url, LOSE_ANSWER_AT="3") as beat:
        beat.wait_for("the broker works again")
        wait_for_messages(client, 2)
        assert beat.output.count("Timeout reading from socket") == 1
    moments = assert_each_once(client)
    assert longest_gap_seconds(moments) <= 1 + ORDERLY_SECONDS


def test_a_leader_whose_host_is_lost_is_followed_and_what_it_still_sends_is_refused() -> None:
    is_open = threading.Event()
    is_open.set()
    with ExitStack() as stack:
        server = stack.enter_context(own_valkey())
        door = stack.enter_context(stalling(server, is_open))
        client = stack.enter_context(build_client(f"redis://127.0.0.1:{server}/0"))
        first = stack.enter_context(fast_beat(f"redis://127.0.0.1:{door}/0"))
        first.wait_for(LEADS)
        second = stack.enter_context(fast_beat(f"redis://127.0.0.1:{server}/0"))
        wait_for_messages(client, 2)
        is_open.clear()
        began = time.monotonic()
        second.wait_for(LEADS)
        assert time.monotonic() - began < LOST_HOST_SECONDS
        wait_for_messages(client, 2)
        is_open.set()
        first.wait_for("the broker works again")
        wait_for_messages(client, 2)
        assert leader_pid(client) == second.process.pid
        assert first.output.count("the broker fails") == 1
        assert_each_once(client)


@contextmanager
def stalling(target: int, is_open: threading.Event) -> Iterator[int]:
    """Carry TCP to a server while `is_open`; what is said meanwhile arrives later. Yields the port."""

    def carry(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", target)) as server:
            back = threading.Thread(target=pump, args=(server, connection), daemon=True)
            back.start()
            pump(connection, server)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                is_open.wait(60)
                sink.sendall(data)

    with listener(carry) as port:
        yield port


@pytest.mark.soak
def test_leaders_frozen_and_woken_again_and_again_double_nothing(client: Redis, broker_url: str) -> None:
    with beats(broker_url, 3) as running:
        for _ in range(3):
            wait_for_messages(client, 1)
            frozen = leader_pid(client)
            assert frozen
            os.kill(frozen, signal.SIGSTOP)
            until(lambda frozen=frozen: leader_pid(client) not in {None, frozen})
            os.kill(frozen, signal.SIGCONT)
        wait_for_messages(client, 2)
        assert sum(beat.output.count(LEADS) for beat in running) == 4
    assert_each_once(client)


@pytest.mark.soak
def test_beats_of_two_releases_follow_each_other_and_double_nothing(
    client: Redis, broker_url: str, previous: dict[str, str]
) -> None:
    words = (sys.executable, "-P", "-m", "tests.fast_beat")
    env = previous | {"CELERY_BROKER_URL": broker_url}
    with ExitStack() as stack:
        old = stack.enter_context(Running(*words, env=env))
        old.wait_for(LEADS)
        new = stack.enter_context(fast_beat(broker_url))
        until(lambda: read_state(client).standbys)
        wait_for_messages(client, 2)
        assert old.stop() == 0
        new.wait_for(LEADS)
        again = stack.enter_context(Running(*words, env=env))
        until(lambda: read_state(client).standbys)
        wait_for_messages(client, 2)
        os.kill(new.process.pid, signal.SIGSTOP)
        again.wait_for(LEADS)
        os.kill(new.process.pid, signal.SIGCONT)
        new.wait_for("stands by")
        wait_for_messages(client, 2)
        again.process.kill()
        until(lambda: leader_pid(client) == new.process.pid)
        wait_for_messages(client, 2)
        assert [one.output.count(LEADS) for one in (old, new, again)] == [1, 2, 1]
    assert_each_once(client)


def test_a_broker_that_comes_back_empty_ends_nobody(client: Redis, broker_url: str) -> None:
    with beats(broker_url, 2) as running:
        wait_for_messages(client, 2)
        before = due_times(client)
        client.flushall()
        wait_for_messages(client, 3)
        after = assert_each_once(client)
        # Of what was sent before, a standby may have missed the last second; all else is remembered.
        assert after[0] >= before[-1]
        assert client.hexists(BEAT_LAST_RUNS_KEY, ENTRY)
        assert all(beat.process.poll() is None for beat in running)
        assert all("Traceback" not in beat.output for beat in running)


def test_a_broker_that_goes_away_is_told_of_once_and_waited_for() -> None:
    with ExitStack() as stack:
        port = dead_port()
        url = f"redis://127.0.0.1:{port}/0"
        with own_valkey() as server, forwarding(server, port=port), build_client(url) as client:
            running = [stack.enter_context(fast_beat(url)) for _ in range(2)]
            until(lambda: any(LEADS in beat.output for beat in running))
            wait_for_messages(client, 2)
        for beat in running:
            beat.wait_for("the broker fails")
        time.sleep(5)  # in which it would be said again and again
        with own_valkey() as server, forwarding(server, port=port), build_client(url) as client:
            for beat in running:
                beat.wait_for("the broker works again")
            wait_for_messages(client, 3)
            assert_each_once(client)
        for beat in running:
            assert beat.output.count("the broker works again") == 1
            assert beat.output.count("the broker fails") <= 2, beat.output
            assert "Traceback" not in beat.output
            assert "pidbox" not in "".join(line for line in beat.lines if "rror" in line)


@pytest.mark.parametrize(
    ("fault", "cure", "words"),
    [
        ("config set maxmemory 1", "config set maxmemory 0", "maxmemory"),
        pytest.param(
            "replicaof 127.0.0.1 1", "replicaof no one", "read only replica", marks=pytest.mark.soak
        ),
    ],
    ids=["out of memory", "read-only"],
)
def test_a_broker_that_takes_nothing_is_told_of_once_and_waited_for(
    fault: str, cure: str, words: str
) -> None:
    with own_valkey() as port, ExitStack() as stack:
        url = f"redis://127.0.0.1:{port}/0"
        client = stack.enter_context(build_client(url))
        running = stack.enter_context(beats(url, 2))
        wait_for_messages(client, 2)
        client.execute_command(*fault.split())
        running[0].wait_for("the broker fails")
        assert words in running[0].output
        time.sleep(3)  # in which it would be said again and again
        client.execute_command(*cure.split())
        wait_for_messages(client, 3)
        running[0].wait_for("the broker works again")
        assert running[0].output.count("the broker fails") == 1
        moments = assert_each_once(client)
        # What was missed is one message.
        assert longest_gap_seconds(moments) >= 3
        assert all("Traceback" not in beat.output for beat in running)


def test_beat_waits_for_a_broker_that_is_not_there_yet() -> None:
    port = dead_port()
    with fast_beat(f"redis://127.0.0.1:{port}/0") as beat:
        beat.wait_for("the broker fails")
        with own_valkey() as server, forwarding(server, port=port):
            beat.wait_for(LEADS)
        assert beat.stop() == 0
    assert "Traceback" not in beat.output


def write_last_run(client: Redis, entry: str, ago: timedelta) -> None:
    client.hset(BEAT_LAST_RUNS_KEY, entry, (datetime.now(UTC) - ago).isoformat())


@pytest.mark.parametrize(("policy", "first_is_old"), [("once", True), ("skip", False)])
def test_runs_missed_are_made_up_for_by_one_or_left_out(
    client: Redis, broker_url: str, policy: str, first_is_old: bool
) -> None:
    write_last_run(client, ENTRY, timedelta(hours=1))
    began = datetime.now(UTC)
    with fast_beat(broker_url, MISSED=policy):
        wait_for_messages(client, 3)
    moments = assert_each_once(client)
    assert (began - moments[0] > timedelta(minutes=50)) is first_is_old
    # What is two minutes late at most was not missed.
    assert began - moments[1] < timedelta(seconds=150)


def test_beat_needs_no_database(client: Redis, broker_url: str) -> None:
    with role("beat", env={"CELERY_BROKER_URL": broker_url}) as beat:
        beat.wait_for(LEADS)
        assert beat.stop() == 0
    assert not client.exists(BEAT_LEADER_KEY)
    missing = subprocess.run(
        [sys.executable, "-m", "tests.fast_beat"], capture_output=True, text=True, check=False, timeout=60
    )
    assert "CELERY_BROKER_URL is not set" in missing.stderr
