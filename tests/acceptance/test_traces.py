"""Traces of a real worker: from the upload to the follow-up message, read as a collector receives them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ibutsu_tasks.celery_app import create_celery_app
from ibutsu_tasks.ibutsu.wire_names import RUN_ARCHIVE_IMPORT, UPDATE_RUN
from ibutsu_tasks.traces import is_asked, unknown_wish
from tests.commands import environment, role, run, services, until
from tests.doors import dead_port
from tests.factories import make_import
from tests.sample_files import ARCHIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

TRACE_ID, UPLOAD_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes OTLP over HTTP; `spans` are all that came, from all processes."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[Any] = []
        self.services: set[str] = set()

    def receive(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            self.services |= {facts_of(resource.resource)["service.name"]}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def named(self, start: str) -> list[Any]:
        return [span for span in self.spans if span.name.startswith(start)]


@pytest.fixture
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.receive(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield collector
        server.shutdown()
        thread.join()


@pytest.fixture
def env(broker_url: str, database_url: str) -> dict[str, str]:
    return services(broker_url, database_url)


def test_one_trace_leads_from_the_upload_to_the_follow_up_message(
    env: dict[str, str], settings: Settings, session: Session, collector: Collector
) -> None:
    row = make_import(session, ARCHIVE, filename="a.tar.gz")
    session.commit()
    traced = env | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with role("worker", "--log-format", "json", env=traced) as worker:
        worker.wait_for("ready.")
        upload = {"traceparent": f"00-{TRACE_ID}-{UPLOAD_ID}-01"}
        message = {"id": str(row.id)}
        app = create_celery_app(settings=settings)
        app.send_task(RUN_ARCHIVE_IMPORT, (message,), headers=upload).get(timeout=120)
        until(lambda: collector.named(f"run {UPDATE_RUN}"))
        assert worker.stop() == 0
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
    (run_import,), (send,), (update,) = (
        collector.named(name)
        for name in (f"run {RUN_ARCHIVE_IMPORT}", f"send {UPDATE_RUN}", f"run {UPDATE_RUN}")
    )
    assert run_import.parent_span_id.hex() == UPLOAD_ID
    assert send.parent_span_id == run_import.span_id
    assert update.parent_span_id == send.span_id
    facts = facts_of(run_import)
    assert facts["ibutsu.import_id"] == str(row.id)
    assert facts["messaging.destination.name"] == "celery"
    assert (facts["celery.retries"], facts["celery.state"]) == (0, "SUCCESS")
    assert facts_of(update)["ibutsu.run_id"] == facts_of(send)["ibutsu.run_id"]
    for task, verbs in ((run_import, {"SELECT", "UPDATE", "COPY"}), (update, {"SELECT"})):
        statements = [span for span in collector.spans if span.parent_span_id == task.span_id]
        assert {span.name for span in statements} >= verbs
        assert not [span for span in statements if str(row.id) in facts_of(span).get("db.query.text", "")]
    told = [entry for entry in map(json.loads, worker.lines) if "duration_seconds" in entry]
    assert {entry["trace_id"] for entry in told} == {TRACE_ID}


def facts_of(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def test_a_command_begins_a_trace_and_a_failure_is_told(env: dict[str, str], collector: Collector) -> None:
    traced = env | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "ours"}
    with role("worker", env=traced) as worker:
        worker.wait_for("ready.")
        words = ("run_junit_import", "--args", '[{"id": "no-such-import"}]', "--wait", "60")
        assert run("enqueue", *words, env=traced).returncode == 1
        assert worker.stop() == 0
    # The command and the worker's process sent their last spans before they ended.
    (send,), (task,) = collector.named("send "), collector.named("run ")
    assert not send.parent_span_id
    assert (task.trace_id, task.parent_span_id) == (send.trace_id, send.span_id)
    assert task.status.code == task.status.STATUS_CODE_ERROR
    assert task.status.message.startswith("RefusedError: ")
    assert facts_of(task)["celery.state"] == "FAILURE"
    assert collector.services == {"ours"}


@pytest.mark.soak
def test_a_collector_that_is_away_disturbs_no_task(env: dict[str, str], settings: Settings) -> None:
    lost = env | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{dead_port()}"}
    with role("worker", "--log-format", "json", env=lost) as worker:
        worker.wait_for("ready.")
        result = create_celery_app(settings=settings).send_task(UPDATE_RUN, ("no-such-run",))
        assert result.get(timeout=120) is None
        assert worker.stop() == 0
    said = [json.loads(line) for line in worker.lines]
    assert sum(entry["logger"].startswith("opentelemetry") for entry in said) == 1


LOADED = "import sys; import ibutsu_tasks; ibutsu_tasks.worker_app; print(*sys.modules)"


def test_nothing_is_loaded_unless_asked_for(env: dict[str, str]) -> None:
    own = environment(**env)
    words = [sys.executable, "-c", LOADED]
    done = subprocess.run(words, env=own, capture_output=True, text=True, check=True, timeout=120)
    assert not {"ibutsu_tasks.traces.spans", "opentelemetry.sdk.trace"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("variables", "is_wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
    ],
)
def test_the_variables_of_opentelemetry_decide(variables: dict[str, str], is_wanted: bool) -> None:
    assert is_asked(variables) == is_wanted


@pytest.mark.parametrize(
    ("variables", "wish"),
    [
        ({}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, None),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            None,
        ),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin"),
    ],
)
def test_what_traces_cannot_do_is_known(variables: dict[str, str], wish: str | None) -> None:
    assert unknown_wish(variables) == wish


def test_a_protocol_there_is_none_of_is_told(env: dict[str, str], collector: Collector) -> None:
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    done = run("enqueue", UPDATE_RUN, "run_id=none", env=env | asked)
    assert done.returncode == 0
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc has no effect: traces are sent as OTLP over HTTP" in done.stderr
    assert collector.spans


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_PROPAGATORS", "tracecontext,b3", ""),
        (
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
            "-5",
            "No traces are made: OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be",
        ),
    ],
)
def test_no_variable_of_opentelemetry_keeps_a_process_from_its_start(
    name: str, value: str, said: str
) -> None:
    code = "from ibutsu_tasks.traces import trace_if_asked; trace_if_asked(str, has_database=False)"
    own = environment(OTEL_TRACES_EXPORTER="otlp", **{name: value})
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=own, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert (said in done.stderr, bool(done.stderr)) == (True, bool(said))
