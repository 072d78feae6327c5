"""Keeps the roles of a stack running: starts them, restarts what dies, stops them in order."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Event, Thread
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import IbutsuTasksError, LocalServersError
from ibutsu_tasks.local.guard import remove_roles, write_roles
from ibutsu_tasks.local.processes import how_it_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ibutsu_tasks.local.processes import ProcessMark
    from ibutsu_tasks.local.role_processes import Role, RoleProcess

POLL_SECONDS = 0.2
QUICK_DEATH_SECONDS = 30.0
MOST_QUICK_DEATHS = 5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0


@dataclass
class _Watched:
    """A role, its present process, and how it has fared."""

    role: Role
    process: RoleProcess | None = None
    started: float = 0.0
    quick_deaths: int = 0
    restart_at: float = 0.0


class Supervisor:
    """The roles of one stack, given in the order they start in; they stop in the opposite one.

    `start_role` starts one. `say` receives sentences, `before_restart` the role about to be started again;
    `restart_servers`, called at every look, starts ended servers again.
    When a role cannot be kept running, whatever the error, `failure` says so and `on_failure` is called,
    from another thread.
    """

    def __init__(
        self,
        data_dir: Path,
        owner: ProcessMark,
        roles: Sequence[Role],
        start_role: Callable[[Role], RoleProcess],
        *,
        say: Callable[[str], None],
        restart_servers: Callable[[], None],
        before_restart: Callable[[Role], None],
        on_failure: Callable[[], None],
    ) -> None:
        self.failure: IbutsuTasksError | None = None
        self._data_dir, self._owner = data_dir, owner
        self._start_role, self._say = start_role, say
        self._restart_servers, self._before_restart = restart_servers, before_restart
        self._on_failure = on_failure
        self._watched = [_Watched(role) for role in roles]
        self._ending = Event()
        self._thread = Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all roles and watch over them."""
        for watched in self._watched:
            self._start(watched)
        self._thread.start()

    def stop(self, must_hurry: Callable[[], bool]) -> None:
        """End all roles, the last started first."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        for watched in reversed(self._watched):
            if watched.process is not None:
                watched.process.stop(must_hurry)
        remove_roles(self._data_dir)

    def _watch(self) -> None:
        while not self._ending.wait(POLL_SECONDS):
            try:
                self._restart_servers()
                for watched in self._watched:
                    self._look_after(watched)
            except Exception as error:  # noqa: BLE001 - a thread that ends unseen leaves the stack unwatched
                self.failure = _as_failure(error)
                self._on_failure()
                return

    def _look_after(self, watched: _Watched) -> None:
        if watched.process is None:
            if time.monotonic() >= watched.restart_at:
                self._before_restart(watched.role)
                self._start(watched)
        elif (code := watched.process.exit_code()) is not None:
            self._bury(watched, watched.process, code)

    def _start(self, watched: _Watched) -> None:
        watched.process = self._start_role(watched.role)
        watched.started = time.monotonic()
        marks = [other.process.mark for other in self._watched if other.process is not None]
        write_roles(self._data_dir, self._owner, marks)

    def _bury(self, watched: _Watched, process: RoleProcess, code: int) -> None:
        """Take leave of a role that ended by itself, and plan its restart or give up."""
        process.close()
        watched.process = None
        is_quick = time.monotonic() - watched.started < QUICK_DEATH_SECONDS
        watched.quick_deaths = watched.quick_deaths + 1 if is_quick else 1
        pause_seconds = min(FIRST_PAUSE_SECONDS * 2 ** (watched.quick_deaths - 1), LONGEST_PAUSE_SECONDS)
        ended = f"{watched.role.name} {how_it_ended(code)}"
        if watched.quick_deaths >= MOST_QUICK_DEATHS:
            raise _give_up(ended, process)
        watched.restart_at = time.monotonic() + pause_seconds
        self._say(f"{ended}; starting it again in {pause_seconds:.1f} s")


def _as_failure(error: Exception) -> IbutsuTasksError:
    if isinstance(error, IbutsuTasksError):
        return error
    reason = " ".join(str(error).split())
    return LocalServersError(
        f"The stack cannot be kept running: {type(error).__name__}{': ' if reason else ''}{reason}.",
        "Mend what it complains of, then run `ibutsu-tasks up` again.",
    )


def _give_up(ended: str, process: RoleProcess) -> LocalServersError:
    lines = "\n".join(f"  {line}" for line in process.last_lines)
    return LocalServersError(
        f"{ended}, {MOST_QUICK_DEATHS} times in a row. Its last words:\n{lines}",
        "Mend what it complains of, then run `ibutsu-tasks up` again.",
    )
