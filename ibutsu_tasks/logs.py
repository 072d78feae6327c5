"""Log lines: text or JSON, with the task's name and id on every line of a task, and no secrets."""

from __future__ import annotations

import json
import logging
import logging.config
import os
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.text.control_characters import visible

if TYPE_CHECKING:
    from collections.abc import Callable

current_task: ContextVar[tuple[str, str] | None] = ContextVar("current_task", default=None)
"""Name and id of the task this process runs now."""


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
        where = f" [{task[0].rpartition('.')[2]} {task[1]}]" if task else ""
        line = f"{_timestamp(record)} {record.levelname} {record.name}{where} {record.getMessage()}"
        traceback = self.formatException(record.exc_info).splitlines() if record.exc_info else ()
        return "\n  ".join(map(visible, (self.mask(line), *self.mask("\n".join(traceback)).splitlines())))


class JsonFormatter(TextFormatter):
    """One JSON object per line: time, level, logger, message, and task and traceback where there are."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, in ASCII: a stream of another encoding would write what is no JSON."""
        entry: dict[str, Any] = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.mask(record.getMessage()),
        }
        if task := _task_of(record):
            entry |= {"task_name": task[0], "task_id": task[1]}
        if record.exc_info:
            entry["traceback"] = self.mask(self.formatException(record.exc_info))
        return json.dumps(entry)


def _task_of(record: logging.LogRecord) -> tuple[str, str] | None:
    """Give name and id of the task a record is about: the one running here, or the one Celery names."""
    # What Celery says of a task from outside it has its facts with it.
    facts = getattr(record, "data", None)
    if isinstance(facts, dict) and {"name", "id"} <= facts.keys():
        return str(facts["name"]), str(facts["id"])
    return current_task.get()


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_as_json(message: str, *_: object) -> None:
    """Write a line past all logging, as Celery does in its signal handlers, where logging may hang."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    entry = {"time": moment, "level": "info", "logger": "celery.apps.worker", "message": message}
    with suppress(OSError):
        os.write(2, f"{json.dumps(entry)}\n".encode())


def configure_logs(level: str, log_format: str, mask: Callable[[str], str]) -> None:
    """Send all log records of this process to stderr, as `text` or `json`; `mask` hides secrets."""
    # Python would write its warnings in lines of their own.
    logging.captureWarnings(capture=True)
    formatter = JsonFormatter if log_format == "json" else TextFormatter
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": formatter, "mask": mask}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
        }
    )
