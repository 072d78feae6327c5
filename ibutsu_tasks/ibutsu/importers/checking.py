"""What the reader of another task package gives: checked row by row, and cut to what an index takes."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.findings import Findings, shown
from ibutsu_tasks.ibutsu.importers.foreign import without_exit
from ibutsu_tasks.ibutsu.importers.indexed_values import fit_result, fit_run
from ibutsu_tasks.ibutsu.importers.parsed import (
    ParsedArtifact,
    ParsedFile,
    ParsedResult,
    ParsedRun,
    SpooledContent,
    Stored,
)
from ibutsu_tasks.ibutsu.importers.statuses import WORST_FIRST
from ibutsu_tasks.ibutsu.importers.values import indexed, is_of_a_test
from ibutsu_tasks.text.storable import json_bytes, storable_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.ibutsu.importers.parsed import ParsedRow

_OF_BOTH: dict[str, Any] = {
    "id": UUID,
    "start_time": datetime | None,
    "data": dict,
    "source": str | None,
    "env": str | None,
    "component": str | None,
    "archived": NoneType,
}
_OF_RESULT = {**_OF_BOTH, "test_id": str, "duration_seconds": int | float, "params": dict}
_OF_RUN = {
    **_OF_BOTH,
    "duration_seconds": int | float | None,
    "project": str | None,
    "claimed_summary": dict,
    "warnings": list,
    "stored": list,
    "break_error": InvalidImportError | None,
}
_PARTS_OF_RUN = {"warnings": str, "stored": Stored}
_OF_ARTIFACT: dict[str, Any] = {
    "id": UUID,
    "result_id": UUID | None,
    "filename": str,
    "content": bytes | SpooledContent,
    "content_type": str,
    "archived": NoneType,
}


def checked(file: object, reads: str, filename: str) -> ParsedFile:
    """Give the same file, whose rows raise `InvalidImportError` where one is not as `parsed` says.

    `reads` names the reader in the sentence.
    """
    check = _Check(reads, shown(filename))
    if not isinstance(file, ParsedFile):
        raise check.fault(f"a {type(file).__name__} in place of a ParsedFile")
    beginning = check.run(file.beginning)
    return ParsedFile(beginning, check.rows(beginning, file.rows))


@dataclass(slots=True)
class _Check:
    """What was seen of one file."""

    reads: str
    filename: str
    findings: Findings = field(default_factory=Findings)
    results: set[int] = field(default_factory=set)
    artifacts: set[int] = field(default_factory=set)
    run_id: UUID | None = None

    def rows(self, run: ParsedRun, rows: Iterator[Any]) -> Iterator[ParsedRow | ParsedRun]:
        with without_exit():
            for row in rows:
                if isinstance(row, ParsedResult):
                    yield self._result(row)
                elif isinstance(row, ParsedArtifact):
                    yield self._artifact(row)
                else:
                    run = self.run(row)
        run = fit_run(run, self.findings)
        yield replace(run, warnings=[*run.warnings, *self.findings.sentences()])

    def run(self, run: object) -> ParsedRun:
        if not isinstance(run, ParsedRun):
            raise self.fault(f"a {type(run).__name__}, which is no row")
        self._check(run, _OF_RUN)
        self._check_parts(run)
        if self.run_id not in (None, run.id):
            raise self.fault("two runs in one file")
        self.run_id = run.id
        project = run.project and storable_text(run.project)
        start_time = self._time(run.start_time, "the run")
        return replace(run, project=project, start_time=start_time, data=dict(run.data))

    def _result(self, result: ParsedResult) -> ParsedResult:
        if result.result not in WORST_FIRST:
            told = shown(f"the test {result.test_id} as {result.result!r}")
            raise self.fault(f"{told}, which is none of {', '.join(WORST_FIRST)}")
        self._check(result, _OF_RESULT)
        self._check_new(result.id, self.results)
        start_time = self._time(result.start_time, f"test case {shown(result.test_id)}")
        # A reader may give the same object to many rows.
        return fit_result(result._replace(start_time=start_time, data=dict(result.data)), self.findings)

    def _time(self, moment: datetime | None, whose: str) -> datetime | None:
        if moment is None or is_of_a_test(moment):
            return moment
        self.findings.note(
            "start_time", f"{whose} has the start_time {moment}, which no test can have; left out"
        )
        return None

    def _artifact(self, artifact: ParsedArtifact) -> ParsedArtifact:
        self._check(artifact, _OF_ARTIFACT)
        self._check_new(artifact.id, self.artifacts)
        if artifact.result_id is not None and artifact.result_id.int not in self.results:
            raise self.fault(f"the artifact {shown(artifact.filename)} before its result")
        if (name := indexed(artifact.filename)) is artifact.filename:
            return artifact
        return artifact._replace(filename=name, whole_filename=artifact.filename)

    def _check(self, row: Any, kinds: dict[str, Any]) -> None:
        for name, kind in kinds.items():
            value = getattr(row, name)
            if not isinstance(value, kind):
                wanted = kind.__name__ if isinstance(kind, type) else kind
                raise self._fault_of(row, name, f"is {shown(repr(value))} and not {wanted}")
            if kind is dict:
                self._check_json(row, name)
        if "start_time" in kinds and row.start_time is not None and row.start_time.tzinfo is not None:
            raise self._fault_of(row, "start_time", "has a time zone; it is UTC without one")
        if "duration_seconds" in kinds and not 0 <= (row.duration_seconds or 0) <= sys.float_info.max:
            raise self._fault_of(row, "duration_seconds", "is no finite number from 0 on")

    def _check_parts(self, run: ParsedRun) -> None:
        for name, kind in _PARTS_OF_RUN.items():
            if not all(isinstance(one, kind) for one in getattr(run, name)):
                raise self._fault_of(run, name, f"is no list of {kind.__name__}")
        if not all(type(count) is int and count >= 0 for count in run.claimed_summary.values()):
            raise self._fault_of(run, "claimed_summary", "has what is no number of tests")

    def _check_json(self, row: Any, name: str) -> None:
        if not all(isinstance(key, str) for key in getattr(row, name)):
            raise self._fault_of(row, name, "has a key that is no text")
        try:
            json_bytes(getattr(row, name))
        except (TypeError, RecursionError) as error:
            raise self._fault_of(row, name, f"is no JSON: {shown(str(error))}") from None

    def _check_new(self, row_id: UUID, known: set[int]) -> None:
        if row_id.int in known:
            raise self.fault(f"the id {row_id} twice; row_id of the upload makes one of what differs")
        known.add(row_id.int)

    def _fault_of(self, row: object, name: str, what: str) -> InvalidImportError:
        return self.fault(f"a {type(row).__name__} whose {name} {what}")

    def fault(self, gives: str) -> InvalidImportError:
        return InvalidImportError(
            f"{self.filename} cannot be imported: {self.reads} gives {gives}.", f"Repair {self.reads}."
        )
