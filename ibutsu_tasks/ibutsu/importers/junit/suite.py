"""A suite while it is open: what its cases inherit, what it states, and what its cases show of that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.ibutsu.importers.junit.extras import MAX_FACT_CHARACTERS
from ibutsu_tasks.ibutsu.importers.junit.properties import SuiteProperties
from ibutsu_tasks.ibutsu.importers.junit.stated import stated_counts
from ibutsu_tasks.ibutsu.importers.statuses import RED, red_claim
from ibutsu_tasks.ibutsu.importers.summary_counts import STATUS_BY_COUNT
from ibutsu_tasks.ibutsu.importers.values import INDEXED_BYTES, seconds

if TYPE_CHECKING:
    from ibutsu_tasks.ibutsu.importers.junit.case import Case

A_PROPERTY = "the property"
"""Before what a property claims."""

PROPERTY_WEIGHT = 32
"""A property takes as long as so many characters, besides its own.

In the data of a row and as JSON, it took 0.2 µs and a character 4 ns: somewhat more.
"""

BRIEF_CHARACTERS = 100
"""How long what a case keeps of a suite may be where it does not keep all."""


class ColumnValues(NamedTuple):
    """What the properties of the root say of the columns of a result."""

    source: str | None = None
    env: str | None = None
    component: str | None = None

    @property
    def whole_characters(self) -> int:
        """How long those are that a row has once more in its data, for no index takes them whole."""
        lengths = (len(value or "") for value in self)
        return sum(length for length in lengths if length > INDEXED_BYTES)

    def brief(self) -> ColumnValues:
        """Give the short ones."""
        return ColumnValues(*(value if len(value or "") <= BRIEF_CHARACTERS else None for value in self))


NO_VALUES = ColumnValues()


@dataclass(slots=True)
class Tally:
    """How many cases there are, and how many of them say each outcome; a case may say several."""

    tests: int = 0
    said: dict[str, int] = field(default_factory=dict)
    """By status."""

    def add(self, case: Case) -> None:
        """Count a case that ended; what a suite says of itself is an outcome without a case."""
        self.tests += not case.is_suite_level
        if case.statuses is not None or case.words:
            for status in {case.status(), *(case.statuses or ())}:
                self.said[status] = self.said.get(status, 0) + 1

    def include(self, inner: Tally) -> None:
        """Count what an inner suite counted."""
        self.tests += inner.tests
        for status, number in inner.said.items():
            self.said[status] = self.said.get(status, 0) + number

    def shown(self) -> dict[str, int]:
        """Give the counts by the keys of a run's summary."""
        return {
            "tests": self.tests,
            **{key: self.said.get(status, 0) for key, status in STATUS_BY_COUNT.items()},
        }


@dataclass(slots=True)
class Suite:
    """An open suite."""

    path: tuple[str, ...] = ()
    name: str | None = None
    file: str | None = None
    properties: SuiteProperties = field(default_factory=SuiteProperties)
    of_columns: ColumnValues = NO_VALUES
    """What the latest of its own properties say of columns."""
    stated: dict[str, int] = field(default_factory=dict)
    """The counts it states of itself, by the keys of a run's summary."""
    stated_seconds: float = 0.0
    red_claim: str | None = None
    """The attribute, or else the property, by which it says that it ended red."""
    tally: Tally = field(default_factory=Tally)
    own: Case | None = None
    """What happened to the suite itself, as far as it was read."""

    def child(self, attributes: dict[str, str]) -> Suite:
        """Make the suite that begins inside this one."""
        name, file = (attributes.get(key, "")[:MAX_FACT_CHARACTERS] for key in ("name", "file"))
        return Suite(
            path=(*self.path, name) if name else self.path,
            name=name or self.name,
            file=file or self.file,
            properties=SuiteProperties(self.properties.snapshot()),
            stated=stated_counts(attributes),
            stated_seconds=seconds(attributes.get("time")) or 0.0,
            red_claim=red_claim(attributes),
        )

    @property
    def repeated_characters(self) -> int:
        """How much of the suite the row of each of its cases repeats, by what that takes."""
        names = sum(map(len, self.path)) + len(self.name or "") + len(self.file or "")
        return names + self.properties.characters + self.properties.count * PROPERTY_WEIGHT

    def brief(self) -> Suite:
        """Give what a case keeps of the suite where it may not repeat all of it."""
        return Suite(name=self.name if len(self.name or "") <= BRIEF_CHARACTERS else None)

    def set_property(self, key: str, value: str) -> None:
        """Set a property for the cases that begin from now on; given twice, it keeps both values."""
        self.properties.set(key, both(self.properties.latest.get(key), value), len(value))
        if key in ColumnValues._fields:
            self.of_columns = self.of_columns._replace(**{key: latest(self.properties.latest[key])})
        if self.red_claim is None and (claim := red_claim({key: value})):
            self.red_claim = f"{A_PROPERTY} {claim}"

    @property
    def shows_properties(self) -> bool:
        """Whether a result has its properties as they are by now."""
        return bool(self.tally.tests) or (self.own is not None and self.own.statuses is not None)

    @property
    def unshown_claim(self) -> str | None:
        """Give the attribute or property by which it says that it ended red, when nothing in it did."""
        return None if RED & self.tally.said.keys() else self.red_claim

    def unshown_status(self) -> str | None:
        """Give the worst status that the suite states more of than its cases show, if that is red."""
        shown = self.tally.shown()
        red = ("errors", "failures")
        return next((STATUS_BY_COUNT[key] for key in red if self.stated.get(key, 0) > shown[key]), None)


def both(before: Any, value: str) -> Any:
    """Give the values of a property that is stated once more: a list, unless they are the same."""
    if before is None or before == value:
        return value
    values = before if isinstance(before, list) else [before]
    return values if value in values else [*values, value]


def latest(value: Any) -> Any:
    """Give the value of a property for a column: the last one of several."""
    return value[-1] if isinstance(value, list) and value else value
