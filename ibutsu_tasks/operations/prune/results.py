"""What a prune would delete, and what it deleted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.clock import iso_utc
from ibutsu_tasks.operations.prune.speed import DEFAULT_SPEED, PruneSpeed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ibutsu_tasks.database.indexes import MissingIndex


@dataclass(frozen=True, slots=True)
class TablePlan:
    """Rows of one table that would go. Dates are naive UTC, None without rows or without a date column."""

    table: str
    rows: int
    oldest: datetime | None
    newest: datetime | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a rule would delete: rows of its own table first, then of what hangs on them.

    With `missing_indexes` it would refuse to.
    """

    rule: str
    age_days: int
    cutoff: datetime
    tables: tuple[TablePlan, ...]
    missing_indexes: tuple[MissingIndex, ...] = ()
    speed: PruneSpeed = DEFAULT_SPEED

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def expected_seconds(self) -> float:
        """The time it would take."""
        return self.speed.seconds_for(self.rows)

    def as_json(self) -> dict[str, Any]:
        """Give the plan as JSON values; dates are ISO 8601 in UTC."""
        tables = [
            asdict(table) | {"oldest": iso_utc(table.oldest), "newest": iso_utc(table.newest)}
            for table in self.tables
        ]
        return {
            "rule": self.rule,
            "older_than_days": self.age_days,
            "cutoff": iso_utc(self.cutoff),
            "rows": self.rows,
            "expected_seconds": round(self.expected_seconds, 1),
            "rows_per_second": round(self.speed.rows_per_second),
            "prunes_measured": self.speed.prunes,
            "missing_indexes": [asdict(index) for index in self.missing_indexes],
            "tables": tables,
        }


@dataclass(frozen=True, slots=True)
class PruneSummary:
    """What a rule deleted.

    `skipped` says why nothing was tried. `left` counts due rows of the rule's own table that still stand
    because other transactions hold them or what hangs on them; the next prune takes them. `stopped`: it
    was asked to stop before the end; nobody has counted what is left.
    """

    rule: str
    age_days: int
    cutoff: datetime | None = None
    deleted: Mapping[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    left: int = 0
    seconds: float = 0.0
    skipped: str | None = None
    stopped: bool = False

    def rows_of(self, table: str) -> int:
        """Give the number of rows deleted from `table`."""
        return self.deleted.get(table, 0)

    def as_json(self) -> dict[str, Any]:
        """Give the summary as JSON values; dates are ISO 8601 in UTC."""
        return {
            "rule": self.rule,
            "older_than_days": self.age_days,
            "cutoff": iso_utc(self.cutoff),
            "deleted": dict(self.deleted),
            "size_bytes": self.size_bytes,
            "left": self.left,
            "seconds": round(self.seconds, 3),
            "skipped": self.skipped,
            "stopped": self.stopped,
        }
