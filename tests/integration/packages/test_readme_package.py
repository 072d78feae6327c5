"""The package of the README's section "Your own tasks", as it stands there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.commands import role, run, services, until
from tests.documentation import README
from tests.packaged import write_module

if TYPE_CHECKING:
    from pathlib import Path

    from ibutsu_tasks.resources import Resources


def test_the_package_of_the_readme_works(
    broker_url: str, database_url: str, resources: Resources, tmp_path: Path
) -> None:
    section = README.read_text(encoding="utf-8").partition("\n## Your own tasks\n")[2].partition("\n## ")[0]
    modules = re.findall(r"```python\n# (shop/\w+)\.py\b[^\n]*\n(.*?)```", section, re.DOTALL)
    for path, text in modules:
        write_module(tmp_path, path.replace("/", "."), text)
    env = services(broker_url, database_url)
    env |= {"PYTHONPATH": str(tmp_path), "IBUTSU_TASKS_PACKAGES": "shop.package"}
    with role("worker", env=env) as worker:
        worker.wait_for("ready.")
        done = run("enqueue", "report", "day=2026-03-04", "--wait", "60", env=env)
        assert (done.returncode, done.stdout) == (0, '"2026-03-04"\n'), done.stderr
        until(lambda: resources.redis.get("shop:last-report"))
    assert resources.redis.get("shop:last-report") == b"2026-03-04"
