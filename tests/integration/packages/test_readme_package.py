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


def write_package(directory: Path, heading: str) -> None:
    for block in python_of(heading):
        (module,) = re.findall(r"\A# (\w+/\w+)\.py\b", block)
        write_module(directory, module.replace("/", "."), block)


def test_the_package_of_the_page_works(
    broker_url: str, database_url: str, resources: Resources, tmp_path: Path
) -> None:
    write_package(tmp_path, "A task package")
    env = services(broker_url, database_url)
    env |= {"PYTHONPATH": str(tmp_path), "IBUTSU_TASKS_PACKAGES": "shop.package"}
    with role("worker", env=env) as worker:
        worker.wait_for("ready.")
        done = run("enqueue", "report", "day=2026-03-04", "--wait", "60", env=env)
        assert (done.returncode, done.stdout) == (0, '"2026-03-04"\n'), done.stderr
        until(lambda: resources.redis.get("shop:last-report"))
    assert resources.redis.get("shop:last-report") == b"2026-03-04"


def test_the_format_of_the_page_is_read(tmp_path: Path) -> None:
    write_package(tmp_path, "A format to import")
    (tmp_path / "a.tap").write_text("1..2\nok 1 - opens\nnot ok 2 - closes\n", encoding="utf-8")
    env = {"PYTHONPATH": str(tmp_path), "IBUTSU_TASKS_PACKAGES": "tap.package"}
    assert run("packages", env=env).returncode == 0
    done = run("lint", "a.tap", env=env, cwd=tmp_path)
    assert "2 tests: 1 passed, 1 failed" in done.stdout, done.stdout + done.stderr
