"""A disk of the database or of the broker that fills up in the middle of imports: all are done, once."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg2
import pytest
from redis.exceptions import RedisError

from tests.chaos.small_disk import filled_up, small_disk
from tests.chaos.stage import data_directory, open_stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from redis import Redis

    from tests.chaos.stage import Stage


@contextmanager
def stage_on_a_small_disk(used_data_dir: Path, server: str, megabytes: int) -> Iterator[tuple[Stage, Path]]:
    """Have a stage of which one server has little room; give its directory, too."""
    with data_directory() as data_dir, small_disk(data_dir / server, megabytes):
        # A new cluster is made beside its place, and cannot be moved to another disk.
        shutil.copytree(used_data_dir, data_dir, dirs_exist_ok=True)
        with open_stage(data_dir) as stage:
            yield stage, data_dir / server
            print("\n".join(stage.new_output()))  # noqa: T201 - shown when a test fails


def assert_all_done(stage: Stage, import_ids: list[UUID]) -> dict[UUID, int]:
    """Wait for imports, whose rows are there once; count how often the task of each ended well."""
    for import_id in import_ids:
        stage.assert_done(import_id)
    stage.wait_for(lambda: not stage.messages(), "the end of the messages")
    assert {stage.outcome_of(one) for one in import_ids} == {"SUCCESS"}
    return {one: stage.count_said(f"{stage.task_ids[one]}] succeeded") for one in import_ids}


def test_the_database_has_no_room_left(used_data_dir: Path) -> None:
    with stage_on_a_small_disk(used_data_dir, "postgresql", megabytes=160) as (stage, disk):
        # The write-ahead log has room for some time then.
        stage.say("select pg_switch_wal()")
        uploads = [stage.store_import() for _ in range(4)]
        with ExitStack() as full:
            with stage.import_underway() as first:
                full.enter_context(filled_up(disk))
                import_ids = [first, *map(stage.send, uploads)]
            stage.wait_for_retry(first)
            assert "No space left on device" in stage.reason_of(first)
        assert set(assert_all_done(stage, import_ids).values()) == {1}


@pytest.mark.soak
def test_the_log_of_the_database_has_no_room_left_and_the_server_crashes(used_data_dir: Path) -> None:
    with stage_on_a_small_disk(used_data_dir, "postgresql", megabytes=160) as (stage, disk):
        with ExitStack() as full:
            with stage.import_underway() as first:
                import_ids = [first, *(stage.send_import() for _ in range(4))]
                full.enter_context(filled_up(disk))
                with suppress(psycopg2.Error):
                    stage.say("select pg_switch_wal()")
                    stage.say("checkpoint")
                stage.wait_for(lambda: "PANIC" in stage.servers.postgresql.log.read_text(), "the crash")
            stage.wait_for_retry(first)
        # It either recovered, or gave up for want of room.
        stage.wait_for(
            lambda: stage.servers.restart_ended() or stage.servers.postgresql.answers(), "the database"
        )
        assert set(assert_all_done(stage, import_ids).values()) == {1}


def refuses_writes(client: Redis) -> bool:
    try:
        client.set("more", bytes(4096))
    except RedisError as error:
        return "No space left on device" in str(error)
    return False


def test_the_broker_has_no_room_left(used_data_dir: Path) -> None:
    with stage_on_a_small_disk(used_data_dir, "valkey", megabytes=8) as (stage, disk):
        with stage.import_underway() as first:
            import_ids = [first, *(stage.send_import() for _ in range(4))]
            with filled_up(disk):
                stage.wait_for(lambda: refuses_writes(stage.client), "a broker that refuses")
                words = ("the broker is away", "could not be renewed")
                stage.wait_for(lambda: any(map(stage.count_said, words)), "word of it")
        # A result that could not be acknowledged is worked out again.
        assert_all_done(stage, import_ids)
