"""`examples/systemd`: units that systemd takes as they are, and what they promise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_lines import read_command_line, read_environment
from tests.manifests import EXAMPLES

FOLDER = EXAMPLES / "systemd"
SERVICES = sorted(path.name for path in FOLDER.glob("*.service"))
PROGRAM = "/opt/ibutsu-tasks/bin/ibutsu-tasks"
WORKER = "ibutsu-tasks-worker@.service"
MOST_EXPOSURE = 20
"""Of 100, by the measure of systemd itself; a service without any hardening has 96."""

with_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")


def lines_of(unit: str) -> list[tuple[str, str]]:
    lines = (FOLDER / unit).read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and line[0] not in "#["]
    return [(name, value) for name, _, value in pairs]


def values(unit: str, name: str) -> list[str]:
    return [value for key, value in lines_of(unit) if key == name]


def environment_of(unit: str) -> dict[str, str]:
    """The variables of a unit; those of the file win."""
    lines = (FOLDER / "ibutsu-tasks.env").read_text(encoding="utf-8").splitlines()
    own = [*values(unit, "Environment"), *(line for line in lines if not line.startswith("#"))]
    return dict(one.split("=", 1) for one in own)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units where the program is at hand, for systemd looks for it."""
    here = str(Path(sys.executable).with_name("ibutsu-tasks"))
    for path in [*FOLDER.glob("*.service"), *FOLDER.glob("*.target")]:
        name = path.name.replace("@.", "@1.")
        (tmp_path / name).write_text(
            path.read_text(encoding="utf-8").replace(PROGRAM, here), encoding="utf-8"
        )
    return tmp_path


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@with_systemd
def test_systemd_has_nothing_to_say(installed: Path) -> None:
    done = analyze("verify", "--man=no", *map(str, sorted(installed.iterdir())))
    assert (done.returncode, done.stderr) == (0, "")
    wrong = installed / "ibutsu-tasks-beat.service"
    wrong.write_text(wrong.read_text(encoding="utf-8").replace("TimeoutStopSec=", "TimeoutEndSec="))
    assert "TimeoutEndSec" in analyze("verify", "--man=no", str(wrong)).stderr


@with_systemd
@pytest.mark.parametrize("unit", SERVICES)
def test_no_service_may_more_than_it_needs(installed: Path, unit: str) -> None:
    path = installed / unit.replace("@.", "@1.")
    done = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", str(path))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", SERVICES)
def test_each_starts_with_what_it_is_given(unit: str) -> None:
    (command,) = values(unit, "ExecStart")
    program, *words = command.split()
    assert program == PROGRAM
    read_command_line(words)
    read_environment(environment_of(unit)).require_services()


@pytest.mark.parametrize("unit", SERVICES)
def test_each_comes_again_after_a_fault_and_not_with_wrong_settings(unit: str) -> None:
    # A worker that was told to shut down, by `deploy check --failover` too, is to be replaced.
    assert values(unit, "Restart") == ["always" if unit == WORKER else "on-failure"]
    assert values(unit, "RestartPreventExitStatus") == ["2 3"]
    # An end by the watchdog (70) is a fault, too.
    assert not values(unit, "SuccessExitStatus")
    assert values(unit, "StartLimitIntervalSec") == ["0"]
    # What a worker unpacks is more than its memory, as which `/run` would count.
    kind, place = ("CacheDirectory", "/var/cache") if unit == WORKER else ("RuntimeDirectory", "/run")
    (directory,) = values(unit, kind)
    assert environment_of(unit)["IBUTSU_TASKS_SCRATCH_DIR"] == f"{place}/{directory}"
    assert values(unit, f"{kind}Mode") == ["0700"]


def test_a_worker_may_end_a_long_import() -> None:
    grace_seconds = int(environment_of(WORKER)["IBUTSU_TASKS_GRACE_SECONDS"])
    assert grace_seconds >= 600
    (stop_seconds,) = values(WORKER, "TimeoutStopSec")
    assert int(stop_seconds) - grace_seconds == 30
    # Else systemd would end the processes of the pool, and with them what runs.
    assert values(WORKER, "KillMode") == ["mixed"]


def test_one_target_has_them_all() -> None:
    (wanted,) = values("ibutsu-tasks.target", "Wants")
    assert sorted(one.replace("@1.", "@.") for one in wanted.split()) == SERVICES
    for unit in SERVICES:
        assert values(unit, "PartOf") == values(unit, "WantedBy") == ["ibutsu-tasks.target"]
