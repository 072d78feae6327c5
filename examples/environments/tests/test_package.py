"""What the package declares, as the commands see it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from environments.models import Environment
from environments.package import PACKAGE
from examples.environments.tests.conftest import until
from ibutsu_tasks.celery_app import create_celery_app, tasks_of
from ibutsu_tasks.sending.messages import queue_of

if TYPE_CHECKING:
    from examples.environments.tests.conftest import World

README = Path(__file__).parents[1] / "README.md"

SCHEDULE = {
    "stale-environments": ("environments.cleanup_stale_environments", "0 * * * *"),
    "old-environments": ("environments.cleanup_old_environments", "30 3 * * *"),
    "failed-environments": ("environments.retry_failed_environments", "*/15 * * * *"),
}


def test_it_is_found_by_its_entry_point(idle_world: World) -> None:
    (shown,) = json.loads(idle_world.system.command("packages", "--json").stdout)["packages"]
    assert (shown["name"], shown["said_by"]) == ("environments", "installed with environments 0.1.0")


def test_the_schedule_has_its_three_tasks(idle_world: World) -> None:
    shown = json.loads(idle_world.system.command("schedule", "list", "--json").stdout)["entries"]
    assert {one["name"]: (one["task"], one["when"]) for one in shown} == SCHEDULE


def test_each_task_has_its_queue_and_the_limits_of_all(idle_world: World) -> None:
    tasks = tasks_of(PACKAGE)
    assert len(tasks) == 6
    for name, task in tasks.items():
        queue = "environment" if name.endswith("_environment") else "cleanup"
        assert queue_of(idle_world.app, name) == queue
        assert (task.soft_time_limit, task.time_limit) == (1500, 1800)
        assert (task.policy.retries, task.policy.most_losses) == (0, 1)


def test_one_message_at_a_time_is_taken_and_acknowledged_when_it_is_done(idle_world: World) -> None:
    conf = create_celery_app(settings=idle_world.settings).conf
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_acks_late


def test_results_are_kept_for_an_hour(world: World) -> None:
    environment = world.add()
    task_id = world.send("provision_environment", environment)
    assert world.outcome(task_id).succeeded
    assert 0 < world.redis.ttl(f"celery-task-meta-{task_id}") <= 3600


def test_what_the_readme_has_a_producer_do_is_done(world: World) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    env = {**os.environ, **world.env}
    subprocess.run([sys.executable, "-c", program], env=env, check=True, timeout=120)

    def state() -> str:
        with world.system.session() as session:
            return session.scalars(select(Environment.state)).one()

    until(lambda: state() == "READY")
