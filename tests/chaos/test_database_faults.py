"""A database that freezes, fills up or restarts in the middle of an import: it is done all the same, once."""

from __future__ import annotations

import re
import signal
from collections import Counter
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

import psutil
import psycopg2
import pytest

from tests.commands import role, until

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


def fill(stage: Stage, others: ExitStack) -> list[psycopg2.extensions.connection]:
    """Take every connection there is."""
    taken = []
    with suppress(psycopg2.OperationalError):
        while True:
            taken.append(others.enter_context(closing(stage.connect())))
    return taken


def test_a_database_without_a_connection_to_spare(stage: Stage) -> None:
    with ExitStack() as others:
        with stage.import_underway() as first:
            # All but the import's own, which is the only one left to take when it ends.
            ours = fill(stage, others)[0]
            ours.cursor().execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where query ~* '^copy'"
            )
            until(lambda: fill(stage, others), 10)
        stage.wait_for_retry(first)
        stage.wait_for(lambda: "too many clients" in stage.reason_of(first), "a server that is full")
    stage.assert_done(first)


@pytest.mark.soak
def test_more_imports_at_a_time_than_there_are_connections(stage: Stage) -> None:
    uploads = [stage.store_import() for _ in range(24)]
    with role("worker", "--concurrency", "4", "--hostname", "more@%h", env=stage.env) as more:
        more.wait_for("ready.")
        with ExitStack() as others:
            # Whoever has a connection is kept busy until those without one have tried.
            holder = others.enter_context(closing(stage.connect()))
            holder.cursor().execute("lock table artifacts in exclusive mode")
            fill(stage, others)[-1].close()
            import_ids = [stage.send(upload) for upload in uploads]
            stage.wait_for(lambda: "RETRY" in {stage.outcome_of(one) for one in import_ids}, "a retry")
            holder.rollback()
            stage.wait_for(lambda: "SUCCESS" in {stage.outcome_of(one) for one in import_ids}, "an import")
        for one in import_ids:
            stage.assert_done(one)
        said = "\n".join([*stage.new_output(), *more.lines])
    assert "too many clients" in said
    ended = Counter(re.findall(r"run_junit_import\[([0-9a-f-]+)\] succeeded", said))
    assert ended == Counter(stage.task_ids[one] for one in import_ids)
    assert "raised unexpected" not in said


@pytest.mark.parametrize("how", ["fast", pytest.param("immediate", marks=pytest.mark.soak), "killed"])
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
