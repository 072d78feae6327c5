"""A `.tar.gz` as pytest-ibutsu writes it, read twice: once to know what is in it, once for the rows."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING
from uuid import UUID

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.archive_layout import Kind, Layout, Place
from ibutsu_tasks.importers.archive_passes import Pass, StreamedPass
from ibutsu_tasks.importers.archive_rows import (
    content_type_of,
    data_of,
    id_of,
    result_row,
    start_time_of,
    summary_of,
)
from ibutsu_tasks.importers.archive_survey import Survey
from ibutsu_tasks.importers.archived_rows import read_artifact, read_result
from ibutsu_tasks.importers.findings import Findings, shown
from ibutsu_tasks.importers.json_documents import storable_text
from ibutsu_tasks.importers.parsed import ImportLimits, ParsedArtifact, ParsedResult, ParsedRun, Upload
from ibutsu_tasks.importers.spool import IN_MEMORY_BYTES, Spool
from ibutsu_tasks.importers.tar_stream import TarStream
from ibutsu_tasks.importers.values import column_text, derived_id, indexed, seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ibutsu_tasks.importers.tar_stream import Member


def parse_archive(content: IO[bytes], upload: Upload, limits: ImportLimits) -> ParsedRun:
    """Read an archive: all of it once at once, and again while `rows` is consumed.

    A broken result is left out with its artifacts, and a warning names it. Raises `InvalidImportError`,
    here or from `rows`, when the archive is damaged, exceeds a limit, holds paths, links or special
    files that no archive of results holds, or nothing that could be imported. For an upload that
    `keeps_partial` that is a break: what lies before it is read.
    """
    findings = Findings()
    survey = Survey(upload, limits, findings)
    survey.read(content)
    return _ArchiveReader(content, upload, limits, survey, findings).run


class _ArchiveReader:
    """Makes the rows of an archive that was surveyed."""

    def __init__(
        self, content: IO[bytes], upload: Upload, limits: ImportLimits, survey: Survey, findings: Findings
    ) -> None:
        self._content = content
        self._upload = upload
        self._limits = limits
        self._survey = survey
        self._findings = findings
        self._spool = Spool()
        self._done_folders: set[int] = set()
        self._artifact_ids: set[int] = set()
        self.run = self._new_run()

    def _new_run(self) -> ParsedRun:
        document = self._survey.run_document
        run_id = self._survey.run_folder
        if document is None:
            document = {}
        else:
            run_id = id_of(document, run_id, "run.json", self._findings)
        data = data_of(document, self._upload)
        return ParsedRun(
            id=run_id,
            start_time=self._start_time(start_time_of(document)),
            duration_seconds=seconds(document.get("duration")),
            data=data,
            source=column_text(self._upload.source or document.get("source")),
            env=column_text(data.get("env")) or column_text(document.get("env")),
            component=column_text(data.get("component")) or column_text(document.get("component")),
            # A row that was archived has its project by id.
            project=None
            if self._survey.archived
            else column_text(data.get("project")) or self._survey.project,
            claimed_summary=summary_of(document),
            rows=self._rows(),
            warnings=self._findings.sentences(),
            archived=self._survey.archived,
        )

    def _start_time(self, stated: datetime | None) -> datetime | None:
        if stated is None and self._survey.run_document is not None:
            self._findings.note(
                "run time", "run.json states no valid start_time; the earliest result's was taken"
            )
        return stated or self._survey.earliest

    def _rows(self) -> Iterator[ParsedResult | ParsedArtifact]:
        if self._survey.is_in_order:
            yield from self._pass({Kind.RESULT, Kind.ARTIFACT})
        else:
            yield from self._pass({Kind.RESULT})
            yield from self._pass({Kind.ARTIFACT})
        self.run.warnings[:] = self._findings.sentences()
        if self._survey.broken is not None:
            raise self._survey.broken

    def _pass(self, kinds: set[Kind]) -> Iterator[ParsedResult | ParsedArtifact]:
        try:
            yield from self._files(kinds)
        except InvalidImportError:
            # The break the survey met, too, which is raised behind the last row.
            if self._survey.broken is None:
                raise

    def _files(self, kinds: set[Kind]) -> Iterator[ParsedResult | ParsedArtifact]:
        reading = self._survey.recorded or self._streamed()
        for place, member in reading.files():
            if place.kind not in kinds:
                continue
            row = (
                self._result(place, member, reading)
                if place.kind is Kind.RESULT
                else self._artifact(place, member, reading)
            )
            if row is not None:
                yield row

    def _streamed(self) -> StreamedPass:
        is_careful = self._upload.keeps_partial
        stream = TarStream(self._content, self._upload.filename, self._limits, careful=is_careful)
        layout = Layout(self._upload.filename, Findings())  # the survey has told what is out of place
        return StreamedPass(stream, layout, self._limits)

    def _result(self, place: Place, member: Member, reading: Pass) -> ParsedResult | None:
        result_id = self._result_id(place)
        if result_id is None or place.result_folder is None or place.result_folder.int in self._done_folders:
            return None
        self._done_folders.add(place.result_folder.int)
        document = reading.document()
        if self._survey.archived and (
            archived := read_result(document, member.comment, result_id, self._upload)
        ):
            return archived
        return result_row(document, result_id, self.run.id, self._upload, self._findings)

    def _artifact(self, place: Place, member: Member, reading: Pass) -> ParsedArtifact | None:
        result_id = self._result_id(place)
        if place.result_folder is not None and result_id is None:
            return None
        archived = read_artifact(member.comment) if self._survey.archived else None
        below = storable_text("/".join(place.below))
        artifact_id = archived["id"] if archived else derived_id(result_id or self.run.id, below)
        if artifact_id.int in self._artifact_ids:
            self._findings.note("artifact twice", f"{shown(member.path)} is there twice; the first was taken")
            return None
        self._artifact_ids.add(artifact_id.int)
        filename = (archived["filename"] or "") if archived else indexed(storable_text(place.below[-1]))
        is_small = member.size_bytes <= IN_MEMORY_BYTES
        content = reading.data() if is_small else self._spool.store(reading.chunks())
        return ParsedArtifact(
            artifact_id, result_id, filename, content, content_type_of(filename), archived=archived
        )

    def _result_id(self, place: Place) -> UUID | None:
        if place.result_folder is None:
            return None
        number = self._survey.result_ids.get(place.result_folder.int)
        return None if number is None else UUID(int=number)
