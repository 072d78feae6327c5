"""JUnit XML, the many dialects of it, read as a stream: only the open test case is in memory."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import IO, TYPE_CHECKING
from uuid import UUID

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.indexed_values import fit_run
from ibutsu_tasks.ibutsu.importers.junit.case import RowMaker
from ibutsu_tasks.ibutsu.importers.junit.report import JUnitReport
from ibutsu_tasks.ibutsu.importers.junit.suite import latest
from ibutsu_tasks.ibutsu.importers.junit.xml_stream import XmlStream
from ibutsu_tasks.ibutsu.importers.packed import unpacked
from ibutsu_tasks.ibutsu.importers.parsed import (
    ImportLimits,
    ParsedArtifact,
    ParsedFile,
    ParsedRow,
    ParsedRun,
    Upload,
)
from ibutsu_tasks.ibutsu.importers.values import column_text, derived_id, free_key

if TYPE_CHECKING:
    from collections.abc import Iterator

_UUID4 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    re.ASCII | re.IGNORECASE,
)


def parse_junit(content: IO[bytes], upload: Upload, limits: ImportLimits) -> ParsedFile:
    """Read JUnit XML: up to the first test case at once, the rest while `rows` is consumed.

    Raises `InvalidImportError`, here or from `rows`, naming the line, for anything that is not a report:
    malformed XML, another root element, declared entities, nesting or tags beyond reason.
    """
    reader = _JUnitReader(content, upload, limits)
    reader.read_until_first_case()
    return ParsedFile(reader.run(), reader.rows())


class _JUnitReader:
    """Moves what the report has finished into rows, one at a time."""

    def __init__(self, content: IO[bytes], upload: Upload, limits: ImportLimits) -> None:
        named = _UUID4.search(upload.filename)
        stated = UUID(named[0]) if named else derived_id(upload.import_id, "run")
        self._run_id = upload.own_run_id or stated
        self._upload = upload
        self._break_error: InvalidImportError | None = None
        self._stream = XmlStream(unpacked(content, upload.filename, limits), upload.filename, limits)
        self._report = JUnitReport(self._stream, self._run_id, limits)
        self._row_maker = RowMaker(self._run_id, upload, self._report.spool, self._stream.findings)

    def read_until_first_case(self) -> None:
        while not self._report.suites.finished and self._feed():
            pass
        if self._break_error is not None and not self._report.suites.finished:
            raise self._break_error

    def _feed(self) -> bool:
        """Parse on; a break waits until what the same piece of the file had before it is taken out."""
        try:
            return self._break_error is None and self._stream.feed()
        except InvalidImportError as error:
            if not self._upload.keeps_partial:
                raise
            self._break_error = error
            return False

    def rows(self) -> Iterator[ParsedRow | ParsedRun]:
        more = True
        while more or self._report.suites.finished:
            finished, self._report.suites.finished = self._report.suites.finished, []
            for item in finished:
                if isinstance(item, ParsedArtifact):
                    yield item
                else:
                    yield from self._row_maker.rows(item)
            more = more and self._feed()
            if not more:
                self._report.suites.end_all()
        yield self._run_at_end()

    def _run_at_end(self) -> ParsedRun:
        findings = self._stream.findings
        run = fit_run(self.run(), findings)
        claims = [] if self._break_error else self._report.suites.claim_warnings()
        return replace(run, warnings=findings.sentences() + claims, stored=findings.stored())

    def run(self) -> ParsedRun:
        """Give the run as far as it is known."""
        report = self._report
        data = {**report.suites.root.properties.latest, **self._upload.metadata}
        if report.remainder.suites:
            data[free_key(data, "suites")] = list(report.remainder.suites)
        return ParsedRun(
            id=self._run_id,
            start_time=report.suites.start_time,
            duration_seconds=report.duration_seconds,
            data=data,
            source=column_text(self._upload.source or latest(data.get("source"))),
            env=column_text(latest(data.get("env"))),
            component=column_text(latest(data.get("component"))),
            project=column_text(latest(data.get("project"))),
            claimed_summary=report.suites.claimed_summary,
            warnings=[],
            break_error=self._break_error,
        )
