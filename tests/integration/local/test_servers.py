from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.errors import LocalServersError, RefusedError
from ibutsu_tasks.local.servers import leases, server
from ibutsu_tasks.local.servers.shared import LocalServers, reset

from .conftest import REPOSITORY, Holder, main_processes, server_processes, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def ask(servers: LocalServers, statement: str) -> str:
    url = make_url(servers.database_url)
    connection = psycopg2.connect(host=url.query["host"], user=url.username, dbname=url.database)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return str((cursor.fetchone() or ("",))[0])
    finally:
        connection.close()


def test_serves_both_and_leaves_no_process(data_dir: Path) -> None:
    said: list[str] = []
    with (
        LocalServers(data_dir, on_progress=said.append) as servers,
        build_client(servers.broker_url) as client,
    ):
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert ask(servers, "SHOW server_encoding") == "UTF8"
        assert ask(servers, "SHOW timezone") == "UTC"
        assert ask(servers, "SHOW fsync") == "on"
        assert ask(servers, "SELECT current_database()") == "ibutsu"
        assert len(server_processes(data_dir)) >= 2
    assert server_processes(data_dir) == []
    assert said == ["starting Valkey", "creating the PostgreSQL cluster"]


@pytest.mark.usefixtures("used")
def test_listens_on_private_unix_sockets_alone(data_dir: Path) -> None:
    with LocalServers(data_dir) as servers:
        sockets = Path(servers.valkey.socket).parent
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        assert ask(servers, "SHOW listen_addresses") == ""
        assert [c for p in main_processes(data_dir) for c in p.net_connections("inet")] == []
    assert not sockets.exists()


@pytest.mark.usefixtures("used")
def test_data_persist(data_dir: Path) -> None:
    with LocalServers(data_dir) as servers, build_client(servers.broker_url) as client:
        client.set("kept", "yes")
        ask(servers, "CREATE TABLE kept AS SELECT 42 AS answer; SELECT 1")
    said: list[str] = []
    with (
        LocalServers(data_dir, on_progress=said.append) as servers,
        build_client(servers.broker_url) as client,
    ):
        assert client.get("kept") == b"yes"
        assert ask(servers, "SELECT answer FROM kept") == "42"
    assert said == ["starting Valkey", "starting PostgreSQL"]


def test_path_with_spaces_quotes_and_200_characters(data_dir: Path) -> None:
    long = data_dir / "a b'c" / ("x" * 200)
    with LocalServers(long) as servers, build_client(servers.broker_url) as client:
        assert client.ping()
        assert ask(servers, "SELECT 1") == "1"
    assert server_processes(long) == []


@pytest.mark.usefixtures("used")
def test_holders_share_and_the_last_one_stops(data_dir: Path, hold: Callable[..., Holder]) -> None:
    first, second = hold(), hold()
    assert first.urls() == second.urls()
    first.leave()
    assert server_processes(data_dir) != []
    second.leave()
    assert server_processes(data_dir) == []


@pytest.mark.usefixtures("used")
def test_kill_of_the_first_holder_does_not_keep_the_servers(
    data_dir: Path, hold: Callable[..., Holder]
) -> None:
    first = hold()
    urls = first.urls()
    second = hold()
    assert second.urls() == urls
    first.kill()
    second.leave()
    assert server_processes(data_dir) == []


@pytest.mark.usefixtures("used")
def test_orphans_are_adopted_and_stopped(data_dir: Path, hold: Callable[..., Holder]) -> None:
    only = hold()
    urls = only.urls()
    only.kill()
    orphans = {process.pid for process in server_processes(data_dir)}
    assert orphans
    with LocalServers(data_dir) as servers:
        assert [servers.broker_url, servers.database_url] == urls
        assert orphans & {process.pid for process in server_processes(data_dir)}
    assert server_processes(data_dir) == []


@pytest.mark.usefixtures("used")
def test_killed_servers_leave_nothing_in_the_way(data_dir: Path, hold: Callable[..., Holder]) -> None:
    holder = hold()
    holder.urls()
    holder.kill()
    for process in server_processes(data_dir):
        with suppress(psutil.NoSuchProcess):  # the children end with the first one
            process.kill()
    assert wait_for(lambda: not server_processes(data_dir))
    with LocalServers(data_dir) as servers:
        assert ask(servers, "SELECT 1") == "1"


@pytest.mark.usefixtures("used")
def test_a_stranger_with_the_noted_pid_is_left_alone(data_dir: Path) -> None:
    with LocalServers(data_dir):
        note = (data_dir / "postgresql" / "postmaster.pid").resolve()
        words = note.read_text()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        note.write_text("\n".join([str(stranger.pid), *words.split("\n")[1:]]))
        (data_dir / "valkey" / "valkey.pid").write_text(f"{stranger.pid}\n")
        with LocalServers(data_dir) as servers:
            assert ask(servers, "SELECT 1") == "1"
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.usefixtures("used")
@pytest.mark.soak
def test_a_frozen_server_is_replaced(
    data_dir: Path, hold: Callable[..., Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RECOVERY_SECONDS", 0.5)
    monkeypatch.setattr(server, "STOP_SECONDS", 0.5)
    holder = hold()
    holder.urls()
    holder.kill()
    for process in server_processes(data_dir):
        with suppress(psutil.NoSuchProcess):  # an autovacuum worker comes and goes
            process.suspend()
    with LocalServers(data_dir) as servers:
        assert ask(servers, "SELECT 1") == "1"
    assert server_processes(data_dir) == []


def test_reset_is_refused_while_in_use_and_empties_afterwards(data_dir: Path) -> None:
    with LocalServers(data_dir) as servers:
        ask(servers, "CREATE TABLE gone (); SELECT 1")
        with pytest.raises(RefusedError, match="in use"):
            reset(data_dir)
    reset(data_dir)
    with LocalServers(data_dir) as servers:
        assert ask(servers, "SELECT to_regclass('gone') IS NULL") == "True"


def test_what_a_reset_cannot_remove_is_one_sentence(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "valkey").touch()
    with pytest.raises(LocalServersError, match=r"cannot be used: .*valkey: Not a directory"):
        reset(data_dir)
    (data_dir / "valkey").unlink()


@pytest.mark.usefixtures("used")
def test_reset_ends_orphans(data_dir: Path, hold: Callable[..., Holder]) -> None:
    holder = hold()
    holder.urls()
    holder.kill()
    reset(data_dir)
    assert server_processes(data_dir) == []
    assert not (data_dir / "postgresql").exists()


@pytest.mark.usefixtures("used")
def test_damaged_data_are_named_with_the_log_and_the_way_out(data_dir: Path) -> None:
    with LocalServers(data_dir):
        pass
    (data_dir / "postgresql" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(LocalServersError, match=r"PostgreSQL did not start[\s\S]*pg_control") as caught:
        LocalServers(data_dir).start()
    assert f"`ibutsu-tasks up --reset --data-dir {data_dir}`" in caught.value.hint
    assert str(data_dir / "logs" / "postgresql.log") in caught.value.hint
    assert server_processes(data_dir) == []


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize("mode", [0o755, 0o000, 0o777])
def test_a_changed_mode_of_the_cluster_is_put_right(data_dir: Path, mode: int) -> None:
    with LocalServers(data_dir) as servers:
        ask(servers, "CREATE TABLE kept AS SELECT 42 AS answer; SELECT 1")
    cluster = data_dir / "postgresql"
    cluster.chmod(mode)
    with LocalServers(data_dir) as servers:
        assert ask(servers, "SELECT answer FROM kept") == "42"
    assert stat.S_IMODE(cluster.stat().st_mode) == 0o700


@pytest.mark.usefixtures("used")
def test_a_fault_that_is_no_damage_names_the_log_first(data_dir: Path) -> None:
    with LocalServers(data_dir):
        pass
    with (data_dir / "postgresql" / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    with pytest.raises(LocalServersError, match="PostgreSQL did not start") as caught:
        LocalServers(data_dir).start()
    log = data_dir / "logs" / "postgresql.log"
    assert caught.value.hint.startswith(f"Read {log}. Only when it says that the data are damaged")


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_directory_of_somebody_else_is_neither_used_nor_removed(data_dir: Path, mode: int) -> None:
    foreign = data_dir / "postgresql"
    foreign.mkdir(parents=True)
    foreign.chmod(mode)
    (foreign / "thesis.txt").write_text("years of work")
    for action in (LocalServers(data_dir).start, lambda: reset(data_dir)):
        with pytest.raises(LocalServersError, match="holds files but no PG_VERSION"):
            action()
    assert (foreign / "thesis.txt").exists()
    assert stat.S_IMODE(foreign.stat().st_mode) == mode
    (foreign / "thesis.txt").unlink()


def test_a_file_in_place_of_the_cluster_is_named(data_dir: Path) -> None:
    data_dir.mkdir(parents=True)
    (data_dir / "postgresql").touch()
    for action in (LocalServers(data_dir).start, lambda: reset(data_dir)):
        with pytest.raises(LocalServersError, match="is no directory"):
            action()
    (data_dir / "postgresql").unlink()


@pytest.mark.usefixtures("used")
def test_damaged_broker_data_are_named(data_dir: Path) -> None:
    with LocalServers(data_dir):
        pass
    for manifest in (data_dir / "valkey" / "appendonlydir").glob("*.manifest"):
        manifest.write_text("nonsense\n")
    with pytest.raises(LocalServersError, match="Valkey did not start"):
        LocalServers(data_dir).start()


@pytest.mark.usefixtures("used")
def test_data_of_another_major_version_are_refused(data_dir: Path) -> None:
    with LocalServers(data_dir):
        pass
    (data_dir / "postgresql" / "PG_VERSION").write_text("16\n")
    with pytest.raises(LocalServersError, match="PostgreSQL 16, and PostgreSQL 18 is installed"):
        LocalServers(data_dir).start()
    (data_dir / "postgresql" / "PG_VERSION").write_text("18\n")


def test_a_file_in_place_of_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalServersError, match="cannot be used") as caught:
        LocalServers(tmp_path / "file").start()
    assert "--data-dir" in caught.value.hint


def test_a_stuck_start_is_reported_in_time(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir.mkdir()
    monkeypatch.setattr(leases, "LOCK_TIMEOUT_SECONDS", 0.3)
    with (
        leases.start_lock(data_dir),
        pytest.raises(LocalServersError, match="starting or stopping"),
    ):
        LocalServers(data_dir).start()


@pytest.mark.usefixtures("used")
def test_a_socket_directory_of_somebody_else_is_never_used(data_dir: Path) -> None:
    foreign = data_dir.parent / "ibutsu-tasks-foreign"
    foreign.mkdir(mode=0o755)
    (data_dir / "servers.json").write_text(f'{{"socket_directory": "{foreign}", "process_namespace": ""}}')
    with LocalServers(data_dir) as servers:
        assert Path(servers.valkey.socket).parent != foreign
    assert foreign.exists()


def postgres_owner(process: psutil.Process) -> int | None:
    with suppress(psutil.NoSuchProcess):  # an autovacuum worker comes and goes
        return process.uids().real if "postgres" in process.name() else None
    return None


@AS_ROOT
def test_root_with_and_without_user_namespaces(
    data_dir: Path, tmp_path: Path, hold: Callable[..., Holder]
) -> None:
    (tmp_path / "setpriv").symlink_to(shutil.which("setpriv") or "")  # and no `unshare` beside it
    before = [(p, p.stat().st_mode, p.stat().st_uid) for p in data_dir.parents]
    with LocalServers(data_dir) as servers:
        ask(servers, "CREATE TABLE kept AS SELECT 42 AS answer; SELECT 1")
    first = hold(search_path=str(tmp_path))
    urls = first.urls()
    second = hold()
    assert second.urls() == urls
    owners = set(map(postgres_owner, server_processes(data_dir))) - {None}
    assert owners.isdisjoint({0})
    assert owners
    first.leave()
    second.leave()
    assert server_processes(data_dir) == []
    assert [(p, p.stat().st_mode, p.stat().st_uid) for p in data_dir.parents] == before
    with LocalServers(data_dir) as servers:
        assert ask(servers, "SELECT answer FROM kept") == "42"


@AS_ROOT
def test_root_creates_a_cluster_without_user_namespaces(
    data_dir: Path, tmp_path: Path, hold: Callable[..., Holder]
) -> None:
    (tmp_path / "setpriv").symlink_to(shutil.which("setpriv") or "")
    assert len(hold(search_path=str(tmp_path)).urls()) == 2
    assert (data_dir / "postgresql").stat().st_uid != 0


def can_run_as(user_id: int) -> tuple[str, ...]:
    """Give the prefix that runs as `user_id`, or skip where that user cannot read this installation."""
    prefix = ("setpriv", f"--reuid={user_id}", f"--regid={user_id}", "--clear-groups", "--")
    command = [*prefix, sys.executable, "-c", "import ibutsu_tasks.local.servers.shared"]
    if subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False).returncode != 0:
        pytest.skip("other users cannot read this installation")
    return prefix


@AS_ROOT
def test_an_ordinary_user_without_a_home(data_dir: Path) -> None:
    prefix = can_run_as(65534)
    data_dir.parent.chmod(0o755)
    data_dir.mkdir()
    os.chown(data_dir, 65534, 65534)
    holder = Holder(data_dir, prefix=prefix)
    assert len(holder.urls()) == 2
    assert {p.uids().real for p in server_processes(data_dir)} == {65534}
    assert holder.leave() == ""
    assert server_processes(data_dir) == []


@AS_ROOT
def test_a_user_id_without_a_name(data_dir: Path) -> None:
    prefix = can_run_as(54321)
    data_dir.parent.chmod(0o755)
    data_dir.mkdir()
    os.chown(data_dir, 54321, 54321)
    namespaces = ["unshare", "--user", "--map-user=65534", "true"]
    works = subprocess.run([*prefix, *namespaces], capture_output=True, check=False).returncode == 0
    holder = Holder(data_dir, prefix=prefix)
    assert len(holder.urls()) == (2 if works else 0)
    errors = holder.leave()
    assert errors == "" if works else "has no name on this machine" in errors
    assert server_processes(data_dir) == []


@AS_ROOT
def test_an_unwritable_directory_names_the_option(data_dir: Path) -> None:
    prefix = can_run_as(65534)
    data_dir.parent.chmod(0o755)
    holder = Holder(data_dir, prefix=prefix)
    assert "cannot be used: Permission denied" in holder.leave()
