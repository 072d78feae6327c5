"""The doctor: looks at every service, says what it saw and the one thing that mends it."""

from __future__ import annotations

import difflib
import time
from typing import TYPE_CHECKING

from ibutsu_tasks.doctor.backend import check_backend
from ibutsu_tasks.doctor.beat import check_beat
from ibutsu_tasks.doctor.broker import check_broker
from ibutsu_tasks.doctor.codes import Verdict
from ibutsu_tasks.doctor.database import check_database
from ibutsu_tasks.doctor.flower import check_flower
from ibutsu_tasks.doctor.prunes import check_prunes
from ibutsu_tasks.doctor.report import Report
from ibutsu_tasks.doctor.running import Check, Round
from ibutsu_tasks.doctor.settings import check_settings, obstacles
from ibutsu_tasks.doctor.workers import check_workers
from ibutsu_tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ibutsu_tasks.doctor.report import Finding
    from ibutsu_tasks.settings import Settings

SETTINGS = "settings"


def _nothing(_: Settings) -> tuple[str, ...]:
    return ()


def _broker(_: Settings) -> tuple[str, ...]:
    return ("broker",)


def _broker_and_database(_: Settings) -> tuple[str, ...]:
    return ("broker", "database")


def _broker_when_shared(settings: Settings) -> tuple[str, ...]:
    return ("broker",) if settings.backend_url == settings.broker_url else ()


SERVICE_CHECKS = {
    "broker": Check(check_broker, needs=_nothing),
    "backend": Check(check_backend, needs=_broker_when_shared),
    "database": Check(check_database, needs=_nothing),
    "workers": Check(check_workers, needs=_broker),
    "beat": Check(check_beat, needs=_broker),
    "prunes": Check(check_prunes, needs=_broker_and_database),
    "flower": Check(check_flower, needs=_nothing),
}

CHECKS = (SETTINGS, *SERVICE_CHECKS)
"""The names of all checks in the order they are shown. That of the settings connects to nothing."""


def examine(settings: Settings, only: Iterable[str] = ()) -> Report:
    """Run the checks named in `only` (each may hold several names with commas), or all.

    What a chosen check needs is looked at as well, and shown when it is not in order. Ends within ten
    seconds whatever the network does. Raises UsageError for a name that is no check.
    """
    begun = time.monotonic()
    chosen = choose(only)
    wanted = [name for name in CHECKS if name in _with_needs(chosen, settings)]
    found = {SETTINGS: check_settings(settings, CHECKS if SETTINGS in chosen else wanted)}
    services = [name for name in wanted if name in SERVICE_CHECKS]
    found |= Round(settings, SERVICE_CHECKS, obstacles(settings)).run(services)
    shown = [item for name in CHECKS for item in found.get(name, ()) if name in chosen or _is_news(item)]
    return Report(tuple(shown), time.monotonic() - begun)


def choose(only: Iterable[str]) -> tuple[str, ...]:
    """Split names at commas and look them up; no name means all. Raises UsageError for an unknown one."""
    given = [name.strip().lower() for text in only for name in text.split(",") if name.strip()]
    for name in given:
        if name not in CHECKS:
            raise UsageError(f"There is no check {name!r}.", _suggestion(name))
    return tuple(dict.fromkeys(given)) or CHECKS


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, CHECKS, n=1)
    return (f"Did you mean {near[0]}? " if near else "") + f"The checks are {', '.join(CHECKS)}."


def _with_needs(chosen: Sequence[str], settings: Settings) -> set[str]:
    needed = {
        need for name in chosen if name in SERVICE_CHECKS for need in SERVICE_CHECKS[name].needs(settings)
    }
    return {*chosen, *needed}


def _is_news(item: Finding) -> bool:
    """Say whether a finding that nobody asked for is to be shown all the same."""
    return item.verdict is not Verdict.GOOD
