"""What happens to the rows of a job. Every function works in the transaction of its session."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.tasks import Decision, Fate, Message
from ibutsu_tasks.text.storable import storable_json, storable_text
from tools.models import ENDED, Job, LogPart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session


RUN_TOOL = "tools.run_tool"


class LostError(Exception):
    """The job was cancelled, or is another process's now."""


def begin(
    session: Session,
    job_id: UUID,
    task_id: str,
    tool: str,
    parameters: Mapping[str, Any],
    attempt: int,
    *,
    takes_over: bool = True,
) -> tuple[UUID | None, str]:
    """Begin a job, or begin it again; give this run's id, None where it has ended, and its state.

    Without `takes_over`, one that is said to run is left to who does.
    """
    row = {"id": job_id, "tool": storable_text(tool), "parameters": storable_json(parameters)}
    session.execute(insert(Job).values(row).on_conflict_do_nothing())
    job = session.get_one(Job, job_id, with_for_update=True)
    if job.state in ENDED or (job.state == "running" and not takes_over):
        return None, job.state
    job.run, job.task_id, job.state, job.attempt = uuid4(), task_id, "running", attempt
    job.started_at = job.seen_at = utc_now()
    # What a run that was killed had written of the same attempt.
    session.execute(delete(LogPart).where(LogPart.job_id == job_id, LogPart.attempt == attempt))
    return job.run, job.state


def _own(session: Session, job_id: UUID, run: UUID) -> Job:
    job = session.get(Job, job_id, with_for_update=True)
    if job is None or job.run != run:
        raise LostError
    return job


def note(session: Session, job_id: UUID, run: UUID, text: str) -> None:
    """Add to the log, and say that the job runs. Raises LostError."""
    job = _own(session, job_id, run)
    job.seen_at = utc_now()
    if text:
        is_same = (LogPart.job_id == job_id, LogPart.attempt == job.attempt)
        last = session.scalar(select(func.max(LogPart.number)).where(*is_same)) or 0
        part = LogPart(job_id=job_id, attempt=job.attempt, number=last + 1, text=storable_text(text))
        session.add(part)


def end(session: Session, job_id: UUID, run: UUID, state: str, **facts: Any) -> None:
    """End a run: its job as one of `ENDED`, or `queued` to be tried again. Raises LostError."""
    _set_state(_own(session, job_id, run), state, **facts)


def _set_state(job: Job, state: str, **facts: Any) -> None:
    job.state, job.run = state, None
    if state in ENDED:
        job.ended_at = utc_now()
    else:
        job.queued_at = utc_now()
    for name, value in facts.items():
        setattr(job, name, value)


def find(session: Session, any_id: UUID) -> Job | None:
    """Find a job by its own id or its task's, and let nobody else change it."""
    is_it = or_(Job.id == any_id, Job.task_id == str(any_id))
    return session.scalars(select(Job).where(is_it).with_for_update()).first()


def cancel(job: Job) -> bool:
    """Cancel a job: a run that has it ends its tool within a second. False where it had ended."""
    if job.state in ENDED:
        return False
    _set_state(job, "cancelled", error="It was cancelled.")
    return True


def give_up(session: Session, job_id: UUID, reason: str) -> None:
    """End a job as failed that nobody will carry out, unless it has ended."""
    job = session.get(Job, job_id, with_for_update=True)
    if job is not None and job.state not in ENDED:
        _set_state(job, "failed", error=reason)


def reopen(session: Session, job_id: UUID) -> None:
    """Let a job that failed begin once more."""
    job = session.get(Job, job_id, with_for_update=True)
    if job is not None and job.state == "failed":
        _set_state(job, "queued", ended_at=None)


def as_json(job: Job) -> dict[str, Any]:
    """Give a job in the words of its updates."""
    return {
        "job_id": str(job.id),
        "task_id": job.task_id,
        "tool": job.tool,
        "status": job.state,
        "attempt": job.attempt,
        "error": job.error,
        "files": job.files,
        "duration_seconds": job.duration_seconds,
    }


class JobRows:
    """The rows of jobs, as the reconciliation of any lost work sees them."""

    name = "jobs"

    def open_ids(self, session: Session, age_seconds: float) -> Sequence[UUID]:
        """Find the jobs that have not ended, and were queued or seen last so long ago."""
        waits = and_(Job.state == "queued", Job.queued_at < utc_now() - timedelta(seconds=age_seconds))
        runs = and_(Job.state == "running", Job.seen_at < utc_now() - timedelta(seconds=age_seconds))
        return session.scalars(select(Job.id).where(or_(waits, runs)).order_by(Job.queued_at)).all()

    def settle(
        self,
        session: Session,
        row_id: UUID,
        *,
        by_hand: bool,  # noqa: ARG002 - no command of ours sends a job by hand
    ) -> tuple[Decision, Message | None]:
        """Have a job whose message is nowhere begin anew, unless it has ended meanwhile."""
        job = session.get(Job, row_id, with_for_update={"skip_locked": True})
        if job is None or job.state in ENDED:
            return Decision(row_id, Fate.LEFT, "it has ended, or runs right now."), None
        _set_state(job, "queued")
        again = Message(RUN_TOOL, (str(job.id), job.tool, job.parameters))
        return Decision(row_id, Fate.SENT, "its message was nowhere."), again
