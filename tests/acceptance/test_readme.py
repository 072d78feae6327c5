"""Every line of the README, and of its page on tasks of one's own, runs as it stands."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.client import Client
from tests.commands import PROGRAM, Running, environment, role, services, type_at_the_question, until
from tests.documentation import OWN_TASKS, ROOT, lines_of, python_of
from tests.factories import make_artifact, make_result, make_run, utc_now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

BACKUP = "/backup/ibutsu"


def shell(line: str, env: dict[str, str]) -> None:
    """Run a line from the root of the project and expect it to go well."""
    ran = subprocess.run(
        ["bash", "-c", line],
        cwd=ROOT,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, (line, ran.stdout, ran.stderr)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"}


def test_the_first_command(env: dict[str, str]) -> None:
    (line,) = lines_of("Try it")
    install, last = line.rsplit(" && ", 1)
    assert "pip install '.[local]'" in install
    shell(last, env)


def test_how_tos(
    env: dict[str, str], broker_url: str, database_url: str, session: Session, tmp_path: Path
) -> None:
    env |= services(broker_url, database_url)
    old = utc_now() - timedelta(days=1000)
    make_artifact(session, make_result(session, make_run(session, start_time=old), start_time=utc_now()))
    session.commit()
    with role("worker", env=env) as worker:
        worker.wait_for("ready.")
        for line in lines_of("How to"):
            follow(line.replace(BACKUP, str(tmp_path / "backup")), env)


def follow(line: str, env: dict[str, str]) -> None:
    program, *arguments = shlex.split(line)
    assert program == "ibutsu-tasks"
    if arguments[0] == "worker":
        with Running("bash", "-c", f"exec {line}", env=env) as worker:
            worker.wait_for("ready.")
            assert worker.stop() == 0
    elif arguments[0] == "prune" and not {"--dry-run", "--yes"} & set(arguments):
        code, output = type_at_the_question(env, "y\n", *arguments)
        assert code == 0, (line, output)
    else:
        shell(line, env)


def test_a_producer(broker_url: str) -> None:
    (program,) = python_of("Sending from Python")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(CELERY_BROKER_URL=broker_url),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    _, state, was_cancelled, then = done.stdout.split()
    assert (state, was_cancelled, then) == ("PENDING", "True", "REVOKED")


SHOP_MODELS = """
from flask_sqlalchemy import SQLAlchemy
db = SQLAlchemy()
class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)
"""
SHOP_WEB = """
import os
from flask import Flask
from shop.models import db
def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SQLALCHEMY_DATABASE_URI"]
    db.init_app(app)
    with app.app_context():
        db.create_all()
    import shop.tasks
    return app
"""


def test_a_flask_application(env: dict[str, str], settings: Settings, tmp_path: Path) -> None:
    (tasks,) = python_of("With Flask")
    (tmp_path / "shop").mkdir()
    for name, program in (("models", SHOP_MODELS), ("web", SHOP_WEB), ("tasks", tasks)):
        (tmp_path / "shop" / f"{name}.py").write_text(program, encoding="utf-8")
    env |= services(settings.require_broker(), settings.require_database()) | {"PYTHONPATH": str(tmp_path)}
    lines = "; ".join(lines_of("With Flask", OWN_TASKS))
    with Running("bash", "-c", lines, env=env) as worker, closing(Client(settings)) as client:
        worker.wait_for("ready.")
        ordered = client.send("shop.order")
        until(lambda: ordered.status().has_ended, 30)
        counted = client.send("shop.count")
        until(lambda: counted.status().has_ended, 30)
        assert counted.status().result == 1, worker.output
