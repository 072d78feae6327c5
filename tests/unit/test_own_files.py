"""Files and directories that others could have planted are not used, and no link is followed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.guard import end_leftover_roles, write_roles
from ibutsu_tasks.local.processes import ProcessMark
from ibutsu_tasks.local.servers.directories import (
    ServersRecord,
    forget_servers,
    prepare_data_directory,
    read_servers_record,
)
from ibutsu_tasks.own_files import NotOurOwnError, open_own, read_own, write_own
from ibutsu_tasks.stack_record import StackRecord, read_record, write_record
from tests.commands import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def others_may_write(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def belongs_to_another(path: Path) -> None:
    os.chown(path, 12345, -1, follow_symlinks=False)


SPOILT = [
    pytest.param(others_may_write, "may be written by others", id="writable"),
    pytest.param(belongs_to_another, "belongs to another user", id="foreign", marks=as_root),
]


@pytest.mark.parametrize(("spoil", "reason"), SPOILT)
@pytest.mark.parametrize("name", ["", "logs", "roles.json", "stack.json", "servers.json", "logs/beat.log"])
def test_a_data_directory_is_used_only_when_it_is_our_own(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str, name: str
) -> None:
    data_dir = prepare_data_directory(tmp_path / "data")
    place = data_dir / name
    if not place.exists():
        place.touch()
    assert prepare_data_directory(data_dir) == data_dir
    spoil(place)
    with pytest.raises(LocalServersError, match=f"{place} {reason}"):
        prepare_data_directory(data_dir)


def test_a_link_of_our_own_leads_to_the_data_directory_and_none_in_it_leads_away(tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "large disk")
    assert prepare_data_directory(tmp_path / "data") == tmp_path / "large disk"
    (tmp_path / "large disk" / "roles.json").symlink_to("/etc/passwd")
    with pytest.raises(LocalServersError, match=r"roles\.json is a link"):
        prepare_data_directory(tmp_path / "data")


@as_root
def test_a_link_that_somebody_else_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "mine")
    belongs_to_another(tmp_path / "data")
    with pytest.raises(LocalServersError, match="belongs to another user"):
        prepare_data_directory(tmp_path / "data")
    assert list((tmp_path / "mine").iterdir()) == []


def test_up_refuses_a_directory_that_others_may_write(tmp_path: Path) -> None:
    (tmp_path / f"ibutsu-tasks-{os.getuid()}").mkdir()
    (tmp_path / f"ibutsu-tasks-{os.getuid()}").chmod(0o777)
    done = run("up", "--no-flower", env={"HOME": "", "XDG_DATA_HOME": "", "TMPDIR": str(tmp_path)})
    assert done.returncode == 1
    assert "may be written by others" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "make"), [("stack.lock", os.mkfifo), ("stack.lock", os.mkdir), ("stack.json", os.mkdir)]
)
def test_up_says_what_is_no_file_in_its_data_directory(
    tmp_path: Path, name: str, make: Callable[[Path, int], None]
) -> None:
    make(tmp_path / name, 0o700)
    done = run("up", "--no-flower", "--data-dir", str(tmp_path), env={"LANGUAGE": "en"})
    assert (done.returncode, done.stderr.count("Try:")) == (1, 1)
    assert f"{tmp_path} cannot be used: {tmp_path / name}" in done.stderr


def _write_servers(data_dir: Path) -> None:
    write_own(data_dir / "servers.json", json.dumps({"socket_directory": "/x", "process_namespace": "y"}))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        (
            "stack.json",
            lambda data_dir: write_record(data_dir, StackRecord(1, "redis://a", "postgresql://b")),
        ),
        ("roles.json", lambda data_dir: write_roles(data_dir, ProcessMark(1, 0.0), [])),
        ("servers.json", _write_servers),
    ],
)
def test_a_draft_neither_follows_a_link_nor_keeps_a_mode(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / f"{name}.new").symlink_to("precious")
    write(tmp_path)
    assert (tmp_path / "precious").read_text() == "years of work"
    assert not (tmp_path / name).is_symlink()
    (tmp_path / f"{name}.new").touch()
    (tmp_path / f"{name}.new").chmod(0o666)
    write(tmp_path)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("spoil", "reason"), SPOILT)
def test_no_process_is_ended_and_no_directory_removed_that_a_planted_note_names(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    dead, me = ProcessMark(2**22 + 1, 0.0), ProcessMark.of(os.getpid())
    write_roles(tmp_path, dead, [me])
    _write_servers(tmp_path)
    assert read_servers_record(tmp_path) == ServersRecord("/x", "y")
    for name in ("roles.json", "servers.json"):
        spoil(tmp_path / name)
        with pytest.raises(NotOurOwnError, match=reason):
            read_own(tmp_path / name)
    assert end_leftover_roles(tmp_path) == 0
    assert read_servers_record(tmp_path) is None
    forget_servers(tmp_path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "stack.json", 0o600)
    os.mkfifo(tmp_path / "stack.lock", 0o600)
    with pytest.raises(NotOurOwnError, match="is no regular file"):
        open_own(tmp_path / "stack.json", os.O_RDONLY)
    assert read_record(tmp_path) is None
