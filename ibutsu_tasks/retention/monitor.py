"""What a prune reports to, and asks whether to stop."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


@dataclass(frozen=True, slots=True)
class PruneProgress:
    """How far a prune is: rows of all tables deleted, and what it waits for if it pauses."""

    rule: str
    rows: int
    batches: int
    waiting_for: str | None = None


class PruneMonitor:
    """What a prune reports to, and asks whether to stop. This one ignores reports and never stops."""

    def report(self, progress: PruneProgress) -> None:
        """Take the progress: after each batch, and while the prune pauses."""

    def report_archive(self, step: str, rows: int) -> None:
        """Take the progress of one archive: `writing` or `checking`, and its rows so far."""

    def should_stop(self) -> bool:
        """Say whether the prune is to stop; asked between batches and every hundred rows of an archive."""
        return False

    def interrupting(self) -> AbstractContextManager[object]:
        """Give a block of mere reading, which KeyboardInterrupt may end when the prune is to stop."""
        return nullcontext()
