"""`ibutsu-tasks up` as a user sees it: a process, its output, its exit code, and what it leaves."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import tempfile
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import UNACKED
from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.local.servers.shared import LocalServers, reset
from ibutsu_tasks.settings import load_settings
from tests.commands import PROGRAM, Running, run, type_at_the_question, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

TIMEOUT_SECONDS = 120
"""For what never comes when it does not come soon, on a machine under any load."""

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "results").iterdir())


class Up(Running):
    """A running `up` on a data directory."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        super().__init__(PROGRAM, "up", *options, env={"IBUTSU_TASKS_DATA_DIR": str(data_dir)})
        self.data_dir = data_dir

    def read_until(self, pattern: str) -> str:
        """Give the line that matches, once it is said."""

        def said() -> list[str]:
            return [line for line in list(self.lines) if re.search(pattern, line)]

        until(lambda: said() or self.process.poll() is not None, TIMEOUT_SECONDS)
        assert said(), f"{pattern!r} was never said:\n{self.output}"
        return said()[0]

    @property
    def record(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.data_dir / "stack.json").read_text())
        return loaded

    def role_pids(self) -> list[int]:
        return [role["pid"] for role in json.loads((self.data_dir / "roles.json").read_text())["roles"]]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ibutsu-tasks-test-") as directory:
        path = Path(directory) / "my data"
        yield path
        reset(path)


@pytest.fixture
def used(data_dir: Path, used_data_dir: Path) -> None:
    """Begin with data, as every start but the first does."""
    shutil.copytree(used_data_dir, data_dir)


@pytest.fixture
def start(data_dir: Path, used: None) -> Iterator[Callable[..., Up]]:  # noqa: ARG001 - before the first start
    with ExitStack() as started:
        yield lambda *options: started.enter_context(Up(data_dir, *options))


def processes_of(data_dir: Path) -> list[str]:
    """Name every live process that has to do with `data_dir`; zombies do not count."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join([*process.cmdline(), process.cwd(), *process.environ().values()])
            if str(data_dir) in words and process.pid != os.getpid() and process.status() != "zombie":
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found


def guards_of(data_dir: Path) -> list[int]:
    return [int(one.split()[0]) for one in processes_of(data_dir) if "local.guard" in one]


def wait_for(condition: Callable[[], bool]) -> bool:
    until(condition, TIMEOUT_SECONDS)
    return condition()


def nothing_is_left_of(data_dir: Path) -> bool:
    return wait_for(lambda: processes_of(data_dir) == [])


def run_on(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(*arguments, env={"IBUTSU_TASKS_DATA_DIR": str(data_dir)})


def flower_status(record: dict[str, Any], path: str, login: str | None) -> int:
    request = urllib.request.Request(record["flower_url"] + path)  # noqa: S310 - an address of ours
    if login is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_stack_from_its_first_start_to_its_stop(data_dir: Path, tmp_path: Path) -> None:
    with Up(data_dir) as up:
        up.read_until("ready in")
        up.read_until("Stop ")
        assert len(processes_of(data_dir)) > 4
        assert {line.partition("│")[0].strip() for line in up.lines if "│" in line} == {
            *("up", "worker", "beat", "flower")
        }
        assert up.output.count("creating the tables") == 1
        _flower_wants_the_password_that_was_printed_once(up)
        # It holds the password.
        assert (data_dir / "stack.json").stat().st_mode & 0o077 == 0
        _a_taken_flower_port_is_refused(up, tmp_path / "another")
        _a_second_up_says_what_runs(up)
        _reset_is_refused(up)
        assert up.stop(signal.SIGTERM) == 143
    assert processes_of(data_dir) == []
    assert not (data_dir / "stack.json").exists()


def _flower_wants_the_password_that_was_printed_once(up: Up) -> None:
    line = up.read_until("password ")
    password = line.split()[-1]
    record = up.record
    assert record["flower_url"] in line
    assert record["flower_url"].startswith("http://127.0.0.1:")
    assert [flower_status(record, path, None) for path in ("/", "/api/workers", "/metrics")] == [401] * 3
    assert flower_status(record, "/", f"ibutsu:{password}") == 200
    assert up.output.count(password) == 1
    assert f"found again in {up.data_dir}/stack.json" in up.output
    assert record["flower_basic_auth"] == f"ibutsu:{password}"
    assert password not in "".join(path.read_text() for path in (up.data_dir / "logs").iterdir())


def _a_taken_flower_port_is_refused(up: Up, data_dir: Path) -> None:
    port = up.record["flower_url"].rpartition(":")[2]
    refused = run_on(data_dir, "up", "--flower-port", port)
    assert refused.returncode == 1
    assert f"Port {port} is taken" in refused.stderr
    assert processes_of(data_dir) == []
    # Before anything is made, and before anything is deleted.
    assert {path.name for path in data_dir.iterdir()} == {"logs", "stack.lock"}
    (data_dir / "postgresql").mkdir()
    refused = run_on(data_dir, "up", "--reset", "--yes", "--flower-port", port)
    assert (refused.returncode, f"Port {port} is taken" in refused.stderr) == (1, True)
    assert (data_dir / "postgresql").exists()


def _a_second_up_says_what_runs(up: Up) -> None:
    second = run_on(up.data_dir, "up")
    assert second.returncode == 1
    assert f"already runs on {up.data_dir} (process {up.process.pid}, Flower at" in second.stderr
    assert up.process.poll() is None


def _reset_is_refused(up: Up) -> None:
    refused = run_on(up.data_dir, "up", "--reset", "--yes")
    assert refused.returncode == 1
    assert "in use" in refused.stderr


@pytest.mark.soak
def test_up_right_after_a_kill_works(data_dir: Path, start: Callable[..., Up]) -> None:
    up = start("--no-flower")
    up.read_until("ready in")
    before = up.role_pids()
    (guard,) = guards_of(data_dir)
    up.stop(signal.SIGKILL)
    again = start("--no-flower")
    again.read_until("ready in")
    # The first one's guard is through once it is gone, and must not have touched the second's.
    assert wait_for(lambda: not psutil.pid_exists(guard))
    assert set(before).isdisjoint(again.role_pids())
    assert all(psutil.pid_exists(pid) for pid in again.role_pids())
    assert again.stop(signal.SIGINT) == 130
    assert "again in" not in "".join(again.lines)
    assert processes_of(data_dir) == []


def test_kill_of_up_and_its_guard_is_mended_by_the_next_up(data_dir: Path, start: Callable[..., Up]) -> None:
    up = start("--no-flower")
    up.read_until("ready in")
    (guard,) = guards_of(data_dir)
    os.kill(guard, signal.SIGKILL)
    up.stop(signal.SIGKILL)
    again = start("--no-flower")
    again.read_until("ended 2 processes that an earlier stack had left")
    again.read_until("ready in")
    again.stop(signal.SIGINT)
    assert processes_of(data_dir) == []


def test_whatever_of_a_stack_is_killed_is_started_again(data_dir: Path, start: Callable[..., Up]) -> None:
    up = start("--no-flower")
    up.read_until("ready in")
    (guard,), worker = guards_of(data_dir), up.role_pids()[0]
    for pid in (guard, worker, int((data_dir / "valkey" / "valkey.pid").read_text())):
        os.kill(pid, signal.SIGKILL)
    up.read_until("the guard was killed by signal 9; starting it again")
    up.read_until("worker was killed by signal 9; starting it again")
    assert wait_for(lambda: up.output.count("starting Valkey") == 2)
    assert wait_for(lambda: len(re.findall(r"worker .* ready\.", up.output)) == 2)
    assert worker not in up.role_pids()
    done = run_on(data_dir, "import", str(EXAMPLES[0]))
    assert done.returncode == 0, done.stderr
    assert wait_for(lambda: guards_of(data_dir) not in ([], [guard]))
    up.stop(signal.SIGKILL)
    # The second guard does what the first would have done.
    assert nothing_is_left_of(data_dir), processes_of(data_dir)


@pytest.mark.soak
def test_what_happened_to_the_data_directory_meanwhile_is_one_sentence(
    data_dir: Path, start: Callable[..., Up]
) -> None:
    up = start("--no-flower")
    up.read_until("ready in")
    (data_dir / "start.lock").unlink()
    (data_dir / "start.lock").mkdir()
    assert up.stop(signal.SIGTERM) == 1
    (data_dir / "start.lock").rmdir()
    up.read_until(
        re.escape(f"Error: The data directory {data_dir} cannot be used: {data_dir / 'start.lock'}")
    )
    assert "Traceback" not in up.output


@pytest.mark.usefixtures("used")
def test_a_role_that_cannot_live_ends_the_stack(data_dir: Path) -> None:
    with LocalServers(data_dir) as servers:
        _execute(
            servers.database_url, "DROP TABLE artifacts; CREATE TABLE alembic_version (version_num text)"
        )
    ended = run_on(data_dir, "up", "--no-flower")
    assert ended.returncode == 1
    assert "lacks the tables artifacts" in ended.stderr
    assert processes_of(data_dir) == []


def _execute(url: str, statement: str) -> None:
    place = make_url(url)
    connection = psycopg2.connect(host=place.query["host"], user=place.username, dbname=place.database)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def _waits_for_a_lock(connection: psycopg2.extensions.connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        [(is_waiting,)] = cursor.fetchall()
    return bool(is_waiting)


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_running_task_goes_back_to_the_queue(
    data_dir: Path, start: Callable[..., Up], number: signal.Signals
) -> None:
    up = start("--no-flower")
    up.read_until("ready in")
    record = up.record
    place = make_url(record["database_url"])
    blocker = psycopg2.connect(host=place.query["host"], user=place.username, dbname=place.database)
    blocker.cursor().execute("LOCK TABLE imports IN ACCESS EXCLUSIVE MODE")
    app = create_broker_celery_app(settings=load_settings({"broker_url": record["broker_url"]}, environ={}))
    name = "ibutsu_server.tasks.db.clear_import_file_content"
    app.send_task(name, args=["22222222-2222-4222-8222-222222222222"])
    with build_client(record["broker_url"]) as client:
        assert wait_for(lambda: client.hlen("unacked") == 1)
    assert wait_for(lambda: _waits_for_a_lock(blocker))
    # A stop that waits for the task would take for ever.
    assert up.stop(number) == (130 if number is signal.SIGINT else -signal.SIGKILL)
    assert nothing_is_left_of(data_dir)
    assert (data_dir / "stack.json").exists() is (number is signal.SIGKILL)
    blocker.close()
    app.close()

    again = start("--no-flower")
    again.read_until(r"clear_import_file_content.* succeeded")
    again.stop(signal.SIGINT)


def test_once_imports_shows_the_table_and_leaves_nothing(data_dir: Path) -> None:
    done = run_on(data_dir, "up", "--once", *map(str, EXAMPLES))
    assert done.returncode == 0, done.stderr
    for file in EXAMPLES:
        assert file.name in done.stdout
    assert "pass %" in done.stdout
    assert processes_of(data_dir) == []


@pytest.mark.usefixtures("used")
def test_once_with_bad_files_imports_the_others(data_dir: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.xml"
    bad.write_text("this is not XML")
    done = run_on(data_dir, "up", "--once", str(bad), str(tmp_path / "missing.xml"), str(EXAMPLES[0]))
    assert done.returncode == 1
    assert "bad.xml" in done.stdout + done.stderr
    assert "missing.xml cannot be read" in done.stderr
    assert re.search(rf"{EXAMPLES[0].name} +[0-9a-f-]{{36}}", done.stdout)
    assert processes_of(data_dir) == []


@pytest.mark.soak
@pytest.mark.usefixtures("used")
def test_a_garbled_key_is_moved_aside(data_dir: Path) -> None:
    with LocalServers(data_dir) as servers, build_client(servers.broker_url) as client:
        client.set(UNACKED, "no hash")
        client.hset("celery", "no", "list")
    done = run_on(data_dir, "up", "--once", str(EXAMPLES[0]))
    assert done.returncode == 0, done.stderr
    assert (
        "the key unacked is a string, and should be a hash: it was moved aside, to unacked:g" in done.stderr
    )
    assert "the key celery is a hash, and should be a list: it was moved aside" in done.stderr
    with LocalServers(data_dir) as servers, build_client(servers.broker_url) as client:
        assert client.keys("unacked:garbled-*")


def test_once_without_any_readable_file_starts_nothing(data_dir: Path, tmp_path: Path) -> None:
    done = run_on(data_dir, "up", "--once", "--reset", "--yes", str(tmp_path), str(tmp_path / "missing.xml"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Not imported: {tmp_path} is a directory.",
        f"Not imported: {tmp_path}/missing.xml cannot be read: No such file or directory.",
    ]
    assert not data_dir.exists()


@pytest.mark.parametrize("words", [("up", "--no-flower"), ("up", "--once", str(EXAMPLES[0]))])
def test_without_a_home_it_says_where_the_data_are(tmp_path: Path, words: tuple[str, ...]) -> None:
    homeless = {"HOME": "", "XDG_DATA_HOME": "", "TMPDIR": str(tmp_path)}
    place = tmp_path / f"ibutsu-tasks-{os.getuid()}"
    with Running(PROGRAM, *words, env=homeless) as up:
        up.wait_for(f"up     │ data in {place}\n")
    assert up.output.count("data in") == 1
    assert nothing_is_left_of(place)
    reset(place)


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.soak), (signal.SIGTERM, 143)]
)
def test_once_interrupted_leaves_nothing(
    data_dir: Path, start: Callable[..., Up], number: signal.Signals, code: int
) -> None:
    up = start("--once", *map(str, EXAMPLES))
    up.read_until("starting worker, beat")
    assert up.stop(number) in {code, 0}  # 0 when the import was through before the signal came
    assert processes_of(data_dir) == []


def test_usage_is_checked_before_anything_starts(data_dir: Path) -> None:
    assert run_on(data_dir, "up", "file.xml").returncode == 2
    assert run_on(data_dir, "up", "--once").returncode == 2
    assert not data_dir.exists()


def test_reset_wants_a_yes(data_dir: Path, start: Callable[..., Up]) -> None:
    with LocalServers(data_dir) as servers:
        _execute(servers.database_url, "CREATE TABLE leftover ()")
    refused = run_on(data_dir, "up", "--reset")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    up = start("--reset", "--yes", "--no-flower")
    up.read_until("creating the tables")
    up.read_until("ready in")


@pytest.mark.parametrize(("key", "code"), [("\x04", 1), ("\x03", 130)])
def test_ctrl_d_and_ctrl_c_at_the_question_delete_nothing(data_dir: Path, key: str, code: int) -> None:
    (data_dir / "postgresql").mkdir(parents=True)
    env = {"IBUTSU_TASKS_DATA_DIR": str(data_dir)}
    exit_code, output = type_at_the_question(env, key, "up", "--reset")
    assert (exit_code, "Traceback" in output) == (code, False)
    assert ("Nothing was deleted." in output) == (code == 1)
    assert (data_dir / "postgresql").exists()


def test_reset_leaves_a_directory_of_somebody_else_alone(data_dir: Path) -> None:
    foreign = data_dir / "postgresql"
    foreign.mkdir(parents=True)
    (foreign / "thesis.txt").write_text("years of work")
    refused = run_on(data_dir, "up", "--reset", "--yes")
    assert refused.returncode == 1
    assert f"{foreign} holds files but no PG_VERSION" in refused.stderr
    assert (foreign / "thesis.txt").read_text() == "years of work"
    (foreign / "thesis.txt").unlink()


def test_an_unwritable_place_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run_on(tmp_path / "file", "up")
    assert ended.returncode == 1
    assert "--data-dir" in ended.stderr
    assert "Traceback" not in ended.stderr
