"""Traces by OpenTelemetry, where its own variables ask for them; nothing of it is loaded before that."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

PLACES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
"""The first of them that is set counts."""


def trace_if_asked(mask: Callable[[str], str], *, has_database: bool) -> None:
    """Make spans of what this process and those it forks send and run; `mask` hides secrets.

    With `has_database`, of the statements of tasks too.
    """
    if not is_asked(os.environ):
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        logger.warning("No traces are made: `pip install 'ibutsu-tasks[traces]'` brings what they need.")
        return
    if wish := unknown_wish(os.environ):
        logger.warning("%s has no effect: traces are sent as OTLP over HTTP (http/protobuf).", wish)
    try:
        from ibutsu_tasks.traces import spans  # noqa: PLC0415 - loads OpenTelemetry
    except ValueError as error:
        # It reads some of its variables when it is loaded.
        logger.warning("No traces are made: %s.", mask(str(error)).rstrip("."))
        return
    spans.install(mask)
    if has_database:
        from ibutsu_tasks.traces import statements  # noqa: PLC0415 - loads SQLAlchemy

        statements.install()


def is_asked(environ: Mapping[str, str]) -> bool:
    """Tell whether the variables of OpenTelemetry name a place for traces, and do not switch them off."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get(EXPORTER, "").strip().lower()
    return exporter != "none" and bool(exporter or any(environ.get(name) for name in PLACES))


def unknown_wish(environ: Mapping[str, str]) -> str | None:
    """Give the variable, as `NAME=value`, that asks for an exporter or a protocol there is none of here."""
    protocol = next((name for name in PROTOCOLS if environ.get(name)), PROTOCOLS[-1])
    for name, known in ((EXPORTER, {"otlp", "console"}), (protocol, {"http/protobuf"})):
        value = environ.get(name, "").strip().lower()
        if value and value not in known:
            return f"{name}={value}"
    return None
