"""How a log record looks: a line for people, or one JSON object, with what it is about and no secrets."""

from __future__ import annotations

import json
import logging
import socket
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ibutsu_tasks.text.control_characters import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FACTS = "facts"
"""The attribute of a record that holds keys of its own for the JSON object."""

TASK_LOGGER = "celery.app.trace"
"""Who says that a task received by a process has ended, and how."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RunningTask:
    """A task and when it began, by the monotonic clock; `about` names the import or the run."""

    name: str
    id: str
    about: Mapping[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    has_ended: bool = False


current_task: ContextVar[RunningTask | None] = ContextVar("current_task", default=None)
"""The task this process runs now."""

received_tasks: WeakValueDictionary[str, RunningTask] = WeakValueDictionary()
"""The tasks a worker has received, by their ids, for as long as it has their messages."""


@contextmanager
def speaking_of(task: RunningTask) -> Iterator[None]:
    """Have what is logged meanwhile be about this task."""
    token = current_task.set(task)
    try:
        yield
    finally:
        current_task.reset(token)


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO worker [task id] message`; `mask` hides the secrets in a text.

    Task ids, names and errors come from outside: their control characters are shown, and only a traceback
    goes on, below its line and indented.
    """

    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__()
        self.mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, with the traceback below it when there is one."""
        task = _task_of(record)
        where = f" [{task.name.rpartition('.')[2]} {task.id}]" if task else ""
        line = f"{_timestamp(record)} {record.levelname} {record.name}{where} {record.getMessage()}"
        traceback = self.formatException(record.exc_info).splitlines() if record.exc_info else ()
        return "\n  ".join(map(visible, (self.mask(line), *self.mask("\n".join(traceback)).splitlines())))


class JsonFormatter(logging.Formatter):
    """One JSON object per line: when, how grave, which process, what, and the task it is about."""

    def __init__(self, mask: Callable[[str], str], role: str) -> None:
        super().__init__()
        self._mask = mask
        self._process = {"role": role, "host": socket.gethostname()}

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, in ASCII: a stream of another encoding would write what is no JSON."""
        entry: dict[str, Any] = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            **self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **_task_facts(record),
            **getattr(record, FACTS, {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(
            {key: self._mask(value) if isinstance(value, str) else value for key, value in entry.items()}
        )


def _task_facts(record: logging.LogRecord) -> dict[str, Any]:
    task = _task_of(record)
    if task is None:
        return {}
    facts: dict[str, Any] = {"task": task.name, "task_id": task.id, **task.about}
    if task.has_ended or (record.name == TASK_LOGGER and hasattr(record, "data")):
        facts["duration_seconds"] = round(time.monotonic() - task.began, 6)
    return facts


def _task_of(record: logging.LogRecord) -> RunningTask | None:
    """Give the task a record is about: the one running here, or the one Celery names."""
    running = current_task.get()
    # What Celery says of a task from outside it has its facts with it.
    facts = getattr(record, "data", None)
    if isinstance(facts, dict) and {"name", "id"} <= facts.keys():
        name, id_ = str(facts["name"]), str(facts["id"])
        if running and running.id == id_:
            return running
        return received_tasks.get(id_) or RunningTask(name, id_)
    return running


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
