"""What a task package declares: one object of names and values, which is read without loading its code.

Where it says `module:name`, the module is imported when the name is first needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, get_args

from ibutsu_tasks.packages import crontab

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HIGHEST_PRIORITY = 9

ALL_RULES = "all"
"""What `prune` takes for all retention rules, so that none has this name."""

DAYS_PER_MONTH = 30
"""The Ibutsu server counts months as 30 days."""

MAX_AGE_DAYS = 365_000
"""A thousand years: a date that much earlier is still in the calendars of Python and PostgreSQL."""


def _check_priority(name: str, priority: int | None) -> None:
    if priority is not None and priority not in range(HIGHEST_PRIORITY + 1):
        raise ValueError(f"{name} has the priority {priority!r}, which is not from 0 to {HIGHEST_PRIORITY}")


def _check_several(owner: str, part: str, found: object, kind: type) -> None:
    # `("shop.tasks")` is a text, and would be taken letter by letter.
    if not isinstance(found, tuple | list) or not all(isinstance(one, kind) for one in found):
        raise ValueError(
            f"{owner}: {part} must be a tuple of {kind.__name__}; one alone has a comma, as in (x,)"
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting is: where it is read from, what it means, how it is checked.

    It is known by the first of `variables`. `parse` takes the text given and raises ValueError with the end
    of a sentence (`must be …`), as those of `ibutsu_tasks.settings.values` do.
    """

    name: str
    variables: tuple[str, ...]
    help: str
    default: Any = None
    parse: Callable[[str], Any] = str
    unit: str = ""
    secret: bool = False
    default_text: str = ""
    """How the default is shown where it does not speak for itself."""
    flags: tuple[str, ...] = ()
    """The spellings of the command-line option that sets it, where there is one."""
    group: str = ""
    """What several settings describe together, so that all are taken from one source; empty for most."""
    is_port: bool = False
    """Whether Kubernetes may put something of its own into the variable."""

    def __post_init__(self) -> None:
        """Raise ValueError when it names no variable."""
        _check_several(self.name, "variables", self.variables, str)
        if not self.variables:
            raise ValueError(f"{self.name} has no variable")


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue. A worker that names no queues consumes all; `always`, whatever queues it names."""

    name: str
    always: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """Where messages go: `tasks` is a task's full name, or a pattern with `*`; the first that fits counts.

    `priority` is 0 to 9, and 9 is first, whatever the broker's own order is. Celery keeps four lists of a
    queue in Redis: 9 to 7, 6 to 4, 3 to 1, and 0; within one, the older message is first. None says nothing
    of it, and such messages are in the first list.
    """

    tasks: str
    queue: str
    priority: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a priority that is none."""
        _check_priority(self.tasks, self.priority)

    def __str__(self) -> str:
        """Give it as IBUTSU_TASKS_ROUTES has it."""
        priority = "" if self.priority is None else f":{self.priority}"
        return f"{self.tasks}={self.queue}{priority}"


class Missed(StrEnum):
    """What becomes of runs that were missed while no beat led, or the broker was away."""

    ONCE = "once"
    """One run makes up for all of them."""
    SKIP = "skip"
    """They are left out; the next one comes when it is due."""


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One periodic task; times are UTC.

    `when` is a crontab (minute, hour, day of the month, month, day of the week), or a number of seconds,
    from 0.1 to ten years.
    Fields are `*`, numbers, names such as `mon`, ranges and lists of them, and `/` with a step.
    The queue, and the priority unless it stands here, are those of the task's route.
    """

    name: str
    when: str | float
    task: str
    args: tuple[Any, ...] = ()
    missed: Missed = Missed.ONCE
    priority: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a time, arguments or a priority that are none."""
        _check_several(self.name, "args", self.args, object)
        if problem := crontab.problem_of(self.when):
            raise ValueError(f"{self.name} {problem}")
        _check_priority(self.name, self.priority)


@dataclass(frozen=True, slots=True)
class Check:
    """A check of `doctor`: `run` is `module:name` of a function from settings to a list of findings.

    Codes of its findings begin with `code`: `SHOP-R`. It is left out while a check that it `needs` (`broker`,
    `database`) has found its service down.
    """

    name: str
    code: str
    run: str
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for needs that are no tuple."""
        _check_several(self.name, "needs", self.needs, str)


@dataclass(frozen=True, slots=True)
class Subject:
    """What messages of some tasks are about, one row of a table each, such as an import.

    `key` names it in logs and traces (`import_id`). The id is the task's first argument, or the value that
    an object there has as `field`.
    """

    key: str
    tasks: tuple[str, ...]
    field: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for tasks that are no tuple."""
        _check_several(self.key, "tasks", self.tasks, str)

    def id_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """Give the id in a call's arguments, None where there is none."""
        found = next(iter((*args, *kwargs.values())), None)
        if self.field is not None:
            found = found.get(self.field) if isinstance(found, dict) else None
        return found if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Importer:
    """A format of files, which `task`, by its full name, imports: `ImportTask` is its base.

    `recognizes` is `module:name` of a function that tells the format by the first bytes of a file that are
    not all white space: 4 KiB or more, or all there are; of a packed file, of what it holds. `reads` is
    `module:name` of a `Reader` of `ibutsu_tasks.ibutsu.importers.parsed`. `help` names such a file behind
    "expected".
    """

    name: str
    task: str
    recognizes: str
    reads: str
    help: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError when it names no format, no task or no function."""
        if not self.name or not self.task:
            raise ValueError(f"The importer {self.name!r} of the task {self.task!r} needs both names")
        for part in ("recognizes", "reads"):
            named = getattr(self, part)
            if not isinstance(named, str) or not all(named.partition(":")):
                raise ValueError(f"{self.name}: {part} must be module:name of a function, not {named!r}")

    @property
    def subject(self) -> Subject:
        """What its messages are about."""
        return Subject("import_id", (self.task,), field="id")

    def __str__(self) -> str:
        """Give what a file of the format is called."""
        return self.help or self.name


@dataclass(frozen=True, slots=True)
class Canary:
    """A task that changes nothing and proves, by coming back, that a worker of the package does its work.

    `args` gives its arguments, new ones each time.
    """

    task: str
    args: Callable[[], tuple[Any, ...]] = tuple


AgeUnit = Literal["days", "months"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionRule:
    """Rows of `table` whose `date_column` is older than an age go, with all that depend on them.

    What depends on a row is told by the foreign keys of the package's tables, save those that PostgreSQL sets
    to null. Dates without a time zone are UTC. `default_age_days` is what `prune` asks for; below
    `minimum_age_days` the rule refuses to run. `task` is the full name of the task that runs it and no other
    rule, and `unit` the name of the task's argument, which counts days or months of 30 days.

    `where` names a function from SQLAlchemy's Table to the condition that a row must meet besides: that it
    has ended, that it is not the newest. It may ask other rows, but none that depend on it, which go first
    where they are many. `own_ages` names one (session, settings, rule, now as naive UTC) that gives rows ages
    of their own, as `OwnCutoffs` of `ibutsu_tasks.retention`.
    """

    name: str
    table: str
    date_column: str
    default_age_days: int
    minimum_age_days: int
    task: str
    help: str
    unit: AgeUnit = "days"
    where: str | None = None
    own_ages: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a name, a unit, a task or ages that are none."""
        if not re.fullmatch(r"\w[\w.-]*", self.name) or self.name == ALL_RULES:
            raise ValueError(f"{self.name!r} is no name of a retention rule")
        if self.unit not in get_args(AgeUnit):
            raise ValueError(f"{self.name} counts {self.unit!r}, which is neither days nor months")
        if not self.task:
            raise ValueError(f"{self.name} has no task")
        for part in ("default_age_days", "minimum_age_days"):
            if problem := self._problem_of(getattr(self, part)):
                raise ValueError(f"{self.name}: {part} {problem}")
        if self.minimum_age_days > self.default_age_days:
            raise ValueError(f"{self.name}: default_age_days is below minimum_age_days")

    def _problem_of(self, age_days: object) -> str:
        if type(age_days) is not int or age_days not in range(1, MAX_AGE_DAYS + 1):
            return f"must be a whole number from 1 to {MAX_AGE_DAYS}, not {age_days!r}"
        return "" if age_days % self.days_per_unit == 0 else f"is no whole number of {self.unit}"

    @property
    def days_per_unit(self) -> int:
        """Days in one of the task's units."""
        return 1 if self.unit == "days" else DAYS_PER_MONTH

    def refusal(self, age_days: int) -> str | None:
        """Say why the rule does not run at `age_days`, in the Ibutsu server's words; None when it does."""
        if age_days >= self.minimum_age_days:
            return None
        given, least = age_days / self.days_per_unit, self.minimum_age_days // self.days_per_unit
        return f"Skipped: {self.unit} parameter ({given:g}) must be >= {least}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskPackage:
    """Everything one package brings.

    `tasks` are the modules whose import registers its tasks; `signatures` is the name of a mapping from a
    task's name to an empty function with its parameters, without which the modules themselves are asked.
    `tables` names SQLAlchemy's `MetaData`, of tables without a schema of their own; `migrate` is a sentence
    that says how they are altered, where somebody does so.

    The others name functions: `create_tables` (engine → number) makes the tables where not just the missing
    ones are to be made. `schema` (connection → findings) adds to what `doctor` says of the tables. `sent_at`
    (task, args → seconds since 1970, or None) knows when a message was sent that does not say so. `reopen`
    (resources, task, id → obstacle, or None) prepares a message that was set aside for being sent again.
    `broker_metrics` (Redis client) and `database_metrics` (session, settings) give metrics of Prometheus.
    """

    name: str
    tasks: tuple[str, ...] = ()
    signatures: str | None = None
    queues: tuple[Queue, ...] = ()
    routes: tuple[Route, ...] = ()
    schedule: tuple[ScheduleRow, ...] = ()
    subjects: tuple[Subject, ...] = ()
    importers: tuple[Importer, ...] = ()
    settings: tuple[Setting, ...] = ()
    checks: tuple[Check, ...] = ()
    retention: tuple[RetentionRule, ...] = ()
    canary: Canary | None = None
    tables: str | None = None
    create_tables: str | None = None
    migrate: str | None = None
    schema: str | None = None
    sent_at: str | None = None
    reopen: str | None = None
    broker_metrics: str | None = None
    database_metrics: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError when it has no name, or one thing where several may be."""
        if not self.name:
            raise ValueError("A task package needs a name")
        for part, kind in _SEVERAL.items():
            _check_several(self.name, part, getattr(self, part), kind)


_SEVERAL: dict[str, type] = {
    "tasks": str,
    "queues": Queue,
    "routes": Route,
    "schedule": ScheduleRow,
    "subjects": Subject,
    "importers": Importer,
    "settings": Setting,
    "checks": Check,
    "retention": RetentionRule,
}
"""What a package may bring several of, and of which class each is."""
