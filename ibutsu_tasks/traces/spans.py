"""The spans of messages and tasks: a message carries its own to the task, which hands it on."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery import signals
from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ibutsu_tasks.delivery.dead.content import Content
from ibutsu_tasks.logs.lines import current_task
from ibutsu_tasks.tasks.retries import TRIES_HEADER
from ibutsu_tasks.traces.export import end, tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROPAGATOR = TraceContextTextMapPropagator()
"""The header is always `traceparent`: OTEL_PROPAGATORS may name what is for all programs of a cluster."""

_running: ContextVar[tuple[Span, Any] | None] = ContextVar("running", default=None)
"""The span of the task that runs here, and what ends its being the current one."""

_sending: ContextVar[Span | None] = ContextVar("sending", default=None)


def install(mask: Callable[[str], str]) -> None:
    """Make spans from here on, here and in what is forked; `mask` hides secrets in the errors of tasks."""

    def fail(exception: BaseException, **_: Any) -> None:
        _fail(exception, mask)

    receivers: dict[Any, Callable[..., None]] = {
        signals.before_task_publish: _begin_sending,
        signals.after_task_publish: _end_sending,
        signals.task_prerun: _begin_task,
        signals.task_failure: fail,
        signals.task_postrun: _end_task,
        signals.worker_process_shutdown: _end_process,
    }
    for signal, receiver in receivers.items():
        signal.connect(receiver, weak=False, dispatch_uid="ibutsu-tasks-traces")


def _begin_sending(sender: str, headers: dict[str, Any], body: Any, routing_key: str, **_: Any) -> None:
    """Begin the span of a message, and have the message carry it."""
    args, kwargs = body[:2] if isinstance(body, tuple) else ((), {})
    about = Content(sender, args=tuple(args), kwargs=kwargs).about_by_kind
    facts = _message_facts(sender, str(headers.get("id")), routing_key, about)
    span = tracer().start_span(f"send {sender}", kind=SpanKind.PRODUCER, attributes=facts)
    # The header of a message that is sent again names the span before this one.
    PROPAGATOR.inject(headers, set_span_in_context(span))
    _sending.set(span)


def _end_sending(**_: Any) -> None:
    if span := _sending.get():
        span.end()
        _sending.set(None)


def _begin_task(task_id: str, task: Any, args: Any, kwargs: Any, **_: Any) -> None:
    request = task.request
    headers = request.headers or {}
    about = Content(task.name, args=tuple(args or ()), kwargs=kwargs or {}).about_by_kind
    queue = str((request.delivery_info or {}).get("routing_key"))
    facts = _message_facts(task.name, task_id, queue, about)
    facts["celery.retries"] = int(headers.get(TRIES_HEADER, 0)) + int(request.retries or 0)
    span = tracer().start_span(
        f"run {task.name}", PROPAGATOR.extract(headers), kind=SpanKind.CONSUMER, attributes=facts
    )
    _running.set((span, attach(set_span_in_context(span))))
    if known := current_task.get():
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        current_task.set(replace(known, about={**known.about, "trace_id": trace_id}))


def _fail(error: BaseException, mask: Callable[[str], str]) -> None:
    if running := _running.get():
        running[0].set_status(StatusCode.ERROR, mask(f"{type(error).__name__}: {error}"))


def _end_task(state: str | None = None, **_: Any) -> None:
    if running := _running.get():
        span, token = running
        span.set_attribute("celery.state", state or "UNKNOWN")
        detach(token)
        span.end()
        _running.set(None)


def _end_process(**_: Any) -> None:
    end()


def _message_facts(task: str, task_id: str, queue: str, about: Mapping[str, str]) -> dict[str, Any]:
    facts = {
        "messaging.system": "redis",
        "messaging.destination.name": queue,
        "messaging.message.id": task_id,
    }
    return facts | {"celery.task": task} | {f"ibutsu.{kind}": id_ for kind, id_ in about.items()}
