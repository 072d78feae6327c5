"""The log of a process, on stderr: text, or JSON objects from the first line to the last."""

from __future__ import annotations

import logging
import logging.config
import sys
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.logs.lines import JsonFormatter, TextFormatter
from ibutsu_tasks.logs.streams import bare, take_over
from ibutsu_tasks.settings.named_secrets import mask_in_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibutsu_tasks.settings import Settings


def configure_logs(level: str, log_format: str, mask: Callable[[str], str], role: str) -> None:
    """Send all log records of this process to stderr, as `text` or `json`; `mask` hides secrets."""
    # Python would write its warnings in lines of their own.
    logging.captureWarnings(capture=True)
    json_line: dict[str, Any] = {"()": JsonFormatter, "mask": mask, "role": role}
    text_line: dict[str, Any] = {"()": TextFormatter, "mask": mask}
    handler = {"class": "logging.StreamHandler", "formatter": "line", "stream": bare(sys.stderr)}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": json_line if log_format == "json" else text_line},
            "handlers": {"stderr": handler},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
        }
    )


def configure_role_logs(settings: Settings, role: str, level: str | None = None) -> None:
    """Do so for a process that lives on: with `json`, nothing it writes is anything but an object."""

    def mask(text: str) -> str:
        return mask_in_text(settings.mask(text))

    configure_logs(level or settings.log_level, settings.log_format, mask, role)
    # At DEBUG it writes every message that a process is given, whole and encoded.
    logging.getLogger("celery.pool").setLevel(logging.INFO)
    if settings.log_format == "json":
        take_over()
