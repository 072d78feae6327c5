"""Tasks inside a Flask application: its context, and the session of its Flask-SQLAlchemy."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from sqlalchemy import text

from ibutsu_tasks.broker.connection import address_of, build_client
from ibutsu_tasks.broker.layout import UNACKED
from ibutsu_tasks.client import Client, Status
from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.flask import create_flask_celery_app
from ibutsu_tasks.settings import load_settings
from ibutsu_tasks.tasks.flask import load_flask_app
from tests.commands import environment, role, run, run_here, services, until
from tests.documentation import ROOT
from tests.doors import forwarding
from tests.factories import make_result, make_run
from tests.test_architecture import loaded_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

NAMES = "IBUTSU_TASKS_FLASK_APP"
CHECKOUT = os.environ.get("IBUTSU_SERVER_CHECKOUT")


@pytest.fixture
def env(broker_url: str, database_url: str) -> dict[str, str]:
    own = {NAMES: "tests.notes.web:create_app", "IBUTSU_TASKS_PACKAGES": "tests.notes.package"}
    return services(broker_url, database_url) | own | {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with closing(Client(settings)) as one:
        yield one


def notes(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return {f"{words} by {author}" for words, author in connection.execute(_NOTES)}


_NOTES = text("select text, author from notes")


def carry_out(client: Client, name: str, *args: object, **kwargs: object) -> Status:
    sent = client.send(name, args, kwargs)
    until(lambda: sent.status().has_ended, 60)
    return sent.status()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_tasks_run_inside_the_application(
    pool: str, env: dict[str, str], client: Client, engine: Engine, session: Session
) -> None:
    update_run = "ibutsu_server.tasks.runs.update_run"
    run_row = make_run(session)
    make_result(session, run_row)
    session.commit()
    cancelled = client.send("notes.later", ["never"])
    assert client.cancel(cancelled.task_id)
    with role("worker", "--concurrency", "1", "--", "--pool", pool, env=env) as worker:
        worker.wait_for("ready.")
        pid, _, backend = carry_out(client, "notes.keep", "one").result
        assert (pid == worker.process.pid) == (pool == "solo")
        assert f"the application was made on connection {backend}\n" not in f"{worker.output}\n"
        failed = carry_out(client, "notes.fail", "two")
        assert (failed.state, failed.error) == ("FAILURE", "ValueError: two")
        # The one connection went back to its pool, and is used again.
        assert carry_out(client, "notes.keep", "three").result == [pid, 0, backend]
        # With its own and what `never` was told.
        until(lambda: len(notes(engine)) == 3, 30)
        assert carry_out(client, "notes.plain", "four").result == 4
        assert carry_out(client, "notes.follow", "five", fails=False).state == "SUCCESS"
        assert carry_out(client, "notes.follow", "six", fails=True).state == "FAILURE"
        assert carry_out(client, "notes.second_time", "seven").state == "SUCCESS"
        assert carry_out(client, "notes.cut_off", "eight").state == "SUCCESS"
        # What its base does at the end is in the same context, too.
        assert carry_out(client, "notes.own_base", "nine").state == "SUCCESS"
        # Of two tasks of one name, it is the package's that runs.
        assert carry_out(client, update_run, str(run_row.id)).state == "SUCCESS"
        wanted = {f"{words} by somebody" for words in ("one", "three", "four", "seven 1", "eight 1")}
        wanted |= {"nine by somebody", "nine has ended by somebody"}
        wanted |= {"five by the transaction", "five, followed by somebody"}
        wanted |= {"never: It was revoked before it began. by somebody"}
        until(lambda: notes(engine) == wanted, 30)
        assert notes(engine) == wanted, worker.output
        assert "the database is away" in worker.output
        with build_client(env["CELERY_BROKER_URL"]) as redis:
            # What failed is over.
            until(lambda: not redis.hlen(UNACKED), 30)
            assert not redis.hlen(UNACKED)
    assert worker.process.returncode == 0
    assert worker.output.count("the application was made") == 1


def test_a_task_runs_right_here_inside_the_application(env: dict[str, str], engine: Engine) -> None:
    done = run("enqueue", "follow", "words=here", "fails=false", "--local", env=env)
    assert done.returncode == 0, done.stderr
    assert notes(engine) == {"here by the transaction", "here, followed by somebody"}
    failed = run("enqueue", "follow", "words=there", "fails=true", "--local", env=env)
    assert failed.returncode == 1
    assert "ValueError: there" in failed.stderr
    assert len(notes(engine)) == 2


WITHOUT_BROKER = """
import sys, time
from ibutsu_tasks.client import send
sent = send("notes.keep", ["alone"])
while not sent.status().has_ended:
    time.sleep(0.05)
print(sent.is_local, sent.status())
"""


def test_a_producer_without_broker_runs_it_inside_the_application(
    env: dict[str, str], engine: Engine
) -> None:
    env |= {"IBUTSU_TASKS_LOCAL_FALLBACK": "1", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    done = python(WITHOUT_BROKER, env)
    assert done.stdout.startswith("True Status(state='SUCCESS', result=["), (done.stdout, done.stderr)
    assert notes(engine) == {"alone by somebody"}


def python(program: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment(**env),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_beat_loads_the_application(env: dict[str, str]) -> None:
    with role("beat", env=env) as beat:
        beat.wait_for("this beat leads now")
        assert "the application was made" in beat.output


FLOWER = """
import sys
from ibutsu_tasks.celery_app import create_app_variant
create_app_variant("flower")
assert "flask" not in sys.modules
"""


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "worker --help",
        "enqueue",
        "enqueue update_run run_id=x",
        "schedule list",
        "doctor --only broker",
        "config",
        "dead list",
    ],
)
def test_what_needs_the_broker_alone_never_loads_flask(command: str, env: dict[str, str]) -> None:
    env.pop("IBUTSU_TASKS_PACKAGES")  # its tasks import Flask themselves
    assert "flask" not in loaded_by(command, **env)


def test_flower_never_loads_flask(env: dict[str, str]) -> None:
    assert python(FLOWER, env).returncode == 0


def test_an_application_makes_its_own(settings: Settings) -> None:
    program = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from flask import Flask\n"
        "from ibutsu_tasks.flask import create_flask_celery_app\n"
        "app = Flask('own')\n"
        "celery = create_flask_celery_app(app, name='own_tasks')\n"
        "assert app.extensions['celery'] is celery and celery.main == 'own_tasks'\n"
        "from celery import shared_task\n"
        "from flask import current_app\n"
        "@shared_task\n"
        "def name(): return current_app.name\n"
        "with ThreadPoolExecutor(1) as thread:\n"
        "    thread.submit(name.delay).result()\n"
        "print(name.apply().get(), name())\n"
    )
    env = services(settings.require_broker(), settings.require_database())
    done = python(program, env)
    assert done.stdout.split() == ["own", "own"], done.stderr
    with build_client(settings.require_broker()) as redis:
        assert redis.llen("celery") == 1
    with pytest.raises(SettingsError, match="CELERY_BROKER_URL and POSTGRESQL_HOST"):
        create_flask_celery_app(Flask("bare"), settings=load_settings(environ={}))


def test_a_wrapped_application_is_one_too() -> None:
    settings = load_settings(environ={NAMES: "tests.notes.web:wrapped"})
    assert load_flask_app(settings).name == "wrapped"


SECRET = "postgresql://u:hunter2@127.0.0.1:1/d"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("no.such:app", "cannot be used: ModuleNotFoundError: No module named 'no'"),
        ("tests.notes.web:nothing", "cannot be used: AttributeError: module 'tests.notes.web' has no"),
        ("sys:exit", "cannot be used: SystemExit: "),
        ("tests.notes.web:db", "gives no Flask application but SQLAlchemy."),
        ("tests.notes.web:SimpleNamespace", "gives no Flask application but SimpleNamespace."),
        (
            "tests.notes.web:create_nothing",
            "cannot be used: RuntimeError: no connection to postgresql://u:***@",
        ),
    ],
)
def test_what_is_no_application_is_one_sentence(
    value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLALCHEMY_DATABASE_URI", SECRET)
    monkeypatch.setenv(NAMES, value)
    with pytest.raises(SettingsError) as caught:
        load_flask_app(load_settings())
    assert str(caught.value).startswith(f"{NAMES}={value} {sentence}")
    assert "hunter2" not in str(caught.value)


def test_a_role_says_that_sentence(env: dict[str, str]) -> None:
    done = run("worker", env=env | {NAMES: "tests.notes.web:db"})
    assert done.returncode == 3
    assert f"{NAMES}=tests.notes.web:db gives no Flask application" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_here("config", env={NAMES: "app"})
    assert done.returncode == 3
    assert "must be module:name, not 'app'" in done.stdout


def test_without_flask_it_is_said_what_to_install(env: dict[str, str]) -> None:
    without = "import sys\nsys.modules['flask'] = None\n"
    sentence = "Flask is not installed: `pip install 'ibutsu-tasks[flask]'` brings it."
    for program in (
        "import ibutsu_tasks.flask",
        "from ibutsu_tasks.__main__ import main\nsys.argv = ['ibutsu-tasks', 'beat']\nsys.exit(main())",
    ):
        done = python(without + program, env)
        assert done.returncode in {1, 3}
        assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not CHECKOUT, reason="IBUTSU_SERVER_CHECKOUT names no checkout of an Ibutsu server")
@pytest.mark.parametrize("without", ["", "ibutsu"], ids=["the package's tasks", "the server's own"])
def test_an_ibutsu_server(
    without: str, broker_url: str, database_url: str, session: Session, client: Client
) -> None:
    row = make_run(session)
    make_result(session, row)
    session.commit()
    with forwarding(Path(address_of(broker_url).path or "")) as port:
        # The server's own lock knows no Redis at a socket of Celery's spelling.
        tcp_url = f"redis://127.0.0.1:{port}/0"
        env = services(tcp_url, database_url) | {
            NAMES: "ibutsu_server:flask_app",
            "CELERY_RESULT_BACKEND": tcp_url,
            "IBUTSU_TASKS_WITHOUT_PACKAGES": without,
            "PYTHONPATH": str(Path(CHECKOUT or "") / "backend"),
        }
        with role("worker", env=env) as worker:
            worker.wait_for("ready.")
            done = carry_out(client, "ibutsu_server.tasks.runs.update_run", str(row.id))
            assert done.state == "SUCCESS", done.error
            assert worker.stop() == 0
    session.refresh(row)
    assert (row.summary or {})["tests"] == 1
