"""How fast rows go: as measured in earlier prunes, else a figure of experience."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.operations.prune.record import PruneState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ibutsu_tasks.operations.prune.record import PruneRecord

DEFAULT_ROWS_PER_SECOND = 10_000.0

ARCHIVED_ROWS_PER_SECOND = 2_000.0
"""Each run gets a file of its own, written, read back and synced; large runs go twice as fast."""

LEAST_ROWS = 1000
"""A prune of a few rows measures its start and end, not its speed."""

PRUNES_LOOKED_AT = 10


@dataclass(frozen=True, slots=True)
class PruneSpeed:
    """Rows of all tables a second, measured in so many earlier prunes; 0 prunes make it the default."""

    rows_per_second: float = DEFAULT_ROWS_PER_SECOND
    prunes: int = 0

    def seconds_for(self, rows: int) -> float:
        """Give the time so many rows will take."""
        return rows / self.rows_per_second


DEFAULT_SPEED = PruneSpeed()
DEFAULT_ARCHIVED_SPEED = PruneSpeed(ARCHIVED_ROWS_PER_SECOND)


def measured_speed(records: Iterable[PruneRecord], rule: str, *, archives: bool = False) -> PruneSpeed:
    """Give the speed of the last prunes by `rule` that were worth measuring; `records` are newest first.

    Prunes that archive and prunes that do not tell nothing of each other.
    """
    measured = [
        record
        for record in records
        if record.rule == rule
        and record.archives is archives
        and record.written_state is PruneState.DONE
        and record.rows >= LEAST_ROWS
        and record.seconds > 0
    ][:PRUNES_LOOKED_AT]
    if not measured:
        return DEFAULT_ARCHIVED_SPEED if archives else DEFAULT_SPEED
    rate = sum(record.rows for record in measured) / sum(record.seconds for record in measured)
    return PruneSpeed(rate, len(measured))
