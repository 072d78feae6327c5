"""What `enqueue` does: check, then send and perhaps wait; or run the task right here."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.queues import DOUBT_SECONDS, warn_if_unread
from ibutsu_tasks.cli.output.result import Document, Result, failure
from ibutsu_tasks.errors import (
    IbutsuTasksError,
    ServiceUnreachableError,
    TaskArgumentsError,
    UsageError,
    WaitTimeoutError,
)
from ibutsu_tasks.logs import configure_logs
from ibutsu_tasks.sending import background, messages
from ibutsu_tasks.sending.arguments import (
    TaskSignature,
    check_arguments,
    find_task,
    list_tasks,
    parse_assignments,
)
from ibutsu_tasks.wire_names import DEFAULT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class TaskCall:
    """A task and arguments that fit it."""

    task: TaskSignature
    args: list[Any]
    kwargs: dict[str, Any]


def list_all_tasks() -> Result:
    """Give every task with its signature and what it does."""
    tasks = list_tasks()
    blocks = []
    for task in tasks:
        blocks.append(f"[bold]{plain(task.short_name)}[/]{plain(str(task).removeprefix(task.short_name))}")
        blocks.append(f"    {plain(task.summary)}")
    data = [{"name": task.wire_name, "signature": str(task), "help": task.summary} for task in tasks]
    return Result({"tasks": data}, blocks)


def read_call(name: str, assignments: Sequence[str], document: str | None) -> TaskCall:
    """Find the task and read its arguments; needs no service.

    `document` is JSON, `@` and a file that holds it, or `-` for stdin: an array of positional arguments
    or an object of named ones. Raises TaskArgumentsError, and UsageError for an unknown task or a document
    that cannot be read.
    """
    task = find_task(name)
    given = [] if document is None else _read_document(document)
    args, named = (given, {}) if isinstance(given, list) else ([], given)
    assigned = parse_assignments(task, assignments)
    twice = ", ".join(named.keys() & assigned.keys())
    if twice:
        raise TaskArgumentsError(f"{twice} is given twice, in --args and on its own.", f"The task is {task}.")
    call = TaskCall(task, args, named | assigned)
    check_arguments(task, call.args, call.kwargs)
    return call


def send_call(
    output: Output,
    settings: Settings,
    call: TaskCall,
    *,
    wait_seconds: float | None,
    verbose: bool,
    queue: str | None,
    countdown: float | None,
) -> Result:
    """Publish the message; give the task's id, or its result when it is waited for.

    Once it is sent, what happens is a result with its id. Raises BrokerUnreachableError before.
    """
    app, name = create_client_app(settings), call.task.wire_name
    task_id = messages.send(app, name, call.args, call.kwargs, countdown=countdown, queue=queue)
    sent = {"task": name, "task_id": task_id}
    place = messages.queue_of(app, name, queue)
    warn = partial(warn_if_unread, output, app, place, needs_worker=wait_seconds is not None)
    is_default = place == DEFAULT_QUEUE
    if not is_default:
        warn()
    if wait_seconds is None:
        return Result(sent, [plain(task_id)])
    output.say(f"[dim]Waiting for {call.task.short_name} {task_id}[/]")
    try:
        backend_url, doubt = settings.backend_url or "", (DOUBT_SECONDS, warn) if is_default else None
        outcome = messages.wait_for(app, backend_url, task_id, wait_seconds, doubt)
    except (ServiceUnreachableError, WaitTimeoutError) as error:
        return failure(error, sent)
    except KeyboardInterrupt:
        return Result(sent, exit_code=ExitCode.INTERRUPTED)
    return _result_of(call.task, outcome, settings.mask, verbose=verbose)


def run_here(settings: Settings, call: TaskCall, *, verbose: bool) -> Result:
    """Run the task, and what it sends, in this process; needs the database alone.

    Raises SettingsError when none is named, and whatever foreseen error the task ends in.
    """
    app = background.build_local_app(settings)
    configure_logs(
        settings.log_level if verbose else "critical", settings.log_format, settings.mask, "enqueue"
    )
    # Celery would log what is raised, with a traceback, on top of what is said here.
    logging.getLogger("celery.app.trace").disabled = not verbose
    outcome, raised = background.run_here(app, call.task.wire_name, call.args, call.kwargs)
    app.resources.close()
    if isinstance(raised, IbutsuTasksError):
        raise raised
    return _result_of(call.task, outcome, settings.mask, verbose=verbose)


def _read_document(document: str) -> list[Any] | dict[str, Any]:
    text = _read_text(document)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--args is no valid JSON: {error}.") from None
    if not isinstance(value, list | dict):
        raise UsageError(
            f"--args must be an array or an object, not {type(value).__name__}.",
            """Give positional arguments as '["a", 1]', named ones as '{"name": "a"}'.""",
        )
    return value


def _read_text(document: str) -> str:
    try:
        if document == "-":
            return sys.stdin.read()
        if document.startswith("@"):
            return Path(document[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"--args {document} cannot be read: {reason}.") from None
    return document


def _result_of(
    task: TaskSignature, outcome: messages.TaskOutcome, mask: Callable[[str], str], *, verbose: bool
) -> Result:
    # What a task raised is stored as it is, and may quote a setting.
    told: dict[str, Any] = {
        name: mask(text) for name in ("error", "traceback") if (text := getattr(outcome, name))
    }
    outcome = replace(outcome, **told)
    data = {"task": task.wire_name} | asdict(outcome)
    if outcome.succeeded:
        return Result(data, [Document(outcome.result)])
    messages = [f"[bold red]{plain(task.short_name)} failed:[/] {plain(outcome.error or '')}"]
    if verbose and outcome.traceback:
        messages += map(plain, outcome.traceback.splitlines())
    elif outcome.traceback:
        messages.append("[bold]Try:[/] --verbose shows the traceback.")
    return Result(data, messages=messages, exit_code=ExitCode.BAD_NEWS)
