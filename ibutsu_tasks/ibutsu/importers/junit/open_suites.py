"""The suites that are open, the root first: when they began, what they state, what happened to them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ibutsu_tasks.ibutsu.importers.claims import claim_warning, unshown_claims
from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.junit.case import TEXT_PLAIN, Case, TextElement
from ibutsu_tasks.ibutsu.importers.junit.extras import MAX_FACT_CHARACTERS
from ibutsu_tasks.ibutsu.importers.junit.stated import stated_time
from ibutsu_tasks.ibutsu.importers.junit.suite import A_PROPERTY, Suite
from ibutsu_tasks.ibutsu.importers.parsed import (
    REPEATED_BYTES,
    REPEATED_PER_BYTE,
    Content,
    ParsedArtifact,
)
from ibutsu_tasks.ibutsu.importers.values import derived_id, indexed

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ibutsu_tasks.ibutsu.importers.junit.remainder import Remainder
    from ibutsu_tasks.ibutsu.importers.junit.xml_stream import XmlStream
    from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
    from ibutsu_tasks.ibutsu.importers.spool import Spool

UNNAMED_SUITE = "(the report itself)"
"""Test id of what happened to a suite without a name."""


class OpenSuites:
    """The open suites. What is complete is put into `finished`: cases, and output that belongs to the run."""

    def __init__(
        self, stream: XmlStream, run_id: UUID, spool: Spool, remainder: Remainder, limits: ImportLimits
    ) -> None:
        self.root = Suite()
        self.stack: list[Suite] = []
        self.start_time: datetime | None = None
        self.finished: list[Case | ParsedArtifact] = []
        self._stream = stream
        self._run_id = run_id
        self._spool = spool
        self._remainder = remainder
        self._takes_suite_times = False
        self._cases = 0
        self._repeated_characters = 0
        self._max_repeated = limits.unpacked_bytes
        self._may_be_repeated = min(REPEATED_BYTES, self._max_repeated)
        self._texts = 0
        self._claims: dict[str, int] = {}
        self._unshown: dict[str, str] = {}
        """By the key of a count, the sentence about the first suite that states more than its cases show."""

    @property
    def claimed_summary(self) -> dict[str, int]:
        """The counts the root states about itself, or else the sums of what its suites state."""
        return {**self._claims, **self.root.stated}

    def claim_warnings(self) -> list[str]:
        """Tell of the counts that the report, now read to its end, states and does not show."""
        return unshown_claims(self.claimed_summary, self.root.tally.shown(), self._unshown)

    def begin_root(self, attributes: dict[str, str], *, is_suite: bool) -> None:
        """Open the root, whose name and file are those of its cases only if it is a suite itself."""
        of_cases = {} if is_suite else {"name": "", "file": ""}
        self.root = self._child(self.root, attributes | of_cases)
        self.stack.append(self.root)
        self.start_time = stated_time(self._stream, attributes)
        self._takes_suite_times = self.start_time is None

    def begin(self, attributes: dict[str, str]) -> Suite:
        """Open a suite inside the innermost one.

        The run starts with the earliest suite before the first case, unless the root states when; where
        nobody does so in time, any later suite's start is better than none.
        """
        if self.start_time is None or (self._takes_suite_times and not self._cases):
            times = (self.start_time, stated_time(self._stream, attributes))
            self.start_time = min((time for time in times if time), default=None)
        suite = self._child(self.stack[-1], attributes)
        if len(self.stack) == 1:
            for key, number in suite.stated.items():
                self._claims[key] = self._claims.get(key, 0) + number
        self.stack.append(suite)
        return suite

    def _child(self, suite: Suite, attributes: dict[str, str]) -> Suite:
        if any(len(attributes.get(key, "")) > MAX_FACT_CHARACTERS for key in ("name", "file")):
            self._stream.note("long suite", "begins a suite whose name or file is too long; cut off")
        return suite.child(attributes)

    def end(self) -> None:
        """Close the innermost suite."""
        suite = self.stack.pop()
        if suite.own is not None:
            self._end_own(suite, suite.own)
        if self.stack and not suite.shows_properties:
            self._remainder.add_properties(suite.path, suite.properties.latest)
        if claim := suite.unshown_claim:
            who = shown(suite.name or UNNAMED_SUITE)
            what = f"ends the suite {who}, which has {shown(claim)} while nothing in it failed"
            where = "" if claim.startswith(A_PROPERTY) else "; it is in the run's data.suites"
            self._stream.note("suite word", what + where)
        counts = suite.tally.shown()
        for key, stated in suite.stated.items():
            if stated > counts[key] and key not in self._unshown:
                who = f"The suite {shown(suite.name or UNNAMED_SUITE)}"
                self._unshown[key] = claim_warning(who, key, stated, counts[key])
        if self.stack:
            self.stack[-1].tally.include(suite.tally)

    def end_all(self) -> None:
        """Close the suites that a break of the file leaves open."""
        while self.stack:
            self.end()

    def new_case(self, suite: Suite, attributes: dict[str, str], duration_seconds: float) -> Case:
        """Make the case that begins in a suite."""
        self._cases += 1
        of_root = self.root.of_columns
        if not self._may_repeat(suite):
            what = (
                "begins a test case that would repeat too much of its suites; their properties are left out"
            )
            self._stream.note("repeated", what)
            suite, of_root = suite.brief(), of_root.brief()
        return Case(self._cases, attributes, suite, suite.properties.snapshot(), of_root, duration_seconds)

    def _may_repeat(self, suite: Suite) -> bool:
        """Say whether one more case may have all of its suite, and count that: rows follow the bytes."""
        of_case = suite.repeated_characters + self.root.of_columns.whole_characters
        repeated = self._repeated_characters + of_case
        if repeated > self._may_be_repeated:
            earned = self._stream.position_bytes * REPEATED_PER_BYTE
            self._may_be_repeated = min(max(self._may_be_repeated, earned), self._max_repeated)
            if repeated > self._may_be_repeated:
                return False
        self._repeated_characters = repeated
        return True

    def finish_case(self, suite: Suite, case: Case) -> None:
        """Take a case that ended."""
        if case.extras is not None and case.extras.is_cut:
            self._stream.note("extras", "ends a test case that says more than data holds; cut off")
        if case.statuses is None and case.rerun_status is not None:
            case.statuses = {case.rerun_status}
        suite.tally.add(case)
        self.finished.append(case)

    def own_case(self, element: TextElement) -> Case | None:
        """Give what takes an element outside of any test case, if it may tell what happened to its suite."""
        suite = self.stack[-1]
        if suite.own is None and (element.status or (not suite.tally.tests and suite.unshown_status())):
            suite.own = self.new_case(suite, {"name": suite.name or UNNAMED_SUITE}, 0.0)
            suite.own.is_suite_level = True
        return suite.own

    def _end_own(self, suite: Suite, own: Case) -> None:
        """Make a result of what a suite says of itself; plain output without it belongs to the run."""
        if own.statuses is None and not suite.tally.tests and (status := suite.unshown_status()):
            own.statuses = {status}
        if own.statuses is None:
            for artifact, parts in (own.texts or {}).items():
                self.finish_text(suite, artifact, self._spool.join(parts))
            return
        own.duration_seconds = 0.0 if suite.tally.tests else suite.stated_seconds
        if own.suite is suite:
            # Snapshots are read in the order they were taken in, and cases have ended since this one began.
            own.suite_properties, own.of_root = suite.properties.snapshot(), self.root.of_columns
        self.finish_case(suite, own)

    def finish_text(self, suite: Suite, artifact: str, text: Content) -> None:
        """Take output of a suite."""
        self._remainder.add_suite_text(suite.path, text)
        self._texts += 1
        name = suite.name
        filename = f"{self._fitting_name(name)}-{artifact}" if name else artifact
        artifact_id = derived_id(self._run_id, f"{filename}\0{self._texts}")
        self.finished.append(ParsedArtifact(artifact_id, None, filename, text, TEXT_PLAIN))

    def _fitting_name(self, suite: str) -> str:
        cut, is_cut = _of_file(suite)
        if is_cut:
            what = "ends output of a suite whose name is longer than an index takes; the file's name was cut"
            self._stream.note("index filename", what)
        return cut


# A suite may have very many outputs.
@lru_cache(maxsize=64)
def _of_file(suite: str) -> tuple[str, bool]:
    """Give the name of a suite as the name of a file has it, and whether that is cut."""
    name = re.sub(r"[^\w.\-]+", "_", suite)
    cut = indexed(name)
    return cut, cut is not name
