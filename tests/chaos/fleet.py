"""Roles as a cluster keeps them: whatever ends is started again."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import psutil

from tests.commands import Running, role, until

if TYPE_CHECKING:
    from collections.abc import Mapping

READY = {"worker": " ready.", "beat": "this beat leads now"}


class Fleet:
    """Workers and beats by name, `worker one` or `beat a`, which are started again when they have ended."""

    def __init__(
        self,
        *names: str,
        env: Mapping[str, str],
        concurrency: int = 1,
        celery_options: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._env = env
        self._concurrency = concurrency
        self._celery_options = celery_options or {}
        self._stack = ExitStack()
        self.ended: list[Running] = []
        self.running = {name: self._start(name) for name in names}

    def _start(self, name: str) -> Running:
        kind, _, which = name.partition(" ")
        options = ("--concurrency", str(self._concurrency), "--hostname", f"{which}@fleet")
        options += ("--", *self._celery_options.get(name, ()))
        return self._stack.enter_context(role(kind, *options * (kind == "worker"), env=self._env))

    def wait_until_ready(self) -> None:
        """Wait until every worker takes messages."""
        for name, process in self.running.items():
            if name.startswith("worker"):
                process.wait_for(READY["worker"])

    def restart_what_ended(self) -> None:
        """Start again what a fault ended."""
        for name, process in self.running.items():
            if process.process.poll() is not None:
                self.ended.append(process)
                self.running[name] = self._start(name)

    def received(self, task_id: str = "") -> int:
        """Count how often workers took a message, or the one of a task."""
        everybody = [*self.ended, *self.running.values()]
        return sum(f"{task_id}] received" in line for process in everybody for line in process.lines)

    def holder_of(self, task_id: str) -> str:
        """Wait until a worker has taken the message of a task, and name it."""
        found: list[str] = []

        def is_taken() -> bool:
            found[:] = [name for name, one in self.running.items() if f"{task_id}] received" in one.output]
            return bool(found)

        until(is_taken)
        assert found, "no worker took the message"
        return found[-1]

    def main(self, name: str) -> psutil.Process:
        """Give the first process of a role."""
        return psutil.Process(self.running[name].process.pid)

    def kill(self, name: str, *, main: bool = True, children: bool = False) -> None:
        """Kill processes of a role as `kill -9` does, the children in the same moment."""
        first = self.main(name)
        victims = [*[first] * main, *(first.children(recursive=True) if children else [])]
        for victim in victims:
            victim.suspend()
        for victim in victims:
            victim.kill()

    def close(self) -> None:
        """End all of them."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
