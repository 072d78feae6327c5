from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.resources import Resources
from ibutsu_tasks.settings import load_settings
from ibutsu_tasks.tasks.later import Writer
from tests.commands import services

if TYPE_CHECKING:
    import pytest


def test_a_pool_process_can_be_forked_while_the_thread_works() -> None:
    """Nothing is made in the thread whose lock, held at the moment of the fork, the child would wait for."""
    settings = load_settings(environ=services("redis://127.0.0.1:1/0", "postgresql://a@127.0.0.1:1/b"))
    of_worker = Resources(settings, "worker")
    writer = Writer(of_worker)
    assert {"redis", "engine"} <= vars(writer._resources).keys()
    assert "brief_redis" in vars(of_worker)
    writer._resources.close()
    of_worker.close()


def test_what_fails_in_each_round_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings(environ=services("redis://127.0.0.1:1/0", "postgresql://a@127.0.0.1:1/b"))
    of_worker = Resources(settings, "worker")
    writer = Writer(of_worker)
    outcomes = iter([True, True, True, False, True])

    def fail(_: Resources) -> None:
        if next(outcomes):
            raise ValueError("a key of a wrong type")

    for _ in range(5):
        assert writer._try(fail)
    assert [record.getMessage() for record in caplog.records] == ["what was kept could not be written"] * 2
    writer._resources.close()
    of_worker.close()
