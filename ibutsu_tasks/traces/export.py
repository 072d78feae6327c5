"""Where the spans of a process go: each has a queue and an exporter of its own, made after the fork."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from ibutsu_tasks import __version__
from ibutsu_tasks.traces import EXPORTER

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

TIMEOUT_SECONDS = 2.0
"""What sending one batch may take, tries included, unless OpenTelemetry's variables say otherwise: a process
that ends waits for its last one."""

TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")

REMINDER_SECONDS = 600.0

_providers: dict[int, TracerProvider] = {}
"""By process: what a fork inherits has a thread that did not come along."""


def tracer() -> Tracer:
    """Give what makes the spans of this process."""
    if (pid := os.getpid()) not in _providers:
        _providers[pid] = _provider()
    return _providers[pid].get_tracer("ibutsu-tasks", __version__)


def end() -> None:
    """Send what this process still has, for it is about to end; what cannot be sent is lost."""
    if provider := _providers.get(os.getpid()):
        provider.shutdown()


def _provider() -> TracerProvider:
    named = {"service.name": "ibutsu-tasks", **OTELResourceDetector().detect().attributes}
    # Commands end in the usual way, which sends what is left.
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=True)
    provider.add_span_processor(BatchSpanProcessor(_exporter()))
    return provider


def _exporter() -> SpanExporter:
    if os.environ.get(EXPORTER, "").strip().lower() == "console":
        # Stdout is for the data of commands.
        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n")
    logging.getLogger(OTLPSpanExporter.__module__).addFilter(_Seldom())
    is_set = any(os.environ.get(name) for name in TIMEOUTS)
    return OTLPSpanExporter(timeout=None if is_set else TIMEOUT_SECONDS)


class _Seldom(logging.Filter):
    """Lets one line through in ten minutes: a collector that is away would fill the log, batch by batch."""

    _told = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the signature of the base class
        if time.monotonic() - self._told < REMINDER_SECONDS:
            return False
        self._told = time.monotonic()
        return True
