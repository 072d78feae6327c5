"""Which task packages this process has: Ibutsu's own, those installed, and those that a setting names.

A package is installed when its distribution has an entry point in the group `ibutsu_tasks.packages`. One that
cannot be used is left out, and `problems` says why: who starts a role tells of it, or refuses.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.packages.declaration import HIGHEST_PRIORITY, Check, TaskPackage
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ibutsu_tasks.packages.declaration import (
        Importer,
        RetentionRule,
        Route,
        ScheduleRow,
        Setting,
        Subject,
    )

GROUP = "ibutsu_tasks.packages"

OWN = "ibutsu_tasks.ibutsu.package"
"""Ibutsu's own, which needs no entry point."""

CORE = TaskPackage(
    name="ibutsu-tasks itself",
    checks=tuple(
        Check(name, f"IBT-{name}", "")
        for name in (
            *("settings", "packages", "broker", "backend", "database", "workers", "held", "beat", "flower"),
            "prunes",
        )
    ),
)
"""What no package may have, for it is taken; the settings are added by who knows them."""

ATTRIBUTE = "PACKAGE"
"""The name of the object in a module that is named without one."""


class Source(NamedTuple):
    """Where a package is declared, and who says so."""

    place: str
    """`module` or `module:name`."""
    said_by: str
    known_as: str = ""
    """The name under which it can be left out without being imported."""


@dataclass(frozen=True)
class Packages:
    """The packages of this process, and what they bring together."""

    sources: Mapping[str, Source]
    """By name, in the order in which they were found."""
    packages: tuple[TaskPackage, ...]
    problems: Mapping[str, str] = field(default_factory=dict)
    """By the place of a package that is left out, the sentence that says why."""
    left_out: frozenset[str] = frozenset()
    """The names of those that were to be left out, and would have been found."""

    @cached_property
    def queues(self) -> tuple[str, ...]:
        """The names of all queues."""
        return tuple(dict.fromkeys(queue.name for one in self.packages for queue in one.queues))

    @cached_property
    def always_consumed(self) -> tuple[str, ...]:
        """The names of those that every worker consumes."""
        queues = (queue for one in self.packages for queue in one.queues)
        return tuple(dict.fromkeys(queue.name for queue in queues if queue.always))

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """All routes in the order in which they are tried."""
        return tuple(route for one in self.packages for route in one.routes)

    @cached_property
    def schedule(self) -> tuple[ScheduleRow, ...]:
        """What beat sends."""
        return tuple(row for one in self.packages for row in one.schedule)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The rows of their settings."""
        return tuple(row for one in self.packages for row in one.settings)

    @cached_property
    def checks(self) -> dict[str, Check]:
        """The checks of `doctor` by name."""
        return {check.name: check for one in self.packages for check in one.checks}

    @cached_property
    def retention(self) -> dict[str, RetentionRule]:
        """The retention rules by name, in the order in which `prune all` runs them."""
        return {rule.name: rule for one in self.packages for rule in one.retention}

    @cached_property
    def subjects(self) -> dict[str, Subject]:
        """What a message is about, by the full name of its task."""
        subjects = (subject for one in self.packages for subject in _subjects_of(one))
        return {task: subject for subject in subjects for task in subject.tasks}

    @cached_property
    def importers(self) -> dict[str, Importer]:
        """What reads files, by the name of its format, in the order in which a file is shown to them."""
        return {importer.name: importer for one in self.packages for importer in one.importers}

    def owner_of(self, module: str) -> str | None:
        """Name the package that a task's module belongs to: it names the module, or one above it."""
        above = {module[:end] for end in (*_dots(module), len(module))}
        return next((one.name for one in self.packages if above & set(one.tasks)), None)

    def each(self, part: str) -> Iterator[tuple[TaskPackage, Any]]:
        """Give the packages that name an object for `part`, with the object. Raises as `named_by`."""
        for one in self.packages:
            if getattr(one, part):
                yield one, named_by(one, part)

    def problem_of(self, package: TaskPackage) -> str:
        """Say, as the end of a sentence, what keeps one more package from being loaded; empty for nothing."""
        return _problem_of(package, (CORE, *self.packages))

    def import_tasks(self, of: TaskPackage | None = None) -> dict[str, str]:
        """Import the modules of all tasks, or those of a package; say, by module, why one cannot be.

        So are the functions of importers, lest each process of a pool did that for itself.
        """
        problems = {}
        for package in self.packages if of is None else (of,):
            functions = ((one.recognizes, one.reads) for one in package.importers)
            for named in (*package.tasks, *chain.from_iterable(functions)):
                try:
                    _import(named)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it does when it is imported
                    problems[named] = f"{named} of the package {package.name} {_why(error)}"
        return problems


def broker_priority(priority: int | None) -> int | None:
    """Give the number that Redis' transport takes for a priority: there, 0 is first."""
    return None if priority is None else HIGHEST_PRIORITY - priority


def resolve(named: str) -> Any:
    """Import what `module:name` names. Raises what that import raises, and AttributeError."""
    module, _, name = named.partition(":")
    return getattr(importlib.import_module(module), name or ATTRIBUTE)


def _import(named: str) -> None:
    if ":" in named:
        resolve(named)
    else:
        importlib.import_module(named)


def resolve_told(named: str, told: str) -> Any:
    """Import what `module:name` names, `told` being who names it. Raises SettingsError when that fails."""
    try:
        return resolve(named)
    except (Exception, SystemExit) as error:
        raise SettingsError(f"{told} {_why(error)}", f"Repair {named}.") from error


def named_by(package: TaskPackage, part: str) -> Any:
    """Give the object that a package names for `part`. Raises SettingsError when it cannot be used."""
    told = f"What the package {package.name} names as {part}"
    found = resolve_told(getattr(package, part), told)
    if part == "tables" and not hasattr(found, "create_all"):
        raise SettingsError(
            f"{told} is no MetaData of SQLAlchemy.", "A class of models has it as `metadata`."
        )
    return found


def load(sources: Iterable[Source], without: Sequence[str] = (), core: TaskPackage = CORE) -> Packages:
    """Load the packages of these sources but those in `without`; of two that collide the first stays.

    `core` has the names that are taken before.
    """
    found: dict[str, Source] = {}
    packages: list[TaskPackage] = []
    problems: dict[str, str] = {}
    left_out: set[str] = set()
    for source in dict.fromkeys(sources):
        if source.known_as in without:
            left_out.add(source.known_as)
            continue
        try:
            package = resolve(source.place)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it does when it is imported
            problems[source.place] = f"{_named(source)} {_why(error)}"
            continue
        if not isinstance(package, TaskPackage):
            problems[source.place] = f"{_named(source)} is no TaskPackage but {type(package).__name__}."
        elif package.name in without:
            left_out.add(package.name)
        elif package in packages:
            continue
        elif problem := _problem_of(package, (core, *packages)):
            problems[source.place] = f"{_named(source)} {problem}."
        else:
            found[package.name] = source
            packages.append(package)
    return Packages(found, tuple(packages), problems, frozenset(left_out))


def _dots(module: str) -> Iterator[int]:
    return (place for place, letter in enumerate(module) if letter == ".")


def _why(error: BaseException) -> str:
    reason = " ".join(str(error).split())
    return f"cannot be imported: {type(error).__name__}{f': {cut(reason, 200)}' if reason else ''}."


def _named(source: Source) -> str:
    return f"{source.place} ({source.said_by})"


def _subjects_of(package: TaskPackage) -> Iterator[Subject]:
    yield from package.subjects
    yield from (importer.subject for importer in package.importers)


def _names_of(package: TaskPackage) -> Iterator[tuple[str, str]]:
    """Give every name of which there may be one alone, with what it is."""
    yield "package", package.name
    yield from (("schedule entry", row.name) for row in package.schedule)
    yield from (("check", check.name) for check in package.checks)
    yield from (("code of a check", check.code) for check in package.checks)
    for rule in package.retention:
        yield from (("retention rule", rule.name), ("task of a retention rule", rule.task))
    yield from (("setting", row.name) for row in package.settings)
    for row in package.settings:
        yield from (("variable", f"{variable}{end}") for variable in row.variables for end in ("", "_FILE"))
    for importer in package.importers:
        yield from (("importer", importer.name), ("import task", importer.task))
    yield from (("subject of", task) for subject in _subjects_of(package) for task in subject.tasks)
    yield from (("task module", module) for module in package.tasks)


def _problem_of(package: TaskPackage, others: Iterable[TaskPackage]) -> str:
    own = list(_names_of(package))
    if twice := [one for one in own if own.count(one) > 1]:
        return f"has the {' '.join(twice[0])} twice"
    for other in others:
        theirs = set(_names_of(other))
        if same := [one for one in own if one in theirs]:
            return f"collides with the package {other.name}: both have the {' '.join(same[0])}"
    return ""


def _installed() -> Iterator[Source]:
    if not any(map(_declares_some, sys.path)):
        return
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes longer than the start of a command

    for point in entry_points(group=GROUP):
        owner = f"installed with {point.dist.name} {point.dist.version}" if point.dist else "installed"
        yield Source(point.value, owner, point.name)


def _declares_some(directory: str) -> bool:
    """Say whether a distribution in a directory of the path, or a zip file there, may name the group."""
    # pathlib takes three times as long, and raises for what may not be looked at.
    if os.path.isfile(directory):  # noqa: PTH113
        return True
    if not os.access(directory, os.R_OK | os.X_OK) or not os.path.isdir(directory):  # noqa: PTH112
        return False
    with os.scandir(directory) as entries:
        return any(_names_group(entry.path) for entry in entries if entry.name.endswith("-info"))


def _names_group(metadata: str) -> bool:
    try:
        with open(f"{metadata}/entry_points.txt", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return GROUP in file.read()
    except OSError:
        return False


@dataclass(slots=True)
class _Choice:
    """What was chosen for this process; packages are like modules: a process has one set of them."""

    modules: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    loaded: Packages | None = None


_choice = _Choice()


def choose(modules: tuple[str, ...], without: tuple[str, ...], settings: Iterable[Setting] = ()) -> None:
    """Say which modules declare packages beside those that are installed, and which packages are left out.

    `settings` are the rows of the core's own, whose names and variables no package may have.
    """
    chosen = (modules, without, tuple(settings))
    if chosen != (_choice.modules, _choice.without, _choice.settings):
        _choice.modules, _choice.without, _choice.settings = chosen
        _choice.loaded = None


def loaded() -> Packages:
    """Give the packages of this process; they are loaded when they are first asked for."""
    if _choice.loaded is None:
        named = (Source(module, "named in IBUTSU_TASKS_PACKAGES", module) for module in _choice.modules)
        sources = (Source(OWN, "built in", "ibutsu"), *_installed(), *named)
        _choice.loaded = load(sources, _choice.without, replace(CORE, settings=_choice.settings))
    return _choice.loaded
