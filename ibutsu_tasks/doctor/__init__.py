"""The doctor: looks at every service, says what it saw and the one thing that mends it."""

from __future__ import annotations

import difflib
import importlib
import time
from typing import TYPE_CHECKING

from ibutsu_tasks.doctor.codes import Verdict
from ibutsu_tasks.doctor.report import Report
from ibutsu_tasks.doctor.running import Check, Round
from ibutsu_tasks.doctor.settings import check_settings, obstacles
from ibutsu_tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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


NEEDS: dict[str, Callable[[Settings], tuple[str, ...]]] = {
    "broker": _nothing,
    "backend": _broker_when_shared,
    "database": _nothing,
    "workers": _broker,
    "beat": _broker,
    "prunes": _broker_and_database,
    "flower": _nothing,
}
"""The checks of the services, and which others each needs. `doctor/<name>.py` holds `check_<name>`."""

CHECKS = (SETTINGS, *NEEDS)
"""The names of all checks in the order they are shown. That of the settings connects to nothing."""


def examine(settings: Settings, only: Iterable[str] = ()) -> Report:
    """Run the checks named in `only` (each may hold several names with commas), or all.

    What a chosen check needs is looked at as well, and shown when it is not in order. Ends within ten
    seconds whatever the network does. Raises UsageError for a name that is no check.
    """
    chosen = choose(only)
    wanted = [name for name in CHECKS if name in _with_needs(chosen, settings)]
    services = {name: _load(name) for name in wanted if name in NEEDS}
    begun = time.monotonic()
    found = {SETTINGS: check_settings(settings, CHECKS if SETTINGS in chosen else wanted)}
    found |= Round(settings, services, obstacles(settings, services)).run(list(services))
    shown = [item for name in CHECKS for item in found.get(name, ()) if name in chosen or _is_news(item)]
    return Report(tuple(shown), time.monotonic() - begun)


def choose(only: Iterable[str]) -> tuple[str, ...]:
    """Split names at commas and look them up; no name means all. Raises UsageError for an unknown one."""
    given = [name.strip().lower() for text in only for name in text.split(",") if name.strip()]
    for name in given:
        if name not in CHECKS:
            raise UsageError(f"There is no check {name!r}.", _suggestion(name))
    return tuple(dict.fromkeys(given)) or CHECKS


def _load(name: str) -> Check:
    """Import a check: what it needs of libraries is loaded when it is chosen, and before its time begins."""
    module = importlib.import_module(f"{__name__}.{name}")
    return Check(getattr(module, f"check_{name}"), NEEDS[name])


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, CHECKS, n=1)
    return (f"Did you mean {near[0]}? " if near else "") + f"The checks are {', '.join(CHECKS)}."


def _with_needs(chosen: Sequence[str], settings: Settings) -> set[str]:
    needed = {need for name in chosen if name in NEEDS for need in NEEDS[name](settings)}
    return {*chosen, *needed}


def _is_news(item: Finding) -> bool:
    """Say whether a finding that nobody asked for is to be shown all the same."""
    return item.verdict is not Verdict.GOOD
