from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.cli.output.formats import format_bytes
from ibutsu_tasks.ibutsu.database.models import Artifact, Result, Run
from ibutsu_tasks.ibutsu.operations.run_summary import complete
from ibutsu_tasks.retention.history import PruneState, read_history
from ibutsu_tasks.retention.watch import take_prune_lock
from tests.commands import PROGRAM, role, run, run_here, services, type_at_the_question, until
from tests.factories import make_artifact, make_import, make_result, make_run, utc_now
from tests.slow_files import files_left, store_slow_files

if TYPE_CHECKING:
    from sqlalchemy import Engine


PROMPT_SECONDS = 10
"""What it waits for here never comes; beside other tests, its mere end takes a second or two."""


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "COLUMNS": "80", "SQLALCHEMY_DATABASE_URI": database_url}


@pytest.fixture
def old_rows(session: Session) -> None:
    """One old tree of run, result and artifact, one young, and an old import."""
    for days in (400, 1):
        moment = utc_now() - timedelta(days=days)
        run = make_run(session, start_time=moment)
        make_artifact(session, make_result(session, run), upload_date=moment)
    make_import(session, b"x" * 10, created=utc_now() - timedelta(days=30))
    session.commit()


def prune(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("prune", *arguments, env=environment, cwd=Path(environment["HOME"]))


def answer(environment: dict[str, str], reply: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a terminal as its input, and type."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, reply.encode())
        return subprocess.run(
            [PROGRAM, "prune", *arguments],
            env=os.environ | environment,
            cwd=environment["HOME"],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)


def counts(engine: Engine) -> tuple[int, ...]:
    with Session(engine) as session:
        return tuple(
            session.scalar(select(func.count()).select_from(table)) or 0 for table in (Run, Result, Artifact)
        )


@pytest.mark.usefixtures("old_rows")
def test_a_dry_run_shows_what_would_go_and_deletes_nothing(
    environment: dict[str, str], engine: Engine
) -> None:
    done = prune(environment, "runs", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines[1:])) <= 80
    # The first line names the database, and is as long as its place.
    assert [line.split()[:3] for line in lines[-3:]] == [
        ["runs", "runs", "1"],
        ["runs", "results", "1"],
        ["runs", "artifacts", "1"],
    ]
    assert counts(engine) == (2, 2, 2)


@pytest.mark.usefixtures("old_rows")
def test_without_a_terminal_it_shows_the_plan_and_refuses(
    environment: dict[str, str], engine: Engine
) -> None:
    done = prune(environment, "runs")
    assert done.returncode == 2
    assert "artifacts" in done.stdout
    assert "--yes" in done.stderr
    assert "--dry-run" in done.stderr
    assert "Traceback" not in done.stderr
    assert counts(engine) == (2, 2, 2)


@pytest.mark.usefixtures("old_rows")
@pytest.mark.parametrize(
    ("reply", "code", "left"), [("y\n", 0, (1, 1, 1)), ("n\n", 1, (2, 2, 2)), ("\n", 1, (2, 2, 2))]
)
def test_it_asks_on_a_terminal(
    environment: dict[str, str], engine: Engine, reply: str, code: int, left: tuple[int, ...]
) -> None:
    done = answer(environment, reply, "runs")
    assert "Delete these rows at " in done.stderr
    assert done.stderr.count("(database ibutsu_tasks_test") == 1
    assert done.stdout.count("(database ibutsu_tasks_test") == 1
    assert done.returncode == code
    assert counts(engine) == left


@pytest.mark.usefixtures("old_rows")
def test_with_json_a_terminal_sees_the_plan_before_it_is_asked(environment: dict[str, str]) -> None:
    done = answer(environment, "n\n", "runs", "--json")
    assert done.stderr.index("What is due at") < done.stderr.index("Delete these rows at")
    assert json.loads(done.stdout)["version"] == 1


@pytest.mark.usefixtures("old_rows")
@pytest.mark.parametrize("width", [60, *(pytest.param(width, marks=pytest.mark.soak) for width in (80, 200))])
def test_a_plan_is_whole_at_any_width(environment: dict[str, str], width: int) -> None:
    done = prune(environment | {"COLUMNS": str(width)}, "all", "--dry-run")
    assert "…" not in done.stdout
    document = json.loads(prune(environment, "all", "--dry-run", "--json").stdout)
    assert document["database"]["name"].startswith("ibutsu_tasks_test")
    for table in (table for plan in document["plan"] for table in plan["tables"] if table["oldest"]):
        assert table["oldest"][:16].replace("T", " ") in done.stdout


@pytest.mark.usefixtures("old_rows")
@pytest.mark.parametrize(("key", "code"), [("\x04", 1), ("\x03", 130)])
def test_ctrl_d_and_ctrl_c_at_the_question_are_a_no(
    environment: dict[str, str], engine: Engine, key: str, code: int
) -> None:
    exit_code, output = type_at_the_question(environment, key, "prune", "runs")
    assert (exit_code, "Traceback" in output) == (code, False)
    assert ("Nothing was deleted." in output) == (code == 1)
    assert counts(engine) == (2, 2, 2)


@pytest.mark.usefixtures("old_rows")
def test_yes_deletes_and_says_what_went(environment: dict[str, str], engine: Engine) -> None:
    done = prune(environment, "runs", "--yes")
    assert done.returncode == 0
    assert "What was deleted" in done.stdout
    assert "Deleted 3 rows" in done.stderr
    assert counts(engine) == (1, 1, 1)
    again = prune(environment, "runs")
    assert again.returncode == 0
    assert "Nothing is due." in again.stderr


@pytest.mark.usefixtures("old_rows")
def test_all_runs_every_rule_in_order_and_json_is_one_document(
    environment: dict[str, str], engine: Engine
) -> None:
    done = prune(environment, "all", "--yes", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert [plan["rule"] for plan in document["plan"]] == ["imports", "files", "results", "runs"]
    assert [one["deleted"] for one in document["result"]] == [
        {"imports": 1, "import_files": 1},
        {"artifacts": 1},
        {"results": 1, "artifacts": 0},
        {"runs": 1, "results": 0, "artifacts": 0},
    ]
    assert counts(engine) == (1, 1, 1)


@pytest.mark.usefixtures("old_rows")
def test_json_of_a_dry_run_has_a_plan_and_no_result(environment: dict[str, str]) -> None:
    document = json.loads(prune(environment, "imports", "--older-than", "2w", "--dry-run", "--json").stdout)
    assert document["result"] == []
    (plan,) = document["plan"]
    assert (plan["rule"], plan["older_than_days"], plan["rows"]) == ("imports", 14, 2)
    assert [table["table"] for table in plan["tables"]] == ["imports", "import_files"]
    assert plan["tables"][0]["oldest"].endswith("Z")
    assert plan["tables"][0]["size_bytes"] > 0


@pytest.mark.usefixtures("old_rows")
def test_rows_in_use_are_left_and_the_command_says_so(environment: dict[str, str], engine: Engine) -> None:
    with Session(engine) as other:
        other.execute(text("select 1 from runs for update"))
        done = prune(environment, "runs", "--yes")
    assert done.returncode == 1
    assert "1 due row of runs is in use and was left." in done.stderr
    assert counts(engine)[0] == 2


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.soak)]
)
def test_a_signal_stops_it_between_batches_and_the_same_command_goes_on(
    environment: dict[str, str], session: Session, number: int, code: int
) -> None:
    store_slow_files(session, 5000)
    with role("prune", "files", "--yes", env=environment, cwd=Path(environment["HOME"])) as command:
        until(lambda: 0 < files_left(session) < 5000)
        assert command.stop(number) == code
    left = files_left(session)
    assert 0 < left < 5000
    assert "the same command continues there" in command.output
    assert f"Deleted {5000 - left:,} rows" in command.output
    assert "Traceback" not in command.output
    session.execute(text("drop trigger slow on artifacts"))
    session.commit()
    assert prune(environment, "files", "--yes").returncode == 0
    assert files_left(session) == 0


@pytest.mark.parametrize(
    ("number", "code", "options", "shown"),
    [(signal.SIGTERM, 143, ["--json"], '"plan": []'), (signal.SIGINT, 130, [], "Nothing was deleted.")],
)
def test_a_signal_ends_counting_at_once(
    environment: dict[str, str],
    engine: Engine,
    session: Session,
    number: int,
    code: int,
    options: list[str],
    shown: str,
) -> None:
    store_slow_files(session, 1)
    with Session(engine) as other:
        other.execute(text("lock table artifacts in access exclusive mode"))
        with role("prune", "files", "--yes", *options, env=environment) as command:
            until(lambda: _waits_for_a_lock(engine))
            began = time.monotonic()
            assert command.stop(number) == code
            assert time.monotonic() - began < PROMPT_SECONDS
        assert not _waits_for_a_lock(engine)
    assert shown in command.output
    assert "Nothing was deleted." in command.output
    assert "Nothing is due" not in command.output
    assert "Traceback" not in command.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_vacuum_at_once(
    environment: dict[str, str], engine: Engine, session: Session, number: int, code: int
) -> None:
    make_import(session, b"x" * 10, created=utc_now() - timedelta(days=30))
    session.commit()
    with Session(engine) as other:
        with role("prune", "imports", "--yes", "--vacuum", env=environment) as command:
            # What a VACUUM waits for, and a deletion does not.
            other.execute(text("lock table import_files in share update exclusive mode"))
            until(lambda: "Vacuuming import_files" in command.output and _waits_for_a_lock(engine))
            began = time.monotonic()
            assert command.stop(number) == code
            assert time.monotonic() - began < PROMPT_SECONDS
        assert not _waits_for_a_lock(engine)
    assert "Vacuumed imports (" in command.output
    assert "Stopped. What is deleted stays so; autovacuum does the rest." in command.output
    assert "Stopped." in command.output
    assert "Traceback" not in command.output


def _waits_for_a_lock(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("select count(*) from pg_locks where not granted")))


def test_a_second_prune_is_told_that_one_is_running(
    environment: dict[str, str], engine: Engine, session: Session
) -> None:
    store_slow_files(session, 1)
    with Session(engine) as holder:
        take_prune_lock(holder)
        done = prune(environment, "files", "--yes")
    assert done.returncode == 1
    assert "Another prune is running since" in done.stderr
    assert "Traceback" not in done.stderr
    assert files_left(session) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["file"], "Did you mean 'files'?"),
        (["everything"], "imports, files, results, runs, all"),
        (["files", "--older-than", "5m"], "90d, 12w, 5months"),
        (["files", "--older-than", "0d"], "'0d' is not an age"),
        (["files", "--older-than", ""], "'' is not an age"),
        (["files", "--older-than=-3d"], "'-3d' is not an age"),
        (["files", "--older-than", "59d"], "younger than 2 months are never deleted"),
        (["imports", "--older-than", "0months"], "is not an age"),
        (["files", "--older-than", "999999d"], "beyond the calendar"),
        (["all", "--older-than", "5months"], "the floor of the rule runs"),
        (["files", "--enqueue", "--dry-run"], "--dry-run and --enqueue do not go together"),
        (["files", "--vacuum", "--dry-run"], "--dry-run and --vacuum do not go together"),
        (["files", "--vacuum", "--enqueue"], "--enqueue and --vacuum do not go together"),
        ([], "Name a rule: imports, files, results, runs or all"),
        (["--dry-run"], "Name a rule"),
        (["--history", "--dry-run"], "--history and --dry-run do not go together"),
        (["fils", "--history"], "Did you mean 'files'?"),
        (["files", "--enqueue", "--older-than", "100d"], "--older-than 4months"),
        (["runs", "--archive", ""], "--archive needs the name of a directory"),
        (["runs", "--archive", " ", "--yes"], "--archive needs the name of a directory"),
        (["runs", "--archive", "d", "--dry-run"], "--dry-run and --archive do not go together"),
        (["runs", "--archive", "d", "--enqueue"], "--enqueue and --archive do not go together"),
        (["imports", "--archive", "d"], "import records are never archived"),
        (["--history", "--archive", "d"], "--history and --archive do not go together"),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(arguments: list[str], said: str) -> None:
    # No service is reachable: it is refused before one is asked for.
    done = run_here("prune", *arguments, env=services("redis://127.0.0.1:1/0", "postgresql://127.0.0.1:1/x"))
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_database_without_tables_is_a_sentence(
    environment: dict[str, str], empty_database_url: str
) -> None:
    done = prune(environment | {"SQLALCHEMY_DATABASE_URI": empty_database_url}, "files", "--dry-run")
    assert done.returncode == 1
    assert 'relation "artifacts" does not exist' in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_database_is_code_4(environment: dict[str, str]) -> None:
    url = "postgresql://op:hunter2@127.0.0.1:1/ibutsu"
    done = prune(environment | {"SQLALCHEMY_DATABASE_URI": url}, "files", "--dry-run")
    assert done.returncode == 4
    assert "127.0.0.1:1" in done.stderr
    assert "hunter2" not in done.stderr


def test_what_is_archived_comes_back_by_import(
    environment: dict[str, str], broker_url: str, database_url: str, session: Session
) -> None:
    environment |= services(broker_url, database_url)
    old = utc_now() - timedelta(days=400)
    run_row = make_run(session, start_time=old, summary=complete({"tests": 1}, 1), duration=1.0)
    make_artifact(session, make_result(session, run_row), upload_date=old, filename="../shot.png")
    make_import(session, b"x", created=old)
    session.commit()
    before = rows(session)
    directory = Path(environment["HOME"]) / "archives"

    done = prune(environment, "all", "--archive", str(directory), "--yes")

    assert (done.returncode, rows(session)) == (0, [[], [], []])
    paths = sorted(directory.iterdir())
    size_bytes = sum(path.stat().st_size for path in paths)
    told = " ".join(done.stderr.split())
    assert f"New archives in {directory}: 3 ({format_bytes(size_bytes)})." in told
    assert done.stderr.count("Import records are deleted without an archive.") == 1
    with role("worker", env=environment, cwd=directory):
        imported = run("import", *map(str, paths), env=environment, cwd=directory)
    assert imported.returncode == 0, imported.stderr
    assert rows(session) == before


def rows(session: Session) -> list[list[str]]:
    """Every row as PostgreSQL writes it."""
    session.rollback()
    return [
        list(session.scalars(text(f"select t::text from {table} t order by id")))  # noqa: S608
        for table in ("runs", "results", "artifacts")
    ]


@pytest.mark.usefixtures("old_rows")
def test_what_has_no_archive_is_named_and_left(environment: dict[str, str], session: Session) -> None:
    orphan = make_artifact(session, upload_date=utc_now() - timedelta(days=100))
    session.commit()
    done = prune(environment, "files", "--archive", "archives", "--yes", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["result"][0]["deleted"], document["result"][0]["left"]) == ({"artifacts": 1}, 0)
    archive = document["archive"]
    assert (archive["files"], archive["refused"], len(archive["reasons"])) == (1, 1, 1)
    assert "belong to no run" in archive["reasons"][0]
    assert "Due rows left for want of an archive: 1." in done.stderr
    assert orphan.id in session.scalars(select(Artifact.id)).all()


@pytest.mark.usefixtures("old_rows")
def test_an_archive_that_cannot_be_is_a_sentence(environment: dict[str, str], engine: Engine) -> None:
    done = prune(environment, "runs", "--archive", "/proc/nowhere", "--yes")
    assert done.returncode == 1
    assert "cannot be written to /proc/nowhere: " in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert counts(engine) == (2, 2, 2)


@pytest.mark.parametrize(
    ("rule", "age", "arguments"),
    [("imports", "2w", {"days": 14}), ("files", "90d", {"months": 3}), ("runs", "12months", {"months": 12})],
)
def test_enqueue_sends_the_contracts_message_and_needs_no_database(
    environment: dict[str, str], broker_url: str, rule: str, age: str, arguments: dict[str, int]
) -> None:
    del environment["SQLALCHEMY_DATABASE_URI"]
    done = prune(
        environment | {"CELERY_BROKER_URL": broker_url}, rule, "--older-than", age, "--enqueue", "--yes"
    )
    assert done.returncode == 0
    (message,) = _queued(broker_url)
    assert done.stdout.strip() == message["headers"]["id"]
    assert message["headers"]["task"].startswith("ibutsu_server.tasks.db.prune_old_")
    assert json.loads(message["headers"]["kwargsrepr"].replace("'", '"')) == arguments


@pytest.mark.usefixtures("old_rows")
def test_a_worker_runs_what_enqueue_sent(
    environment: dict[str, str], broker_url: str, database_url: str, engine: Engine
) -> None:
    environment |= services(broker_url, database_url)
    done = prune(environment, "runs", "--enqueue", "--yes", "--json")
    (sent,) = json.loads(done.stdout)["sent"]
    assert (sent["rule"], sent["arguments"]) == ("runs", {"months": 12})
    client = build_client(broker_url)
    with role("worker", env=environment, cwd=Path(environment["HOME"])) as worker, closing(client):
        until(lambda: b"SUCCESS" in (client.get(f"celery-task-meta-{sent['id']}") or b""))
        meta = json.loads(client.get(f"celery-task-meta-{sent['id']}") or "{}")
    assert meta.get("result", {}).get("deleted") == {"runs": 1, "results": 1, "artifacts": 1}, worker.output
    assert counts(engine) == (1, 1, 1)


@pytest.mark.parametrize("own", ["demo:runs=never", "demo:files=70d, x y:runs=400d"])
@pytest.mark.parametrize("rule", ["runs", "all"])
def test_enqueue_refuses_ages_of_projects_that_the_workers_might_not_know(
    environment: dict[str, str], broker_url: str, rule: str, own: str
) -> None:
    variables = environment | {"CELERY_BROKER_URL": broker_url, "IBUTSU_TASKS_RETENTION": own}
    ended = run_here("prune", rule, "--enqueue", "--yes", env=variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "where the workers run" in ended.stderr
    assert "runs=" in ended.stderr
    assert _queued(broker_url) == []


def test_enqueue_sends_a_rule_without_ages_of_projects(environment: dict[str, str], broker_url: str) -> None:
    variables = environment | {"CELERY_BROKER_URL": broker_url, "IBUTSU_TASKS_RETENTION": "demo:runs=never"}
    assert run_here("prune", "files", "--enqueue", "--yes", env=variables).returncode == 0
    assert len(_queued(broker_url)) == 1


def test_enqueue_asks_too(environment: dict[str, str], broker_url: str) -> None:
    done = prune(environment | {"CELERY_BROKER_URL": broker_url}, "files", "--enqueue")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert _queued(broker_url) == []


def test_enqueue_to_a_dead_broker_is_code_4(environment: dict[str, str]) -> None:
    url = "redis://:hunter2@127.0.0.1:1/0"
    done = prune(environment | {"CELERY_BROKER_URL": url}, "files", "--enqueue", "--yes")
    assert done.returncode == 4
    assert "127.0.0.1:1" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.usefixtures("old_rows")
def test_history_shows_what_went_and_what_failed(
    environment: dict[str, str], broker_url: str, engine: Engine
) -> None:
    environment["CELERY_BROKER_URL"] = broker_url
    assert "No prune is on record." in prune(environment, "--history").stderr
    done = prune(environment, "runs", "--yes", "--vacuum")
    assert done.returncode == 0
    assert "Vacuuming artifacts" in done.stderr
    assert re.search(r"Vacuumed .*runs \(", done.stderr)
    assert "Nothing is due." in prune(environment, "runs", "--yes").stderr
    with engine.begin() as connection:
        connection.execute(text("drop index ix_artifacts_result_id"))
    refused = prune(environment, "runs", "--yes")
    assert (refused.returncode, "CREATE INDEX CONCURRENTLY" in refused.stderr) == (1, True)

    table = prune(environment, "--history")
    document = json.loads(prune(environment, "runs", "--history", "--json").stdout)

    lines = table.stdout.splitlines()
    assert max(map(len, lines[1:])) <= 80
    assert [line.split()[-1] for line in lines[1:4]] == ["failed", "done", "done"]
    assert [line.split()[2:4] for line in lines[2:4]] == [["runs", "0"], ["runs", "3"]]
    assert "no index begins with artifacts.result_id" in " ".join(table.stdout.split())
    failed, _, good = document["prunes"]
    assert (failed["state"], failed["sentence"][:19]) == ("failed", "runs is not pruned:")
    assert good["deleted"] == {"runs": 1, "results": 1, "artifacts": 1}
    document = json.loads(prune(environment, "files", "--history", "--json").stdout)
    assert document == {"version": 1, "prunes": []}


def test_history_needs_a_broker(environment: dict[str, str]) -> None:
    assert prune(environment, "--history").returncode == 3
    done = prune(environment | {"CELERY_BROKER_URL": "redis://:hunter2@127.0.0.1:1/0"}, "--history")
    assert (done.returncode, "127.0.0.1:1" in done.stderr, "hunter2" in done.stderr) == (4, True, False)


@pytest.mark.usefixtures("old_rows")
def test_without_a_broker_it_prunes_and_says_that_no_record_is_kept(
    environment: dict[str, str], engine: Engine
) -> None:
    environment["CELERY_BROKER_URL"] = "redis://:hunter2@127.0.0.1:1/0"
    done = prune(environment, "all", "--yes")
    assert done.returncode == 0
    assert done.stderr.count("No record of this prune is kept") == 1
    assert "hunter2" not in done.stderr
    assert counts(engine) == (1, 1, 1)


@pytest.mark.usefixtures("old_rows")
def test_a_plan_says_which_index_is_missing(environment: dict[str, str], engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("drop index ix_results_run_id"))
    done = prune(environment, "all", "--dry-run")
    assert done.returncode == 1
    assert "Refused: runs: no index begins with results.run_id" in done.stderr
    assert "CREATE INDEX CONCURRENTLY ix_results_run_id ON results (run_id);" in done.stderr
    assert counts(engine) == (2, 2, 2)


@pytest.mark.usefixtures("old_rows")
def test_nothing_deleted_nothing_vacuumed(environment: dict[str, str]) -> None:
    done = prune(environment, "files", "--older-than", "500d", "--yes", "--vacuum")
    assert done.returncode == 0
    assert "Nothing was deleted, so nothing is vacuumed." in done.stderr


@pytest.mark.usefixtures("old_rows")
def test_a_killed_prune_is_on_record_without_an_end(
    environment: dict[str, str], broker_url: str, engine: Engine
) -> None:
    environment["CELERY_BROKER_URL"] = broker_url
    with Session(engine) as other, build_client(broker_url) as client:
        other.execute(text("lock table runs in row exclusive mode; select 1 from runs for update"))
        with role("prune", "runs", "--yes", env=environment, cwd=Path(environment["HOME"])) as running:
            until(lambda: read_history(client))
            running.process.kill()
        [record] = read_history(client)
    assert (record.written_state, record.ended) == (PruneState.RUNNING, None)
    assert record.state(record.seen + timedelta(hours=1)) is PruneState.LOST


def _queued(broker_url: str) -> list[dict[str, Any]]:
    client = build_client(broker_url)
    try:
        return [json.loads(message) for message in client.lrange("celery", 0, -1)]
    finally:
        client.close()
