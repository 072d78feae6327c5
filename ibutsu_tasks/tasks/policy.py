"""The policy of one task: retries besides those after temporary errors, time limits, one run per key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.packages import Setting
from ibutsu_tasks.tasks.retries import MAX_PAUSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibutsu_tasks.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The policy of a task, as in `@shared_task(bind=True, base=DatabaseTask, policy=Policy(retries=3))`.

    Temporary errors (the table in `temporary_errors.py`) are tried again without end, whatever stands here.
    Of other errors, those of the kinds `retry_on` are tried again `retries` times: after `pause_seconds`, and
    each time `growth` times as late, at most ten minutes. It may be a setting of the package.
    `soft_time_limit_seconds` raises SoftTimeLimitExceeded in it, `time_limit_seconds` kills its process.
    `key` gives, from the task's arguments, what makes two messages the same work: while one of them runs, the
    others wait, and for `key_seconds` after it succeeded they are given its result and run nothing.
    After `most_losses` processes were lost in a row over the same work, its message is set aside.
    """

    retries: int = 0
    retry_on: tuple[type[Exception], ...] = (Exception,)
    pause_seconds: float | Setting = 60.0
    growth: float = 1.0
    soft_time_limit_seconds: float | None = None
    time_limit_seconds: float | None = None
    key: Callable[..., str] | None = None
    key_seconds: float = 86_400.0
    most_losses: int = 3

    def pause_after(self, failures: int, settings: Settings) -> float:
        """Give what is waited after so many failures, in seconds."""
        row = self.pause_seconds
        first: float = settings.value(row) if isinstance(row, Setting) else row
        return min(first * self.growth ** (failures - 1), MAX_PAUSE_SECONDS)
