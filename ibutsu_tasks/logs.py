"""Log lines: text or JSON, with the task's name and id on every line of a task, and no secrets."""

from __future__ import annotations

import json
import logging
import logging.config
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

current_task: ContextVar[tuple[str, str] | None] = ContextVar("current_task", default=None)
"""Name and id of the task this process runs now."""


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO worker [task id] message`; `mask` hides the secrets in a text."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__()
        self.mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, with the traceback below it when there is one."""
        task = current_task.get()
        where = f" [{task[0].rsplit('.', 1)[-1]} {task[1]}]" if task else ""
        line = f"{_timestamp(record)} {record.levelname} {record.name}{where} {record.getMessage()}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return self.mask(line)


class JsonFormatter(TextFormatter):
    """One JSON object per line: time, level, logger, message, and task and traceback where there are."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        entry: dict[str, Any] = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.mask(record.getMessage()),
        }
        task = current_task.get()
        if task:
            entry |= {"task_name": task[0], "task_id": task[1]}
        if record.exc_info:
            entry["traceback"] = self.mask(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False, default=str)


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def configure_logs(level: str, log_format: str, mask: Callable[[str], str]) -> None:
    """Send all log records of this process to stderr, as `text` or `json`; `mask` hides secrets."""
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
