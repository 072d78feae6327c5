from __future__ import annotations

from pathlib import Path

import pytest

from ibutsu_tasks.local.servers.reset import reset_command, tells_of_damage


@pytest.mark.parametrize(
    "log",
    [
        'PANIC:  could not read file "global/pg_control": read 0 of 296',
        "FATAL:  incorrect checksum in control file",
        "PANIC:  could not locate a valid checkpoint record at 0/1500028",
        "FATAL:  database files are incompatible with server",
        'FATAL:  could not open directory "pg_notify": No such file or directory',
        "# Bad file format reading the append only file appendonly.aof.1.incr.aof",
        "# Invalid AOF manifest file format",
        "# Can't handle RDB format version 80",
    ],
)
def test_damage_is_recognised(log: str) -> None:
    assert tells_of_damage(log)


@pytest.mark.parametrize(
    "log",
    [
        'FATAL:  data directory "/data/postgresql" has invalid permissions',
        'PANIC:  could not open file "global/pg_control": Permission denied',
        'FATAL:  could not create lock file "/run/.s.PGSQL.5432.lock": Read-only file system',
        "LOG:  checkpoint starting: end-of-recovery immediate wait",
        "FATAL:  could not map anonymous shared memory: Cannot allocate memory",
        "it did not answer within 30 seconds",
        "# Can't open the append-only file: Permission denied",
    ],
)
def test_other_faults_are_not_taken_for_damage(log: str) -> None:
    assert not tells_of_damage(log)


def test_the_command_names_any_other_place_than_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    default = tmp_path / "ibutsu-tasks"
    assert reset_command(default) == "`ibutsu-tasks up --reset`"
    assert reset_command(Path("/my data")) == "`ibutsu-tasks up --reset --data-dir '/my data'`"
    monkeypatch.setenv("IBUTSU_TASKS_DATA_DIR", str(default))
    assert reset_command(default) == f"`ibutsu-tasks up --reset --data-dir {default}`"
