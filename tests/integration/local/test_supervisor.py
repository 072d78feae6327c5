from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING

import psycopg2
import pytest

from ibutsu_tasks.cli.exit_codes import exit_code_of
from ibutsu_tasks.errors import DatabaseUnreachableError
from ibutsu_tasks.local import supervisor as supervisor_module
from ibutsu_tasks.local.guard import end_leftover_roles, write_roles
from ibutsu_tasks.local.processes import ProcessMark
from ibutsu_tasks.local.role_processes import BEAT, RoleProcess, role_environment
from ibutsu_tasks.local.supervisor import Supervisor

from .conftest import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from ibutsu_tasks.local.role_processes import Role


def test_gives_up_on_a_role_that_dies_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_SECONDS", 0.1)
    said: list[str] = []
    failures: list[bool] = []
    restarted: list[Role] = []
    no_broker = role_environment({"IBUTSU_TASKS_DATA_DIR": str(tmp_path)})  # beat ends with code 3
    supervisor = Supervisor(
        tmp_path,
        ProcessMark.of(os.getpid()),
        [BEAT],
        lambda role: RoleProcess(role, no_broker, lambda _role, _line: None),
        say=said.append,
        restart_servers=lambda: None,
        before_restart=restarted.append,
        on_failure=lambda: failures.append(True),
    )
    supervisor.start()
    assert wait_for(lambda: bool(failures), 120)
    supervisor.stop(lambda: False)
    assert re.search(
        r"beat ended by itself with exit code 3, 5 times[\s\S]*CELERY_BROKER_URL", str(supervisor.failure)
    )
    assert [line.rpartition(" in ")[2] for line in said] == ["0.1 s", "0.2 s", "0.4 s", "0.8 s"]
    assert restarted == [BEAT] * 4
    assert not (tmp_path / "roles.json").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "OSError: .*No space left on device"),
        (
            psycopg2.OperationalError("the database system is\nshutting down"),
            "OperationalError: .* is shut",
        ),
        (RuntimeError(), r"The stack cannot be kept running: RuntimeError\."),
        (DatabaseUnreachableError("PostgreSQL is gone."), r"^PostgreSQL is gone\.$"),
    ],
)
def test_whatever_goes_wrong_while_it_watches_is_said(tmp_path: Path, error: Exception, said: str) -> None:
    failed = threading.Event()

    def break_down() -> None:
        raise error

    supervisor = Supervisor(
        tmp_path,
        ProcessMark.of(os.getpid()),
        [],
        lambda _: pytest.fail("no role is started"),
        say=lambda _: None,
        restart_servers=break_down,
        before_restart=lambda _: None,
        on_failure=failed.set,
    )
    supervisor.start()
    assert failed.wait(60)
    supervisor.stop(lambda: False)
    assert re.search(said, str(supervisor.failure))
    assert supervisor.failure is not None
    assert exit_code_of(supervisor.failure) in {1, 4}


def test_leftovers_are_ended_only_when_their_owner_is_dead(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    environment["SQLALCHEMY_DATABASE_URI"] = "postgresql://127.0.0.1:1/none"
    left = RoleProcess(BEAT, environment, lambda _role, _line: None)
    write_roles(tmp_path, ProcessMark.of(os.getpid()), [left.mark])
    assert end_leftover_roles(tmp_path) == 0
    assert left.mark.process() is not None

    me = ProcessMark.of(os.getpid())
    earlier_life_of_my_pid = ProcessMark(me.pid, me.created - 1000)
    write_roles(tmp_path, earlier_life_of_my_pid, [left.mark])
    assert end_leftover_roles(tmp_path, owner=me) == 0
    assert end_leftover_roles(tmp_path) == 1
    assert left.mark.process() is None
    left.close()


def test_a_reused_pid_is_not_taken_for_a_leftover() -> None:
    me = ProcessMark.of(os.getpid())
    assert ProcessMark(me.pid, me.created - 1000).process() is None
    assert ProcessMark(me.pid, me.created - 1000).session() == []


def test_outside_variables_do_not_reach_the_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "POSTGRES_HOST",
        "CELERY_BROKER_URL_FILE",
        "CELERY_RESULT_BACKEND_URL",
        "FLOWER_ADDRESS_FILE",
    ):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("CELERY_RESULT_EXPIRES", "60")
    environment = role_environment({"CELERY_BROKER_URL": "ours"})
    assert "elsewhere" not in environment.values()
    assert environment["CELERY_BROKER_URL"] == "ours"
    assert environment["CELERY_RESULT_EXPIRES"] == "60"
