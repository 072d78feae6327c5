"""The runner's tables. Times are naive UTC."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - SQLAlchemy reads the annotations
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ibutsu_tasks.clock import utc_now


class Base(DeclarativeBase):
    """What all tables have in common."""

    type_annotation_map = {dict[str, Any]: JSONB, list[dict[str, Any]]: JSONB}  # noqa: RUF012 - SQLAlchemy's


METADATA = Base.metadata

ENDED = ("completed", "failed", "cancelled")


class Job(Base):
    """A tool that is to be run, runs, or was run."""

    __tablename__ = "tools_jobs"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tool: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(default="queued")
    """`queued`, `running` or one of `ENDED`; `queued` also while it waits to be tried again."""
    task_id: Mapped[str | None] = mapped_column(index=True)
    run: Mapped[UUID | None]
    """Whose it is: a process that is not this run any more (frozen, cut off) writes nothing."""
    attempt: Mapped[int] = mapped_column(default=1)
    error: Mapped[str | None]
    files: Mapped[list[dict[str, Any]] | None]
    queued_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    """When its process last said that it runs."""
    ended_at: Mapped[datetime | None] = mapped_column(index=True)
    duration_seconds: Mapped[float | None]


class LogPart(Base):
    """Lines of a job's log, as they came within a second."""

    __tablename__ = "tools_log"
    job_id: Mapped[UUID] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utc_now)
    text: Mapped[str]


class Statistics(Base):
    """What was run of a tool in one hour."""

    __tablename__ = "tools_statistics"
    tool: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    completed: Mapped[int]
    failed: Mapped[int]
    cancelled: Mapped[int]
    mean_seconds: Mapped[float | None]
    """Of those that were completed, as below."""
    longest_seconds: Mapped[float | None]
