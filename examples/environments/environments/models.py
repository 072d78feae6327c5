"""The table of environments. Times are naive UTC."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - SQLAlchemy reads the annotations
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ibutsu_tasks.clock import utc_now


class State(StrEnum):
    """Where an environment is."""

    PENDING = "PENDING"
    PROVISIONING = "PROVISIONING"
    READY = "READY"
    UPDATING = "UPDATING"
    DESTROYING = "DESTROYING"
    DESTROYED = "DESTROYED"
    FAILED = "FAILED"


AT_WORK = frozenset({State.PROVISIONING, State.UPDATING, State.DESTROYING})
"""States in which a task has the environment."""

NOT_TOLD = "GitHub was not told yet."

_STATES = ", ".join(f"'{state}'" for state in State)


class Base(DeclarativeBase):
    """What all tables have in common."""


METADATA = Base.metadata


class Environment(Base):
    """A preview environment of a pull request: a namespace of the cluster."""

    __tablename__ = "environments"
    __table_args__ = (
        CheckConstraint(f"state in ({_STATES})", name="environments_state"),
        # A pull request that is opened again gets a new one.
        Index(
            "environments_of_pull_requests",
            "repository",
            "pull_request",
            unique=True,
            postgresql_where=text("state <> 'DESTROYED'"),
        ),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    repository: Mapped[str]
    """On GitHub: `owner/name`."""
    pull_request: Mapped[int]
    commit: Mapped[str]
    """The SHA it shows, or is to show."""
    state: Mapped[str] = mapped_column(default=State.PENDING)
    reason: Mapped[str | None]
    """Why it is FAILED."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)
    """When it came to its state."""
    failing_since: Mapped[datetime | None]
    """When it failed first, since it was last READY or DESTROYED."""
    is_wanted: Mapped[bool] = mapped_column(default=True)
    """False once it is to be destroyed: it is never made again."""
    task_id: Mapped[str | None]
    """The message that works on it, or did last."""
    comment_id: Mapped[int | None] = mapped_column(BigInteger)
    """Its comment on the pull request."""
    github_fault: Mapped[str | None]
    """Why GitHub does not know of its state."""

    @property
    def namespace(self) -> str:
        """Its namespace, which no other environment ever has."""
        return f"preview-{self.pull_request}-{self.id.hex[:12]}"

    def enter(self, state: State, reason: str | None = None) -> None:
        """Come to a state, now."""
        self.state, self.reason, self.changed_at = state, reason, utc_now()
        if state not in AT_WORK:
            self.github_fault = NOT_TOLD
        if state is State.FAILED:
            self.failing_since = self.failing_since or self.changed_at
        elif state not in AT_WORK:
            self.failing_since = None
