"""The API as a process: its token, running, watching, and what it says of workers and tasks."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from examples.tools.tests.conftest import TOKEN, alive, serving, until_gone
from tests.commands import environment, until

if TYPE_CHECKING:
    from examples.tools.tests.conftest import Api, Runner

ROUTES = (
    ("POST", "/api/run"),
    ("GET", "/api/celery/workers"),
    ("GET", "/api/celery/tasks"),
    ("DELETE", f"/api/celery/tasks/{uuid4()}"),
    ("GET", "/api/updates"),
)

ANSWER_SECONDS = 20
"""An answer takes ten at most; the rest is for a loaded machine."""


def test_without_the_token_nothing_is_answered_and_it_is_in_no_log(api: Api) -> None:
    for method, path in ROUTES:
        body = {"tool": "wait"} if method == "POST" else None
        for wrong in (None, "", "x", TOKEN[:-1], TOKEN + "x", "ü"):
            status, answer = api.ask(method, path, body, token=wrong)
            assert (status, answer) == (
                401,
                {"detail": "Give the token in a header: `Authorization: Bearer TOKEN`."},
            )
    assert api.ask("GET", "/api/celery/workers")[0] == 200
    for path in ("/docs", "/redoc", "/openapi.json", "/api/nothing"):
        assert api.ask("GET", path, token=None)[0] == 401
        assert api.ask("GET", path)[0] == 404
    until(lambda: "401 Unauthorized" in api.process.output)
    assert "401 Unauthorized" in api.process.output
    assert TOKEN[:-1] not in api.process.output


@pytest.mark.parametrize("header", [("Content-Length", str(10**9)), ("Transfer-Encoding", "chunked")])
def test_a_body_that_is_huge_or_may_be_is_not_read(api: Api, header: tuple[str, str]) -> None:
    with closing(HTTPConnection(api.url.removeprefix("http://"), timeout=ANSWER_SECONDS)) as connection:
        connection.putrequest("POST", "/api/run")
        for name, value in (("Authorization", f"Bearer {TOKEN}"), header):
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (None, "TOOLS_API_TOKEN is not set."),
        ("too-short", "TOOLS_API_TOKEN must be 16 or more characters of ASCII, without spaces."),
    ],
)
def test_it_does_not_start_without_a_token(runner: Runner, token: str | None, sentence: str) -> None:
    env = environment(**runner.env | {"TOOLS_API_TOKEN": token or ""})
    done = subprocess.run(
        [sys.executable, "-m", "tools.api"], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_client_sees_running_progress_and_completed(api: Api) -> None:
    all_of_them: list[dict[str, Any]] = []
    begun = threading.Event()

    def watch() -> None:
        for event in api.events("/api/updates", begun):
            all_of_them.append(event)
            if event["status"] == "completed":
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert begun.wait(60)
    sent = api.post("steps")
    assert sent["status"] == "queued"
    events = list(api.events(f"/api/updates?job_id={sent['job_id']}"))
    thread.join(60)
    for seen in (events, all_of_them):
        assert [one["job_id"] for one in seen] == [sent["job_id"]] * len(seen)
        statuses = [one["status"] for one in seen if one["status"] != "queued"]
        assert statuses[0] == "running"
        assert statuses[-1] == "completed"
        assert any(0 < one.get("done", 0) < one["total"] == 3 for one in seen if "total" in one)
        last = seen[-1]
        assert last["files"] == [{"name": "d/out.txt", "bytes": 6}]
        assert last["duration_seconds"] >= 1.5
    # Whoever comes late is told of the end.
    (told,) = api.events(f"/api/updates?job_id={sent['job_id']}")
    assert (told["status"], told["files"]) == ("completed", [{"name": "d/out.txt", "bytes": 6}])


def test_a_failure_is_told_with_its_sentence(api: Api) -> None:
    sent = api.post("missing")
    *_, last = api.events(f"/api/updates?job_id={sent['job_id']}")
    assert (last["status"], last["error"].partition(" on this host")[0]) == (
        "failed",
        "no-such-program-anywhere is not installed",
    )


def test_there_are_no_updates_of_a_job_that_is_not_there(api: Api) -> None:
    assert api.ask("GET", f"/api/updates?job_id={uuid4()}") == (404, {"detail": "There is no such job."})


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"tool": "nothing"}, "There is no tool 'nothing'."),
        ({"tool": "steps", "parameters": {"x": 1}}, "steps takes no parameter 'x'."),
        ({"tool": "primes"}, "primes needs the parameter last."),
        (
            {"tool": "primes", "parameters": {"last": "9"}},
            "The parameter last of primes must be of the type integer.",
        ),
        (
            {"tool": "primes", "parameters": {"last": -9}},
            "The parameter last of primes begins with -, as an option would.",
        ),
        (
            {"tool": "steps", "parameters": {"word": "--help"}},
            "The parameter word of steps begins with -, as an option would.",
        ),
        (
            {"tool": "steps", "parameters": {"word": "a\0b"}},
            "The parameter word of steps has a NUL, or half a character.",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_one_sentence(
    api: Api, wanted: dict[str, Any], sentence: str
) -> None:
    status, answer = api.ask("POST", "/api/run", wanted)
    assert (status, answer["detail"]) == (422, sentence)


def test_the_worker_is_as_the_shipped_settings_have_it(api: Api) -> None:
    status, answer = api.ask("GET", "/api/celery/workers")
    (worker,) = answer["workers"]
    assert (status, answer["silent"]) == (200, 0)
    assert worker["queues"] == ["default", "maintenance", "tools"]
    assert (worker["processes"], worker["prefetched"], worker["tasks_per_process"]) == (2, 8, 100)


def test_without_a_worker_the_answers_come_in_time_and_what_waits_is_shown(alone: Runner) -> None:
    with serving(alone.env) as api:
        sent = api.post("steps")
        began = time.monotonic()
        workers = api.ask("GET", "/api/celery/workers", timeout_seconds=ANSWER_SECONDS)
        tasks = api.ask("GET", "/api/celery/tasks", timeout_seconds=ANSWER_SECONDS)
        assert time.monotonic() - began < 2 * ANSWER_SECONDS
    assert workers == (200, {"workers": [], "silent": 0})
    waiting = {
        "task_id": sent["task_id"],
        "task": "tools.run_tool",
        "job_id": sent["job_id"],
        "state": "waiting",
        "queue": "tools",
    }
    assert tasks == (200, {"tasks": [waiting], "silent": 0})


def test_without_a_broker_a_tool_runs_locally_and_says_so(runner: Runner) -> None:
    away = runner.env | {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    del away["CELERY_RESULT_BACKEND"], away["IBUTSU_TASKS_CACHE_URL"]
    with serving(away) as api:
        sent = api.post("steps")
        assert sent["status"] == "local"
        assert sent["note"].startswith("The broker is away: it runs in the process of this API")
        events = list(api.events(f"/api/updates?job_id={sent['job_id']}"))
        assert events[-1]["status"] == "completed"
        assert events[-1]["files"] == [{"name": "d/out.txt", "bytes": 6}]
        status, answer = api.ask("GET", "/api/celery/workers", timeout_seconds=ANSWER_SECONDS)
        assert (status, answer["hint"].partition(",")[0]) == (503, "Check CELERY_BROKER_URL")


def test_a_local_tool_is_cancelled_too(runner: Runner, mark: str) -> None:
    away = runner.env | {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"}
    del away["CELERY_RESULT_BACKEND"], away["IBUTSU_TASKS_CACHE_URL"]
    with serving(away) as api:
        sent = api.post("tree", mark=mark)
        until(lambda: len(alive(mark)) == 4)
        assert api.ask("DELETE", f"/api/celery/tasks/{sent['task_id']}")[0] == 200
        until_gone(mark)
        *_, last = api.events(f"/api/updates?job_id={sent['job_id']}")
    assert last["status"] == "cancelled"


def test_without_the_fallback_it_is_an_answer_of_its_own(runner: Runner) -> None:
    away = runner.env | {
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        "IBUTSU_TASKS_LOCAL_FALLBACK": "0",
    }
    with serving(away) as api:
        status, answer = api.ask("POST", "/api/run", {"tool": "steps"}, timeout_seconds=ANSWER_SECONDS)
    assert status == 503
    assert "Redis at 127.0.0.1:1/0 did not work" in answer["detail"]


def test_it_ends_on_sigterm_while_a_client_listens(runner: Runner) -> None:
    with serving(runner.env) as api, api.open("GET", "/api/updates") as answer:
        assert answer.readline() == b":\n"
        assert api.process.stop() in {0, -15}
