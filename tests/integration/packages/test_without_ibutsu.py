"""A system without anything of Ibutsu: every command works on the packages that are there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.commands import environment, role, run, until

if TYPE_CHECKING:
    from tests.packaged import Workshop


def test_every_command_works_on_the_workshop_alone(workshop: Workshop) -> None:
    env = workshop.env
    done = run("enqueue", "make", "piece_id=stool", "--wait", "60", env=env)
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
    listed = run("enqueue", "--json", env=env)
    assert all(one["name"].startswith("workshop.") for one in json.loads(listed.stdout)["tasks"])
    with role("beat", env=env) as beat:
        beat.wait_for("this beat leads now")
        until(lambda: "sending every-second" in beat.output)
        report = json.loads(run("doctor", "--json", env=env).stdout)
        assert {one["code"] for one in report["findings"] if one["severity"] == "failure"} == set()
        assert {"WS-D00", "WS-T00", "IBT-K00", "IBT-D00"} <= {one["code"] for one in report["findings"]}
        checked = run("deploy", "check", "--json", env=env)
    assert checked.returncode in {0, 1}, checked.stderr
    findings = {one["code"]: one["seen"] for one in json.loads(checked.stdout)["findings"]}
    assert findings["IBT-A78"] == "Not checked: no task package declares a canary."
    page = run("metrics", env=env)
    assert page.returncode == 0, page.stderr
    assert 'queue="work"' in page.stdout
    assert "ibutsu_tasks_import" not in page.stdout
    assert run("schedule", env=env).returncode == 0
    dead = json.loads(run("dead", "list", "--json", env=env).stdout)
    assert "workshop.make" not in str(dead)


def test_nothing_of_ibutsu_is_loaded(workshop: Workshop) -> None:
    code = (
        "import sys; from ibutsu_tasks.celery_app import create_celery_app; app = create_celery_app();"
        "assert 'workshop.make' in app.tasks; print([one for one in sys.modules if '.ibutsu.' in one])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(**workshop.env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr
