"""Services that go away, refuse or fall silent in the middle of an import: it is done all the same, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.broker.layout import GAVE_UP
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.tasks.endings import LONGEST_SECONDS
from tests.chaos.stage import LEASE_SECONDS
from tests.commands import until

if TYPE_CHECKING:
    from tests.chaos.stage import Stage


def test_a_database_out_of_reach(stage: Stage) -> None:
    stage.replace_worker()
    with stage.import_underway() as import_id:
        stage.database.shut()
        stage.wait_for_retry(import_id)
    others = [stage.send_import() for _ in range(5)]
    for other in others:
        stage.wait_for_retry(other)
    assert stage.count_said("the database is away") == 1
    assert stage.count_said("Retry in") == 0
    stage.database.heal()
    for one in (import_id, *others):
        stage.assert_done(one)
    assert stage.count_said("the database is back after") == 1


def test_sessions_ended_by_an_administrator(stage: Stage) -> None:
    with stage.import_underway() as import_id:
        stage.say("select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ 'worker'")
        stage.wait_for_retry(import_id)
    stage.assert_done(import_id)


def test_connections_that_are_reset(stage: Stage) -> None:
    with stage.import_underway() as import_id:
        stage.database.reset()
        stage.wait_for_retry(import_id)
    stage.assert_done(import_id)


def test_a_slow_database(stage: Stage) -> None:
    stage.database.slow()
    import_id = stage.send_import()
    stage.assert_done(import_id)


def test_a_database_that_takes_no_writes(stage: Stage) -> None:
    upload = stage.store_import()
    stage.say("alter system set default_transaction_read_only = on")
    stage.say("select pg_reload_conf()")
    import_id = stage.send(upload)
    stage.wait_for_retry(import_id)
    assert stage.status_of(import_id) == "pending"
    stage.say("alter system reset default_transaction_read_only")
    stage.say("select pg_reload_conf()")
    stage.assert_done(import_id)


def test_a_broker_out_of_memory(stage: Stage) -> None:
    stage.database.shut()
    import_id = stage.send_import()
    stage.wait_for_retry(import_id)
    stage.client.config_set("maxmemory", "1mb")
    time.sleep(2)
    stage.database.heal()
    time.sleep(3)
    stage.client.config_set("maxmemory", "0")
    stage.assert_done(import_id)
    stage.wait_for(lambda: stage.outcome_of(import_id) == "SUCCESS", "the result")


def test_a_broker_that_takes_no_writes(stage: Stage) -> None:
    upload = stage.store_import()
    with stage.import_underway(upload):
        stage.client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            # Longer than it takes until the lease is to be renewed.
            time.sleep(LEASE_SECONDS / 2)
        finally:
            stage.client.execute_command("REPLICAOF", "NO", "ONE")
    stage.assert_done(stage.send_import())
    # As a reconciliation sends it again; who holds its message may have done so, too.
    stage.assert_done(stage.send(upload))


# Its message comes back only after the test.
LIMITS = {"CELERY_TASK_TIME_LIMIT": "5", "IBUTSU_TASKS_LEASE_SECONDS": "180"}


@pytest.mark.soak
def test_what_could_not_be_written_outlives_its_worker(stage: Stage) -> None:
    with stage.second_worker(LIMITS) as worker, stage.import_underway() as import_id:
        stage.database.hang()
        stage.wait_for(lambda: stage.client.exists(GAVE_UP), "the sentence to be kept")
        worker.process.kill()
    assert stage.status_of(import_id) == "running"
    stage.database.heal()
    # The one that was killed was about to write it, and kept others from it for as long as that may take.
    until(lambda: not stage.client.exists(GAVE_UP), LONGEST_SECONDS + 30)
    assert not stage.client.exists(GAVE_UP)
    assert stage.status_of(import_id) == "error"


@pytest.mark.soak
def test_a_worker_that_waits_for_its_broker_ends_when_it_is_told_to(stage: Stage) -> None:
    with stage.second_worker({}) as worker:
        stage.database.shut()
        import_id = stage.send_import()
        stage.wait_for_retry(import_id)
        stage.client.config_set("maxmemory", "1")
        words = ("the broker is away", "No message can be taken")
        until(lambda: any(one in worker.output for one in words), 60)
        started = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - started < 15
        assert stage.task_ids[import_id].encode() in stage.messages()
        stage.client.config_set("maxmemory", "0")


def test_an_import_revoked_while_the_database_is_away_ends_when_it_is_back(stage: Stage) -> None:
    stage.database.shut()
    import_id = stage.send_import()
    stage.wait_for_retry(import_id)
    control = create_client_app(stage.settings).control
    stage.wait_for(
        lambda: control.revoke(stage.task_ids[import_id], reply=True, timeout=2), "the worker to hear of it"
    )
    stage.wait_for(lambda: stage.client.exists(GAVE_UP), "the sentence to be kept")
    assert stage.status_of(import_id) == "pending"
    stage.database.heal()
    stage.wait_for(lambda: stage.status_of(import_id) == "error", "the sentence to be written")
    stage.wait_for(lambda: not stage.client.exists(GAVE_UP), "the end of it")
