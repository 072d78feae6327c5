"""Whatever lies in the queue, the worker works on, and what is no task is set aside with its reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ibutsu_tasks.delivery.dead.quarantine import QUARANTINE, count_set_aside
from tests.commands import until
from tests.worker_system import message_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.worker_system import System


def changed(**changes: Any) -> dict[str, Any]:
    """A good message, except for these fields; dots lead into objects."""
    message: dict[str, Any] = json.loads(message_text("runs.sync_aborted_runs")[1])
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = message
        for parent in parents:
            place = place[parent]
        place[name] = value
    return message


def with_body(body: str) -> dict[str, Any]:
    return changed(body=body, properties__body_encoding=None)


def with_options(**options: Any) -> dict[str, Any]:
    return with_body(json.dumps([[], {}, options]))


def of_protocol_1(**fields: Any) -> dict[str, Any]:
    task = {"task": "ibutsu_server.tasks.runs.sync_aborted_runs", "args": [], "kwargs": {}, **fields}
    return with_body(json.dumps(task)) | {"headers": {}}


DEEP = "[" * 900 + "]" * 900
NO_ARGUMENTS = '[{}, {{}}, {{"callbacks": null, "errbacks": null, "chain": null, "chord": null}}]'

MESSAGES: dict[str, tuple[Any, str]] = {
    "not JSON": (b"hello", "not JSON"),
    "not UTF-8": (b"\xff\xfe{}", "not UTF-8"),
    "another encoding": (json.dumps(changed()).encode("utf-16"), "not UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(changed()).encode(), "not JSON"),
    "cut off": (json.dumps(changed())[:-20].encode(), "not JSON"),
    "nothing": (b"", "not JSON"),
    "null": (None, "not a JSON object"),
    "an array": ([1, 2, 3], "not a JSON object"),
    "nested without end": (b"[" * 100_000, "nested too deeply"),
    "an object of ours": ({"a": 1}, "properties is not an object"),
    "no headers": (changed(headers=None), "headers is not an object"),
    "a tag that is no text": (
        json.dumps(changed(properties__delivery_tag="@")).encode().replace(b"@", b"\xff"),
        "not UTF-8",
    ),
    "a tag of half a character": (changed(properties__delivery_tag="\ud800"), "delivery_tag is not text"),
    "no tag": (changed(properties__delivery_tag=None), "delivery_tag is not text"),
    "information that is text": (
        changed(properties__delivery_info="celery"),
        "delivery_info is not an object",
    ),
    "a priority of words": (changed(properties__priority="high"), "priority is not a whole number"),
    "another encoding of the body": (changed(properties__body_encoding="rot13"), "body_encoding is not"),
    "an encoding of the body that is a list": (changed(properties__body_encoding=[]), "body_encoding is not"),
    "an id of half a character": (changed(headers__id="\ud800"), "headers.id is not text"),
    "a body that is no base64": (changed(body="="), "body is not base64"),
    "a body that is an object": (changed(body={"a": 1}), "body is not text"),
    "arguments that are an object": (with_body('{"a": 1}'), ""),
    "arguments that are words": (with_body("hello"), ""),
    "arguments that are null": (with_body("null"), ""),
    "arguments 900 deep": (with_body(NO_ARGUMENTS.format(f"[{DEEP}]")), "nested deeper than"),
    "an id that is a list": (changed(headers__id=[1]), "headers.id is not text"),
    "an id that is missing": (changed(headers__id=None), "headers.id is not text"),
    "an id that is empty": (changed(headers__id=""), "headers.id is not text"),
    "an id without end": (changed(headers__id="a" * 100_000), "headers.id is not text of 1 to"),
    "another name that is a number": (changed(headers__shadow=5), "headers.shadow is not text"),
    "stamps that are a number": (
        changed(headers__stamped_headers=5),
        "headers.stamped_headers is not a list",
    ),
    "a place in a group of words": (changed(headers__group_index="first"), "headers.group_index is not"),
    "a task that is a list": (changed(headers__task=["a"]), "headers.task is not text"),
    "a task nobody has": (changed(headers__task="somebody.else"), "no task 'somebody.else'"),
    "a task with a wild name": (changed(headers__task="://a:" * 16_000), "no task '://a:"),
    "limits of words": (changed(headers__timelimit=["a", "b"]), "headers.timelimit is not"),
    "a limit that is a number": (changed(headers__timelimit=7), "headers.timelimit is not"),
    "a limit without end": (changed(headers__timelimit=[float("inf"), None]), "headers.timelimit is not"),
    "a limit beyond any clock": (changed(headers__timelimit=[10**400, None]), "headers.timelimit is not"),
    "retries of words": (changed(headers__retries="many"), "headers.retries is not"),
    "an ETA that is no date": (changed(headers__eta="soon"), ""),
    "an ETA beyond any clock": (
        changed(headers__eta="9999-12-31T23:59:59-23:59"),
        "headers.eta is not a time of the calendar",
    ),
    "an end that is a list": (changed(headers__expires=[]), "headers.expires is not text"),
    "an end that is no date": (changed(headers__expires="soon"), ""),
    "another kind of content": (changed(**{"content-type": "application/x-python-serialize"}), ""),
    "an unknown compression": (changed(headers__compression="application/x-magic"), ""),
    "headers without a task": (changed(headers={}), "no task"),
    "callbacks that are a number": (with_options(callbacks=5), "options.callbacks is not a list of tasks"),
    "a callback that is none": (with_options(callbacks=[None]), "options.callbacks is not a list of tasks"),
    "an errback of words": (with_options(errbacks="x"), "options.errbacks is not a list of tasks"),
    "a chain of lists": (with_options(chain=[[1]]), "options.chain is not a list of tasks"),
    "a chain without arguments": (with_options(chain=[{"task": "x"}]), "options.chain is not a list of"),
    "a chord that is a number": (with_options(chord=7), "options.chord is not a task"),
    "an old one with callbacks of words": (of_protocol_1(id="a", callbacks="x"), "body.callbacks is not"),
    "an old one with limits of words": (of_protocol_1(id="a", timelimit=["a", "b"]), "body.timelimit is"),
    "an old one whose id is a number": (of_protocol_1(id=5), "body.id is not text"),
    "an old one without an id": (of_protocol_1(), "body.id is not text"),
    "an old one whose task is a list": (of_protocol_1(id="a", task=["a"]), "body.task is not text"),
}


@pytest.fixture
def emptied(system: System) -> Iterator[System]:
    system.client.delete(QUARANTINE)
    yield system
    assert system.client.llen("celery") == 0
    until(lambda: not system.client.hlen("unacked"))


@pytest.mark.parametrize("name", MESSAGES)
def test_no_message_ends_the_worker(emptied: System, name: str) -> None:
    message, reason = MESSAGES[name]
    processes = worker_processes(emptied)
    emptied.client.lpush("celery", message if isinstance(message, bytes) else json.dumps(message))
    assert emptied.run("runs.sync_aborted_runs") is not None
    until(lambda: count_set_aside(emptied.client) == 1, timeout_seconds=10)
    (entry,) = [json.loads(entry) for entry in emptied.client.hvals(QUARANTINE)]
    assert reason in entry["reason"]
    assert entry["queue"] == "celery"
    assert len(entry["reason"]) <= 500
    assert worker_processes(emptied) == processes


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "update_run: missing a required argument: 'run_id'."),
        ({"run_id": '"a"', "b" * 9_000: "1"}, "update_run: got an unexpected keyword argument 'bbb"),
    ],
    ids=["too few", "too many"],
)
def test_arguments_that_do_not_fit_are_a_sentence(
    emptied: System, given: dict[str, str], sentence: str
) -> None:
    task_id = emptied.publish("runs.update_run", **given)
    outcome = emptied.outcome(task_id)
    assert (outcome["status"], outcome["result"]["exc_type"]) == ("FAILURE", "TaskArgumentsError")
    (said,) = outcome["result"]["exc_message"]
    assert said.startswith(sentence)
    assert len(said) < 250
    (line,) = [line for line in emptied.worker.output.splitlines() if task_id in line and "raised" in line]
    assert "raised expected" in line
    assert "TypeError" not in emptied.worker.output


def worker_processes(system: System) -> set[int]:
    worker = psutil.Process(system.worker.process.pid)
    return {worker.pid, *(child.pid for child in worker.children(recursive=True))}
