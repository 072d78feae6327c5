"""The progress of a running import, in the words that the Ibutsu server's page knows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ibutsu_tasks.tasks.progress import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from ibutsu_tasks.tasks.base import DatabaseTask


class ImportReporter:
    """Reports how much of a file was read, and its test cases."""

    def __init__(
        self,
        task: DatabaseTask,
        task_id: str | None,
        import_id: UUID,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reporter = Reporter(task, task_id, {"import_id": str(import_id)}, clock)

    def __call__(self, cases: int, bytes_read: int, bytes_total: int) -> None:
        """Report it, as `Reporter` does."""
        state = {"cases": cases, "bytes_read": bytes_read, "bytes_total": bytes_total}
        self._reporter(bytes_read, bytes_total, state)

    def end(self, status: str) -> None:
        """Report that it ended, as `done` or as `error`."""
        self._reporter.end(status)
