"""The task package of the page on tasks of one's own, as it stands there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.commands import role, run, services, until
from tests.documentation import python_of
from tests.packaged import write_module

if TYPE_CHECKING:
    from pathlib import Path

    from ibutsu_tasks.resources import Resources


def test_the_package_of_the_page_works(
    broker_url: str, database_url: str, resources: Resources, tmp_path: Path
) -> None:
    for block in python_of("A task package"):
        (module,) = re.findall(r"\A# (shop/\w+)\.py\b", block)
        write_module(tmp_path, module.replace("/", "."), block)
    env = services(broker_url, database_url)
    env |= {"PYTHONPATH": str(tmp_path), "IBUTSU_TASKS_PACKAGES": "shop.package"}
    with role("worker", env=env) as worker:
        worker.wait_for("ready.")
        done = run("enqueue", "report", "day=2026-03-04", "--wait", "60", env=env)
        assert (done.returncode, done.stdout) == (0, '"2026-03-04"\n'), done.stderr
        until(lambda: resources.redis.get("shop:last-report"))
    assert resources.redis.get("shop:last-report") == b"2026-03-04"
