"""`import`: files become runs through the queue, as an upload to the API server would."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from celery import Celery
from sqlalchemy import func, select

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.job_updates import CHANNEL, JobUpdate, publish
from ibutsu_tasks.ibutsu.database.models import Import, ImportFile, Project, Result, Run
from tests.commands import PROGRAM, Running, environment, role, run, run_here, services, until
from tests.doors import dead_port
from tests.factories import make_import, make_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

JUNIT = """<?xml version="1.0"?>
<testsuite name="shop" time="1.5">
  <testcase classname="shop.test_basket" name="test_add" time="0.5"/>
  <testcase classname="shop.test_basket" name="test_remove" time="1.0"><failure>no</failure></testcase>
</testsuite>
"""


@pytest.fixture
def env(broker_url: str, database_url: str) -> dict[str, str]:
    return services(broker_url, database_url)


@pytest.fixture
def worker(env: dict[str, str]) -> Iterator[None]:
    with role("worker", env=env) as running:
        running.wait_for("ready.")
        yield


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    path = tmp_path / "shop.xml"
    path.write_text(JUNIT, encoding="utf-8")
    return path


def imports(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["imports"]
    return found


def somebody_follows(broker_url: str) -> bool:
    with build_client(broker_url) as client:
        [(_, listeners)] = client.pubsub_numsub(CHANNEL)
    return bool(listeners)


@pytest.mark.usefixtures("worker")
def test_files_become_runs_and_bad_ones_are_named(
    env: dict[str, str], session: Session, junit: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "report.data"
    renamed.write_bytes(junit.read_bytes())
    bad = {"cut.xml": JUNIT[:120], "empty.xml": "", "page.xml": "<html></html>", "words.txt": "hello"}
    for name, text in bad.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    # Its name says archive: what it is is told by its content.
    (tmp_path / "archive.tar.gz").write_bytes(junit.read_bytes())
    files = [junit, renamed, tmp_path / "archive.tar.gz", *(tmp_path / name for name in bad)]
    done = run("import", *map(str, files), str(tmp_path), str(tmp_path / "nowhere.xml"), env=env)
    assert done.returncode == 1, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split()[:3] == ["file", "run", "id"]
    assert [row.split()[0] for row in rows] == ["shop.xml", "report.data", "archive.tar.gz"]
    for row in rows:
        cells = row.split()
        assert cells[2:11] == ["2", "1", "1", "0", "0", "0", "0", "50", "%"]
        counted = select(func.count()).where(Result.run_id == UUID(cells[1]))
        assert session.scalar(counted) == 2
    sentences = [line for line in done.stderr.splitlines() if line.startswith("Not imported: ")]
    assert len(sentences) == len(bad) + 2
    for name in (*bad, "nowhere.xml"):
        assert any(name in sentence for sentence in sentences), name
    assert f"Not imported: {tmp_path} is a directory." in sentences
    assert "Traceback" not in done.stderr
    # What was refused by its import is in the rows, where the web page finds it.
    states = {row.filename: row.status for row in session.scalars(select(Import))}
    assert states == {path.name: "done" for path in files[:3]} | dict.fromkeys(bad, "error")


@pytest.mark.usefixtures("worker")
def test_of_a_broken_file_the_test_cases_before_the_break_are_kept(
    env: dict[str, str], session: Session, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.xml"
    cut.write_text(JUNIT[: JUNIT.index("<failure>")], encoding="utf-8")
    refused = run("import", str(cut), env=env)
    assert refused.returncode == 1
    assert "Not imported: cut.xml, line 4: the file ends too early" in refused.stderr

    kept = run("import", "--partial", str(cut), env=env)
    assert kept.returncode == 0, kept.stderr
    (line,) = kept.stderr.splitlines()
    assert line.startswith("Imported in part: cut.xml, line 4: the file ends too early")
    assert line.endswith("The one test case before that was kept.")
    partial = session.scalars(select(Import).where(Import.status == "done")).one()
    (one,) = imports(run("import", "--json", "--follow", str(partial.id), env=env))
    assert (one["status"], one["tests"]) == ("done", 1)
    assert one["partial"] == line.removeprefix("Imported in part: ") == (partial.data or {})["partial"]


@pytest.mark.usefixtures("worker")
def test_what_goes_along_is_on_the_run(env: dict[str, str], session: Session, junit: Path) -> None:
    make_project(session, "shop")
    session.commit()
    words = ("import", str(junit), "--json", "--source", "nightly", "-m", "build=12", "-m", "env=stage 1")
    done = run(*words, "--project", "sho", env=env)
    assert (done.returncode, json.loads(done.stdout)["error"]) == (1, "There is no project sho.")
    assert "There is no project sho." in done.stderr
    assert "Did you mean shop?" in done.stderr
    assert session.scalar(select(func.count()).select_from(Import)) == 0

    for project in ("shop", "bakery"):
        done = run(*words, "--project", project, "--create-project", env=env)
        assert done.returncode == 0, done.stderr
        (one,) = imports(done)
        session.expire_all()
        row = session.get_one(Run, UUID(one["run_id"]))
        project_id = session.scalar(select(Project.id).where(Project.name == project))
        assert (row.project_id, row.source, row.env) == (project_id, "nightly", "stage 1")
        assert (row.data or {})["build"] == 12
        assert (one["status"], one["tests"], one["passed"], one["failed"]) == ("done", 2, 1, 1)
        assert one["took_seconds"] > 0
    assert session.scalar(select(func.count()).select_from(Project)) == 2


def test_message_is_the_api_servers(
    env: dict[str, str], broker_url: str, session: Session, junit: Path
) -> None:
    make_project(session, "shop")
    session.commit()
    done = run("import", str(junit), "--no-wait", "--project", "shop", "-m", "a=1", "--source", "s", env=env)
    assert done.returncode == 0, done.stderr
    assert "(pending)" in done.stdout
    row = session.scalars(select(Import)).one()
    project_id = session.scalars(select(Project.id)).one()
    assert row.data == {"project_id": str(project_id), "metadata": {"a": 1}, "source": "s"}
    assert (row.filename, row.format, row.status) == ("shop.xml", "", "pending")
    assert session.scalars(select(ImportFile.content)).one() == junit.read_bytes()

    with build_client(broker_url) as client:
        raw = client.lpop("celery")
        assert client.llen("celery") == 0
        import_ = {
            "id": str(row.id),
            "filename": "shop.xml",
            "format": "",
            "status": "pending",
            "created": row.created,
            "metadata": {"project_id": str(project_id), "metadata": {"a": 1}, "source": "s"},
        }
        app = Celery("ibutsu_server", broker=broker_url, set_as_current=False)
        app.send_task("ibutsu_server.tasks.importers.run_junit_import", (import_,))
        app.close()
        expected = client.lpop("celery")
    assert isinstance(raw, bytes)
    assert isinstance(expected, bytes)
    message, reference = json.loads(raw), json.loads(expected)
    body = base64.b64decode(message["body"])
    assert body == base64.b64decode(reference["body"])
    moment = f'{{"__type__": "datetime", "__value__": "{row.created.isoformat()}"}}'
    assert f'"status": "pending", "created": {moment}' in body.decode()
    for name in ("task", "argsrepr", "kwargsrepr", "eta", "retries", "timelimit", "ignore_result"):
        assert message["headers"][name] == reference["headers"][name], name
    assert message["headers"].keys() == reference["headers"].keys()
    for name in ("content-type", "content-encoding"):
        assert message[name] == reference[name]


def test_a_terminal_shows_how_far_a_large_file_is(
    env: dict[str, str], broker_url: str, session: Session, junit: Path
) -> None:
    """The worker is this test: it tells what a worker would, and ends the import."""
    with (
        build_client(broker_url) as client,
        Running(PROGRAM, "import", str(junit), env=env | {"FORCE_COLOR": "1"}) as command,
    ):
        until(lambda: session.rollback() or session.scalars(select(Import)).first())
        row = session.scalars(select(Import)).one()
        update = JobUpdate("a-task", str(row.id), "running", 50_000_000, 400_000_000, "celery@here")
        until(lambda: publish(client, asdict(update)) or "50.0 MB" in command.output)
        row.status, row.data = "error", {"error": "shop.xml is a test."}
        session.commit()
        publish(client, asdict(replace(update, status="error")))
        assert command.process.wait(60) == 1
        command.wait_for("shop.xml is a test.")
    output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", command.output)
    assert "0/1 file " in output
    assert "50.0 MB of 400 MB" in output
    assert "Not imported: shop.xml is a test." in output


def test_the_end_is_seen_without_redis(env: dict[str, str], session: Session) -> None:
    row = make_import(session, b"", status="error", data={"error": "It is bad."})
    session.commit()
    dead = env | {"CELERY_BROKER_URL": f"redis://127.0.0.1:{dead_port()}/0"}
    done = run("import", "--follow", str(row.id), env=dead)
    assert done.returncode == 1, done.stderr
    assert "It is bad." in done.stderr


def test_without_a_worker_it_is_said_and_time_runs_out(
    env: dict[str, str], session: Session, junit: Path
) -> None:
    done = run("import", str(junit), "--wait", "4.5", env=env)
    assert done.returncode == 124, done.stderr
    assert done.stderr.count("No worker answers. Start one with `ibutsu-tasks worker`.") == 1
    row = session.scalars(select(Import)).one()
    assert f"ibutsu-tasks import --follow {row.id}" in done.stderr
    with role("worker", env=env) as worker:
        worker.wait_for("ready.")
        done = run("import", "--follow", str(row.id), "--json", env=env)
    assert done.returncode == 0, done.stderr
    (one,) = imports(done)
    assert (one["file"], one["status"], one["tests"]) == ("shop.xml", "done", 2)


def test_ctrl_c_says_that_the_imports_go_on(env: dict[str, str], broker_url: str, junit: Path) -> None:
    with Running(PROGRAM, "import", str(junit), env=env) as command:
        until(lambda: somebody_follows(broker_url))
        assert command.stop(signal.SIGINT) == 130
    assert "Interrupted; the imports continue." in command.output
    assert "Traceback" not in command.output


def test_a_broker_that_refuses_the_message_leaves_a_pending_row(
    env: dict[str, str], broker_url: str, session: Session, junit: Path
) -> None:
    with build_client(broker_url) as client:
        client.set("celery", "no list")
    done = run("import", str(junit), env=env)
    assert done.returncode == 4, done.stderr
    row = session.scalars(select(Import)).one()
    assert row.status == "pending"
    assert "shop.xml is stored and stays pending" in done.stderr
    command = f"""ibutsu-tasks enqueue run_junit_import import_='{{"id": "{row.id}"}}'"""
    assert command in done.stderr
    with build_client(broker_url) as client:
        client.delete("celery")
    with role("worker", env=env) as worker:
        worker.wait_for("ready.")
        words = ("enqueue", "run_junit_import", f'import_={{"id": "{row.id}"}}', "--wait", "100")
        assert run(*words, env=env).returncode == 0
    session.refresh(row)
    assert row.status == "done"


def test_without_waiting_the_ids_are_named(env: dict[str, str], session: Session, junit: Path) -> None:
    done = run("import", str(junit), str(junit), "--no-wait", env=env)
    ids = set(map(str, session.scalars(select(Import.id))))
    assert (done.returncode, done.stderr.count("--follow")) == (0, 2)
    assert "Look again with: ibutsu-tasks import --follow " in done.stderr
    assert ids == {word for word in done.stderr.split() if word in ids}

    done = run("import", *[str(junit)] * 8, "--no-wait", env=env)
    assert done.stderr.count("--follow") == 5
    assert done.stderr.endswith(" and 3 more; --json lists all\n")
    done = run("import", str(junit), "--no-wait", "--json", env=env)
    assert done.stderr == ""
    assert imports(done)[0]["import_id"]


def test_an_interrupted_document_still_has_the_ids(
    env: dict[str, str], broker_url: str, session: Session, junit: Path
) -> None:
    with Running(PROGRAM, "import", str(junit), "--json", env=env) as command:
        until(lambda: somebody_follows(broker_url))
        assert command.stop(signal.SIGINT) == 130
    assert f'"import_id": "{session.scalars(select(Import.id)).one()}"' in command.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_it_sends_leaves_the_ids_of_what_was_sent(
    env: dict[str, str], session: Session, junit: Path, number: int, code: int
) -> None:
    with Running(PROGRAM, "import", *[str(junit)] * 2000, "--json", env=env) as command:
        until(lambda: session.scalar(select(func.count()).select_from(Import)))
        assert command.stop(number) == code
    document = json.loads(command.output[: command.output.rindex("}") + 1])
    sent = {one["import_id"] for one in document["imports"]}
    assert sent == set(map(str, session.scalars(select(Import.id))))
    assert 0 < len(sent) == 2000 - len(document["not_sent"]) < 2000
    assert all(one["task_id"] for one in document["imports"])
    assert command.output.count("--follow") == len(sent)
    assert "Traceback" not in command.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait_for_stdin(
    env: dict[str, str], session: Session, junit: Path, number: int, code: int
) -> None:
    argv = [PROGRAM, "import", str(junit), "-"]
    with subprocess.Popen(
        argv, env=environment(**env), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        until(lambda: session.scalar(select(func.count()).select_from(Import)))
        time.sleep(0.5)
        command.send_signal(number)
        assert command.wait(30) == code
        assert command.stderr is not None
        told = command.stderr.read()
    assert f"--follow {session.scalars(select(Import.id)).one()}" in told
    assert "Not sent: -." in told
    assert "Traceback" not in told


@pytest.mark.usefixtures("worker")
def test_stdin_is_a_file(env: dict[str, str], session: Session) -> None:
    done = run("import", "-", "--json", env=env, stdin=JUNIT)
    assert done.returncode == 0, done.stderr
    (one,) = imports(done)
    assert (one["file"], one["status"], one["tests"]) == ("-", "done", 2)
    assert session.scalars(select(Import.filename)).all() == ["stdin"]
    done = run("import", "-", env=env)
    assert (done.returncode, "stdin is empty" in done.stderr) == (1, True)
    assert run_here("import", "-", "-").returncode == 2


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.soak)])
def test_a_name_the_terminal_cannot_show_is_escaped(env: dict[str, str], junit: Path, encoding: str) -> None:
    path = junit.rename(junit.with_name("漢.xml"))
    done = run("import", str(path), env=env | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    assert "\\u6f22.xml" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("worker")
def test_names_clash_and_steer_nothing(
    env: dict[str, str], session: Session, junit: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / "a1" / "shop.xml", tmp_path / "a2" / "shop.xml", tmp_path / "a\x1b[31m\n.xml"]
    # The file system takes any byte, and this one is no UTF-8.
    paths.append(tmp_path / os.fsdecode(b"\xff.xml"))
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(junit.read_bytes())
    given = [str(path.relative_to(tmp_path)) for path in paths]
    done = run("import", *given, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = [row.split()[0] for row in done.stdout.splitlines()[1:]]
    assert names[:3] == ["a1/shop.xml", "a2/shop.xml", r"a\x1b[31m\x0a.xml"]
    assert "\x1b" not in done.stdout + done.stderr
    stored = session.scalars(select(Import.filename).order_by(Import.created)).all()
    assert stored[:3] == ["shop.xml", "shop.xml", "a\x1b[31m\n.xml"]
    done = run("import", *given, "--json", env=env, cwd=tmp_path)
    assert [one["file"] for one in imports(done)] == given


def test_dead_services_leave_nothing_behind(env: dict[str, str], session: Session, junit: Path) -> None:
    dead = {
        "CELERY_BROKER_URL": "redis://user:hidden-word@127.0.0.1:1/0",
        "SQLALCHEMY_DATABASE_URI": "postgresql://user:hidden-word@127.0.0.1:1/x",
    }
    for name, url in dead.items():
        done = run("import", str(junit), env=env | {name: url})
        assert done.returncode == 4, done.stderr
        assert "hidden-word" not in done.stderr
        assert "Traceback" not in done.stderr
    assert session.scalar(select(func.count()).select_from(Import)) == 0


def test_a_pipe_is_refused_and_not_waited_for(env: dict[str, str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xml")
    done = run("import", str(tmp_path / "pipe.xml"), env=env)
    assert done.returncode == 1
    assert "pipe.xml is no regular file." in done.stderr


def test_an_import_that_does_not_exist_is_not_followed_for_ever(env: dict[str, str]) -> None:
    done = run("import", "--follow", str(uuid4()), "--json", env=env)
    assert done.returncode == 1
    assert imports(done)[0]["status"] == "gone"
    done = run("import", "--follow", str(UUID(int=1)), env=env)
    assert done.returncode == 1
    assert f"There is no import {UUID(int=1)}" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name FILES to import"),
        (["a.xml", "--follow", str(UUID(int=1))], "Name FILES to import"),
        (["a.xml", "--no-wait", "--wait", "3"], "--no-wait goes neither"),
        (["a.xml", "--create-project"], "--create-project needs --project"),
        (["--partial", "--follow", str(UUID(int=1))], "--partial is said when a file is sent"),
        (["a.xml", "--metadata", "x"], "--metadata 'x' is not of the form KEY=VALUE."),
        (["--follow", "x"], "--follow needs the id of an import"),
        (["a.xml", "--wait", "nan"], "--wait must be a number of seconds from 0.1 to 31536000 (a year)"),
        (["a.xml", "--wait", "0"], "--wait must be a number of seconds from 0.1"),
        (["a.xml", "--project", ""], "--project needs a name"),
        (["a.xml", "--project", "", "--create-project"], "--project needs a name"),
        (["a.xml", "--project", "a\x1b[31m", "--create-project"], r"--project a\x1b[31m has control"),
    ],
)
def test_wrong_usage_is_refused(words: list[str], sentence: str) -> None:
    done = run_here("import", *words)
    assert done.returncode == 2
    assert sentence in done.stderr
