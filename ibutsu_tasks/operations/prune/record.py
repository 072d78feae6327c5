"""What is kept of one prune, as it is written and read back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.clock import iso_utc

if TYPE_CHECKING:
    from collections.abc import Mapping

SILENCE_SECONDS = 900
"""A prune shows a sign of life every few seconds while it deletes; its longest statements take minutes."""


class PruneState(StrEnum):
    """What became of a prune.

    `skipped` says that it was not tried: too young an age, or another prune was running. `stopped` is one
    that was asked to end and did, between two batches. `lost` is one that never said how it ended: its
    process was killed. It is never written, only seen.
    """

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    STOPPED = "stopped"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class PruneRecord:
    """One prune. Moments are naive UTC.

    `rows` of all tables are gone; `deleted` tells them by table once the prune has ended well. `seen` is its
    last sign of life. `sentence` says why it failed, was skipped or stopped. `by` is `command` or `task`,
    `where` a host or the node name of a worker. `archives`: what went was archived first, which takes longer.
    """

    id: str
    rule: str
    older_than_days: int
    started: datetime
    seen: datetime
    by: str
    where: str
    task_id: str | None = None
    written_state: PruneState = PruneState.RUNNING
    ended: datetime | None = None
    cutoff: datetime | None = None
    rows: int = 0
    deleted: Mapping[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    left: int = 0
    seconds: float = 0.0
    sentence: str | None = None
    archives: bool = False

    def state(self, now: datetime) -> PruneState:
        """Say what became of it; a running one that is silent for long is lost."""
        is_silent = (now - self.seen).total_seconds() > SILENCE_SECONDS
        if self.written_state is PruneState.RUNNING and is_silent:
            return PruneState.LOST
        return self.written_state

    def as_json(self) -> dict[str, Any]:
        """Give the record as JSON values; moments are ISO 8601 in UTC."""
        return {
            "id": self.id,
            "rule": self.rule,
            "older_than_days": self.older_than_days,
            "state": str(self.written_state),
            "started": iso_utc(self.started, "milliseconds"),
            "seen": iso_utc(self.seen, "milliseconds"),
            "ended": iso_utc(self.ended, "milliseconds"),
            "cutoff": iso_utc(self.cutoff, "milliseconds"),
            "rows": self.rows,
            "deleted": dict(self.deleted),
            "size_bytes": self.size_bytes,
            "left": self.left,
            "seconds": round(self.seconds, 3),
            "sentence": self.sentence,
            "by": self.by,
            "where": self.where,
            "task_id": self.task_id,
            "archives": self.archives,
        }


def parse_record(document: bytes | str) -> PruneRecord | None:
    """Read what `as_json` gave; None for what is no record of ours."""
    try:
        values = json.loads(document)
        return PruneRecord(
            id=str(values["id"]),
            rule=str(values["rule"]),
            older_than_days=int(values["older_than_days"]),
            started=_moment(values["started"]),
            seen=_moment(values["seen"]),
            by=str(values["by"]),
            where=str(values["where"]),
            task_id=_text(values["task_id"]),
            written_state=PruneState(values["state"]),
            ended=_moment(values["ended"]) if values["ended"] else None,
            cutoff=_moment(values["cutoff"]) if values["cutoff"] else None,
            rows=int(values["rows"]),
            deleted={str(table): int(rows) for table, rows in values["deleted"].items()},
            size_bytes=int(values["size_bytes"]),
            left=int(values["left"]),
            seconds=float(values["seconds"]),
            sentence=_text(values["sentence"]),
            archives=values.get("archives") is True,
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _moment(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
