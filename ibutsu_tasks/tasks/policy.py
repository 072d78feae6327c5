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
    others wait, and for `key_seconds` after it succeeded they are given its result and run nothing. One of
    which it gives None has no other like it.
    After `most_losses` processes were lost in a row over the same work, its message is set aside.
    """

    retries: int = 0
    retry_on: tuple[type[Exception], ...] = (Exception,)
    pause_seconds: float | Setting = 60.0
    growth: float = 1.0
    soft_time_limit_seconds: float | None = None
    time_limit_seconds: float | None = None
    key: Callable[..., str | None] | None = None
    key_seconds: float = 86_400.0
    most_losses: int = 3

    def __post_init__(self) -> None:
        """Raise ValueError for a number that means nothing, TypeError where errors are no tuple."""
        for name, least in _LEAST.items():
            number = getattr(self, name)
            if isinstance(number, int | float) and not number >= least:
                raise ValueError(f"The {name} of a policy must be at least {least}, not {number}")
        if not isinstance(self.retry_on, tuple):
            raise TypeError("The retry_on of a policy must be a tuple of errors, as in (OSError,)")

    def pause_after(self, failures: int, settings: Settings) -> float:
        """Give what is waited after so many failures, in seconds."""
        row = self.pause_seconds
        first: float = settings.value(row) if isinstance(row, Setting) else row
        try:
            return min(first * self.growth ** (failures - 1), MAX_PAUSE_SECONDS)
        except OverflowError:
            return MAX_PAUSE_SECONDS


_LEAST = {
    "retries": 0,
    "pause_seconds": 0,
    "growth": 1,
    "soft_time_limit_seconds": 0.1,
    "time_limit_seconds": 0.1,
    "key_seconds": 1,
    "most_losses": 1,
}
