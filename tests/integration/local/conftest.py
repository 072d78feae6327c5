"""What the tests of the embedded servers share: data directories and holders in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from ibutsu_tasks.local.servers.shared import reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOLDER = """
import sys
from pathlib import Path
from ibutsu_tasks.local.servers.shared import LocalServers
with LocalServers(Path(sys.argv[1])) as servers:
    print(servers.broker_url, servers.database_url, flush=True)
    sys.stdin.readline()
"""

REPOSITORY = Path(__file__).parents[3]


class Holder:
    """A process that uses the servers until it is told to leave or killed."""

    def __init__(
        self, data_dir: Path, *, prefix: tuple[str, ...] = (), search_path: str = os.environ["PATH"]
    ) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", HOLDER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={"PATH": search_path},
        )

    def urls(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def leave(self) -> str:
        """End it properly; give what it wrote to stderr."""
        _, errors = self.process.communicate("\n", timeout=120)
        return errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not tmp_path: everybody may enter this one's parents, and nothing of it stays behind.
    with tempfile.TemporaryDirectory(prefix="ibutsu-tasks-test-") as directory:
        path = Path(directory) / "data"
        yield path
        reset(path)


@pytest.fixture
def used(data_dir: Path, used_data_dir: Path) -> None:
    """Begin with a cluster, which takes ten times as long to create as to start."""
    shutil.copytree(used_data_dir, data_dir)


@pytest.fixture
def hold(data_dir: Path) -> Iterator[Callable[..., Holder]]:
    holders: list[Holder] = []

    def start(**options: str) -> Holder:
        holders.append(Holder(data_dir, **options))
        return holders[-1]

    yield start
    for holder in holders:
        if holder.process.poll() is None:
            holder.leave()


def server_processes(data_dir: Path) -> list[psutil.Process]:
    """Find the live servers of `data_dir` by where they work; zombies do not count."""
    places = {str((data_dir / name).resolve()) for name in ("postgresql", "valkey")}
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() in places and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def main_processes(data_dir: Path) -> list[psutil.Process]:
    """Give the two that live as long as the servers do; PostgreSQL's own children come and go."""
    notes = [data_dir / "valkey" / "valkey.pid", data_dir / "postgresql" / "postmaster.pid"]
    return [psutil.Process(int(note.read_text().split()[0])) for note in notes]


def wait_for(condition: Callable[[], bool], timeout_seconds: float = 120) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()
