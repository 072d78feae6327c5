"""A database that freezes, fills up or restarts in the middle of an import: it is done all the same, once."""

from __future__ import annotations

import signal
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

import psutil
import psycopg2
import pytest

if TYPE_CHECKING:
    from tests.chaos.stage import Stage


@pytest.mark.parametrize("fault", ["hang", "one_way"])
def test_a_database_that_falls_silent(stage: Stage, fault: str) -> None:
    with stage.import_underway() as import_id:
        getattr(stage.database, fault)()
        stage.wait_for_retry(import_id)
    assert "fell silent in the middle of a statement" in stage.reason_of(import_id)
    stage.database.heal()
    stage.assert_done(import_id)


def test_a_database_that_is_frozen(stage: Stage) -> None:
    main = stage.servers.postgresql.process()
    assert main is not None
    with stage.import_underway() as import_id:
        frozen = [main, *main.children(recursive=True)]
        for process in frozen:
            process.suspend()
        try:
            stage.wait_for_retry(import_id)
        finally:
            for process in frozen:
                process.resume()
    stage.assert_done(import_id)


def test_a_database_without_a_connection_to_spare(stage: Stage) -> None:
    with ExitStack() as others:
        with stage.import_underway() as first, suppress(psycopg2.OperationalError):
            stage.say("select pg_terminate_backend(pid) from pg_stat_activity where query ~* '^copy'")
            while True:
                others.enter_context(closing(stage.connect()))
        stage.wait_for_retry(first)
        stage.wait_for(lambda: "too many clients" in stage.reason_of(first), "a server that is full")
    stage.assert_done(first)


@pytest.mark.parametrize("how", ["fast", "immediate", "killed"])
def test_a_database_that_restarts(stage: Stage, how: str) -> None:
    number = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "killed": signal.SIGKILL}[how]
    main = stage.servers.postgresql.process()
    assert main is not None
    with stage.import_underway() as import_id:
        family = [main, *main.children(recursive=True)]
        main.send_signal(number)
        psutil.wait_procs(family, 20)
        stage.wait_for_retry(import_id)
        stage.servers.restart_ended()
    stage.assert_done(import_id)
