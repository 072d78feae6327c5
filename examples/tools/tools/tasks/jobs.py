"""Running a tool: its log goes to rows as it comes, its progress to `job_updates`, its files to disk."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery import shared_task
from celery.exceptions import Ignore, SoftTimeLimitExceeded

from ibutsu_tasks.errors import DatabaseUnreachableError
from ibutsu_tasks.sending.messages import explain_failure
from ibutsu_tasks.tasks import DatabaseTask, Policy
from ibutsu_tasks.temporary_errors import is_temporary
from tools import jobs
from tools.files import Workplace
from tools.process import Log, Process, ToolEndedError, ToolFailedError, sentence_of
from tools.registry import (
    HARD_LIMIT_SECONDS,
    SOFT_LIMIT_SECONDS,
    Tool,
    UnfitParametersError,
    find_tool,
)
from tools.settings import OUTPUT_DIR, RETRY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources

LOOK_SECONDS = 0.2
NOTE_SECONDS = 1.0
"""How often the log is written, and looked whether the job was cancelled."""

MOST_PROGRESS_CHARACTERS = 200


class ToolTask(DatabaseTask):
    """A task whose job ends also when it is not carried out."""

    def gave_up(self, session: Session, args: Sequence[Any], kwargs: Mapping[str, Any], reason: str) -> None:
        """End the job."""
        jobs.give_up(session, _uuid(args[0] if args else kwargs["job_id"]), reason)


@shared_task(
    name=jobs.RUN_TOOL,
    bind=True,
    base=ToolTask,
    policy=Policy(
        retries=3,
        retry_on=(ToolFailedError,),
        pause_seconds=RETRY_SECONDS,
        soft_time_limit_seconds=SOFT_LIMIT_SECONDS,
        time_limit_seconds=HARD_LIMIT_SECONDS,
        # However many messages there are of a job, one at a time runs it.
        key=lambda job_id, *_, **__: job_id,
    ),
)
def run_tool(self: DatabaseTask, job_id: str, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run a tool for a job; give what became of it, and its files."""
    job = _uuid(job_id)
    with self.session() as session:
        run, state = jobs.begin(
            session,
            job,
            str(self.request.id),
            tool,
            parameters,
            self.attempt,
            # Right here a job is tried once: one that runs was sent to a worker since.
            takes_over=not self.request.is_eager,
        )
    if run is None:
        return {"job_id": job_id, "status": state}
    try:
        facts = _carry_out(self, tool, parameters, (job, run))
    except jobs.LostError:
        # Cancelled, or begun again elsewhere while this worker was frozen or cut off.
        raise Ignore from None
    return {"job_id": job_id, "status": "completed", **facts}


def _uuid(job_id: str) -> UUID:
    try:
        return UUID(job_id)
    except (ValueError, AttributeError, TypeError):
        raise UnfitParametersError("The id of a job must be a UUID.") from None


def _carry_out(
    task: DatabaseTask, name: str, parameters: Mapping[str, Any], run: tuple[UUID, UUID]
) -> dict[str, Any]:
    """Run a tool, and write down what came of it. Raises what ended it, and LostError."""
    settings = task.resources.settings
    task.progress(0, 0)
    began = time.monotonic()
    try:
        with Workplace(settings.value(OUTPUT_DIR), *run) as place:
            _follow(task, find_tool(settings, name), parameters, place, run)
            facts = {"files": place.publish(), "duration_seconds": round(time.monotonic() - began, 3)}
        _end(task, run, "completed", **facts)
    except SoftTimeLimitExceeded:
        over_time = ToolEndedError(
            f"It ran for longer than {SOFT_LIMIT_SECONDS // 60} minutes and was ended."
        )
        _fail(task, run, over_time)
        raise over_time from None
    except Exception as error:
        if not (is_temporary(error) or isinstance(error, jobs.LostError)):
            _fail(task, run, error)
        raise
    return facts


def _follow(
    task: DatabaseTask, tool: Tool, parameters: Mapping[str, Any], place: Workplace, run: tuple[UUID, UUID]
) -> None:
    """Run the tool to its end. Raises ToolFailedError, ToolEndedError, UnfitParametersError and LostError."""
    log, progress = Log(tool.limits.log_bytes), re.compile(tool.progress)
    command = tool.command_line(parameters)
    deadline = time.monotonic() + tool.limits.seconds
    next_note = 0.0
    with Process(command, tool.limits, place.directory, place.temporary) as process:
        while (piece := process.read(LOOK_SECONDS)) is not None:
            for line in log.add(piece):
                if found := progress.search(line[:MOST_PROGRESS_CHARACTERS]):
                    task.progress(int(found[1]), int(found[2]))
            now = time.monotonic()
            if now >= next_note or now >= deadline:
                _note(task, log, run, is_last=now >= deadline)
                next_note = now + NOTE_SECONDS
            if now >= deadline:
                raise ToolEndedError(
                    f"{tool.name} ran for longer than {tool.limits.seconds:g} s and was ended."
                )
        _note(task, log, run, is_last=True)
        code = process.end()
    if code:
        raise ToolFailedError(sentence_of(tool.name, code))


def _note(task: DatabaseTask, log: Log, run: tuple[UUID, UUID], *, is_last: bool = False) -> None:
    if is_last:
        log.add(b"", is_last=True)
    try:
        with task.session() as session:
            jobs.note(session, *run, task.resources.settings.mask(log.kept))
    except DatabaseUnreachableError:
        # The tool goes on meanwhile: without the database, nobody else begins its job.
        if is_last:
            raise
    else:
        log.kept = ""


def _end(task: DatabaseTask, run: tuple[UUID, UUID], state: str, **facts: Any) -> None:
    with task.session() as session:
        jobs.end(session, *run, state, **facts)
    task.announce(state, **facts)


def _fail(task: DatabaseTask, run: tuple[UUID, UUID], error: Exception) -> None:
    sentence = task.resources.settings.mask(explain_failure(error))
    may_retry = isinstance(error, ToolFailedError) and not task.request.is_eager
    will_retry = may_retry and task.attempt <= task.policy.retries
    _end(task, run, "queued" if will_retry else "failed", error=sentence)


def reopen(resources: Resources, task: str | None, job_id: str | None) -> str | None:
    """Let a job whose message was set aside run again, before that is sent; say what is in the way."""
    if task == run_tool.name and job_id is not None:
        with resources.session() as session:
            jobs.reopen(session, _uuid(job_id))
    return None
