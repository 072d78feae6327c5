"""The doctor: looks at every service, says what it saw and how to fix it."""

from __future__ import annotations

import difflib
import importlib
import time
from typing import TYPE_CHECKING

from ibutsu_tasks.doctor.checks.settings import obstacles
from ibutsu_tasks.doctor.codes import BROKE, Verdict, code_of
from ibutsu_tasks.doctor.report import Report, wrong
from ibutsu_tasks.doctor.running import Check, Round
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.packages import loaded, resolve
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ibutsu_tasks.settings import Settings


def _broker_if_shared(settings: Settings) -> tuple[str, ...]:
    urls = {settings.backend_url, settings.cache_url}
    return ("broker",) if urls == {settings.broker_url} else ()


NEEDS: dict[str, Callable[[Settings], tuple[str, ...]]] = {
    "settings": lambda _: (),
    "packages": lambda _: (),
    "broker": lambda _: (),
    "backend": _broker_if_shared,
    "database": lambda _: (),
    "workers": lambda _: ("broker",),
    "held": lambda _: ("broker",),
    "beat": lambda _: ("broker",),
    "flower": lambda _: (),
    "prunes": lambda _: ("broker", "database"),
}
"""Our own checks in the order they are shown, and which others each needs. `checks/<name>.py` has
`check_<name>`, `codes.py` the letter of its codes."""


def names() -> tuple[str, ...]:
    """Name all checks in the order they are shown: our own, then those of the task packages.

    Where no task package has a retention rule, nothing is to be said of prunes.
    """
    own = (name for name in NEEDS if name != "prunes" or loaded().retention)
    return (*own, *loaded().checks)


def examine(settings: Settings, only: Iterable[str] = ()) -> Report:
    """Run the checks named in `only` (each may hold several names with commas), or all.

    What a chosen check needs is looked at as well, and shown when it is not in order. Ends within ten
    seconds whatever the network does. Raises UsageError for a name that is no check.
    """
    chosen = choose(only)
    needed = {need for name in chosen for need in _needs(name, settings)}
    wanted = [name for name in names() if name in {*chosen, *needed}]
    checks = {name: _load(name, settings) for name in wanted}
    begun = time.monotonic()
    blocked = obstacles(settings, wanted)
    found = Round(settings, checks, blocked).run()
    # The check of the settings, when chosen, shows the obstacles itself.
    news = [] if "settings" in chosen else [blocked[name] for name in wanted if name in blocked]
    # What nobody asked for is news when it is not in order.
    for name in wanted:
        news += [item for item in found[name] if name in chosen or item.verdict is not Verdict.GOOD]
    return Report(tuple(news), time.monotonic() - begun)


def choose(only: Iterable[str]) -> tuple[str, ...]:
    """Split names at commas and look them up; all without `only`. Raises UsageError for one that is none."""
    only = tuple(only)
    given = [name.strip().lower() for text in only for name in text.split(",") if name.strip()]
    for name in given:
        if name not in names():
            raise UsageError(f"There is no check {cut(name)!r}.", _suggestion(name))
    if only and not given:
        raise UsageError("--only names no check.", _suggestion(""))
    return tuple(dict.fromkeys(given)) or names()


def _needs(name: str, settings: Settings) -> tuple[str, ...]:
    return NEEDS[name](settings) if name in NEEDS else loaded().checks[name].needs


def _load(name: str, settings: Settings) -> Check:
    """Import a check: what it needs of libraries is loaded when it is chosen, and before its time begins."""
    if name in NEEDS:
        module = importlib.import_module(f"{__name__}.checks.{name}")
        if name == "packages":
            loaded().import_tasks()
        return Check(getattr(module, f"check_{name}"), code_of(name, ""), _needs(name, settings))
    declared = loaded().checks[name]
    try:
        run = resolve(declared.run)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a package does when it is imported
        problem = wrong(
            f"{declared.code}{BROKE}", f"The check cannot be loaded: {error!r}.", f"Repair {declared.run}."
        )
        return Check(lambda _: [problem], declared.code)
    return Check(run, declared.code, declared.needs)


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, names(), n=1)
    return (f"Did you mean {near[0]}? " if near else "") + f"The checks are {', '.join(names())}."
