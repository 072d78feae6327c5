"""The role processes: how each is started, what it says, how it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import ibutsu_tasks
from ibutsu_tasks.local.processes import ProcessMark, kill_processes, wait_until
from ibutsu_tasks.text.control_characters import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

KEPT_LINES = 8

# What a stack sets itself must not be contradicted from outside, nor by the same name with _FILE.
_OWN_VARIABLES = (
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT",
    "FLOWER_ADDRESS",
    "FLOWER_BASIC_AUTH",
    "FLOWER_PORT",
    "IBUTSU_TASKS_HEALTH_PORT",
    "IBUTSU_TASKS_GRACE_SECONDS",
    "IBUTSU_TASKS_LOG_FORMAT",
    "POSTGRES",
    "REMAP_SIGTERM",
    "SQLALCHEMY_DATABASE_URI",
)


@dataclass(frozen=True, slots=True)
class Role:
    """One process of the stack. `stop_signals` are sent in turn, each with the seconds it is given."""

    name: str
    arguments: tuple[str, ...] = ()
    stop_signals: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 1.0),)


# A worker is given time for its tasks on SIGTERM. SIGQUIT after that puts what still runs back in the queue.
# The only worker need not look for others, which takes a second.
WORKER = Role(
    "worker", ("--", "--without-mingle"), stop_signals=((signal.SIGTERM, 4.0), (signal.SIGQUIT, 2.0))
)
BEAT = Role("beat", stop_signals=((signal.SIGTERM, 1.5),))
FLOWER = Role("flower")
ROLES = {role.name: role for role in (WORKER, BEAT, FLOWER)}


def role_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of the roles: `own` over what is left of ours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)}
    return {
        **inherited,
        "PYTHONUNBUFFERED": "1",
        # Celery's advice to root is about pickle, which we do not accept.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
        **own,
    }


def python_command(*arguments: str) -> list[str]:
    """Give the command that runs a module of ours in the interpreter we run in."""
    # A file redis.py in the user's directory must not be taken for the library.
    is_source_tree = Path(ibutsu_tasks.__file__).parents[1] == Path.cwd()
    return [sys.executable, *([] if is_source_tree else ["-P"]), "-m", *arguments]


class RoleProcess:
    """One run of a role, in a session of its own, so that Ctrl-C of our terminal does not reach it."""

    def __init__(
        self,
        role: Role,
        environment: Mapping[str, str],
        on_line: Callable[[str, str], None],
        global_options: Sequence[str] = (),
    ) -> None:
        self.role = role
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._on_line = on_line
        self._process = subprocess.Popen(  # noqa: S603 - a fixed command of ours
            python_command("ibutsu_tasks", *global_options, role.name, *role.arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self.mark = ProcessMark.of(self._process.pid)
        self._reader = Thread(target=self._read, name=f"{role.name}-output", daemon=True)
        self._reader.start()

    def exit_code(self) -> int | None:
        """Give the exit code, negative for a signal, or None while it runs."""
        return self._process.poll()

    def stop(self, must_hurry: Callable[[], bool]) -> None:
        """End it, gently first; once `must_hurry` is true only the last signal is waited for."""
        *_, (last, _) = self.role.stop_signals
        for number, seconds in self.role.stop_signals:
            self._process.send_signal(number)
            is_over = partial(self._is_over, (lambda: False) if number is last else must_hurry)
            wait_until(is_over, seconds)
            if self.exit_code() is not None:
                break
        self.close()

    def close(self) -> None:
        """Kill what is left of its session and take its last words."""
        kill_processes(self.mark.session())
        self._process.wait()
        self._reader.join(timeout=2)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()

    def _is_over(self, must_hurry: Callable[[], bool]) -> bool:
        return self.exit_code() is not None or must_hurry()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            text = visible(line.rstrip())
            self.last_lines.append(text)
            self._on_line(self.role.name, text)
