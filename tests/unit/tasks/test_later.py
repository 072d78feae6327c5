from __future__ import annotations

from ibutsu_tasks.resources import Resources
from ibutsu_tasks.settings import load_settings
from ibutsu_tasks.tasks.later import Writer
from tests.commands import services


def test_a_pool_process_can_be_forked_while_the_thread_works() -> None:
    """Nothing is made in the thread whose lock, held at the moment of the fork, the child would wait for."""
    settings = load_settings(environ=services("redis://127.0.0.1:1/0", "postgresql://a@127.0.0.1:1/b"))
    of_worker = Resources(settings, "worker")
    writer = Writer(of_worker)
    assert {"redis", "engine"} <= vars(writer._resources).keys()
    assert "brief_redis" in vars(of_worker)
    writer._resources.close()
    of_worker.close()
