"""What lies in the working directory is never run: every library a command could load has a decoy there."""

from __future__ import annotations

import sys
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING

import pytest

from tests.commands import CELERY, PROGRAM, Running, run, services, until
from tests.conftest import discard
from tests.doors import dead_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN = {"ibutsu_tasks", "tests"}

DECOY = """
with open({marker!r}, "a") as marker:
    marker.write(__name__ + "\\n")
raise SystemExit("a file of the working directory was run")
"""

AS_MODULE = (sys.executable, "-P", "-m", "ibutsu_tasks")

REPORT = '<testsuite name="s"><testcase classname="c" name="n"/></testsuite>'


class Trap:
    """A directory with a decoy for every module there is, and the names of those that were run."""

    def __init__(self, directory: Path, marker: Path) -> None:
        self.directory, self._marker = directory, marker
        names = (
            set(sys.stdlib_module_names) | set(packages_distributions()) | {"celeryconfig", "flowerconfig"}
        )
        for name in names - OWN:
            if name.isidentifier():
                (directory / f"{name}.py").write_text(DECOY.format(marker=str(marker)))
        (directory / "report.xml").write_text(REPORT)

    @property
    def run(self) -> list[str]:
        return self._marker.read_text().splitlines() if self._marker.exists() else []


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    (tmp_path / "work").mkdir()
    return Trap(tmp_path / "work", tmp_path / "run")


@pytest.fixture
def env(broker_url: str, database_url: str) -> dict[str, str]:
    # Celery and Django would take modules from these; other programs use the names for other things.
    named = {"APP": "celeryconfig", "LOADER": "celeryconfig:x", "CONFIG_MODULE": "celeryconfig"}
    named |= {"CELERY_CONFIG_MODULE": "celeryconfig", "DJANGO_SETTINGS_MODULE": "celeryconfig"}
    return services(broker_url, database_url) | named


@pytest.mark.parametrize(
    "words",
    [
        "enqueue sync_aborted_runs",
        "enqueue update_run run_id=x --local",
        "prune all --dry-run",
        "prune --history",
        "doctor",
        "lint report.xml",
        "import report.xml --no-wait",
        "config",
        "db --help",
        "--version",
    ],
)
def test_no_command_runs_a_file_of_the_working_directory(env: dict[str, str], trap: Trap, words: str) -> None:
    done = run(*words.split(), env=env, cwd=trap.directory)
    assert trap.run == []
    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 1}, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [("worker", " ready."), ("beat", "this beat leads now"), ("flower", "Visit me at")],
)
@pytest.mark.parametrize("start", [(PROGRAM,), pytest.param(AS_MODULE, marks=pytest.mark.soak)])
def test_no_role_does(env: dict[str, str], trap: Trap, words: str, said: str, start: tuple[str, ...]) -> None:
    own = env | {"FLOWER_PORT": str(dead_port())}
    with Running(*start, *words.split(), env=own, cwd=trap.directory) as role:
        role.wait_for(said)
        assert role.stop() == 0
    assert trap.run == []


def test_a_worker_at_work_does_not(env: dict[str, str], trap: Trap) -> None:
    with Running(PROGRAM, "worker", env=env, cwd=trap.directory) as worker:
        worker.wait_for(" ready.")
        done = run("import", "report.xml", env=env, cwd=trap.directory)
        assert done.returncode == 0, done.stderr
        assert worker.stop() == 0
    assert trap.run == []


@pytest.mark.soak
@pytest.mark.parametrize(
    ("app", "words", "said"),
    [("worker_app", "worker", " ready."), ("scheduler_app", "beat --pidfile=", "this beat leads now")],
)
def test_celerys_own_command_line_does_not(
    env: dict[str, str], trap: Trap, app: str, words: str, said: str
) -> None:
    own = {name: value for name, value in env.items() if name not in {"APP", "LOADER", "CONFIG_MODULE"}}
    with Running(CELERY, "-A", f"ibutsu_tasks:{app}", *words.split(), env=own, cwd=trap.directory) as role:
        role.wait_for(said)
        role.stop()
    assert trap.run == []


def test_started_as_a_module_it_does_not(env: dict[str, str], trap: Trap) -> None:
    # Python itself takes its own modules from there, before any code of ours runs.
    for name in sys.stdlib_module_names:
        (trap.directory / f"{name}.py").unlink(missing_ok=True)
    with Running(
        sys.executable, "-m", "ibutsu_tasks", "doctor", "--only", "broker", env=env, cwd=trap.directory
    ) as done:
        until(lambda: done.process.poll() is not None)
    assert "IBT-B00" in done.output
    assert trap.run == []


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    discard(tmp_path / "data")


def test_up_and_what_it_starts_do_not(data_dir: Path, trap: Trap) -> None:
    env = {"IBUTSU_TASKS_DATA_DIR": str(data_dir)}
    done = run("up", "--once", "report.xml", env=env, cwd=trap.directory)
    assert done.returncode == 0, done.stderr
    with Running(PROGRAM, "up", env=env, cwd=trap.directory) as up:
        up.wait_for("ready in")
        up.stop()
    assert trap.run == []
