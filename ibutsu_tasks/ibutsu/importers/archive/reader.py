"""A `.tar.gz` as pytest-ibutsu writes it, its run and rows; each file joins the result of its folder."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.archive.documents import (
    content_type_of,
    data_of,
    id_of,
    keep_rest,
    red_claim_of,
    result_row,
    summary_of,
)
from ibutsu_tasks.ibutsu.importers.archive.links import Links
from ibutsu_tasks.ibutsu.importers.archive.members import ArchivePass, Kind
from ibutsu_tasks.ibutsu.importers.archive.pruned_rows import read_artifact, read_result
from ibutsu_tasks.ibutsu.importers.archive.survey import Survey
from ibutsu_tasks.ibutsu.importers.claims import counts_of, outgrown_claims, unshown_claims
from ibutsu_tasks.ibutsu.importers.findings import Findings, shown
from ibutsu_tasks.ibutsu.importers.indexed_values import fit_run
from ibutsu_tasks.ibutsu.importers.json_documents import BrokenDocumentError
from ibutsu_tasks.ibutsu.importers.parsed import (
    Content,
    ImportLimits,
    ParsedArtifact,
    ParsedFile,
    ParsedResult,
    ParsedRow,
    ParsedRun,
    Upload,
)
from ibutsu_tasks.ibutsu.importers.spool import IN_MEMORY_BYTES, Spool
from ibutsu_tasks.ibutsu.importers.statuses import RED
from ibutsu_tasks.ibutsu.importers.values import column_text, derived_id, indexed, seconds
from ibutsu_tasks.text.storable import storable_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from ibutsu_tasks.ibutsu.importers.archive.tar_stream import Member


def parse_archive(content: IO[bytes], upload: Upload, limits: ImportLimits) -> ParsedFile:
    """Read an archive: as much as the run needs at once, and all of it while `rows` is consumed.

    A broken result is left out with its artifacts, and a warning names it. Raises `InvalidImportError`,
    here or from `rows`, when the archive is damaged, exceeds a limit, holds paths, links or special
    files that no archive of results holds, or nothing that could be imported. For an upload that
    `keeps_partial` the run says so instead, behind what lies before the damage.
    """
    findings = Findings()
    survey = Survey(upload, limits, findings)
    survey.read(content)
    reader = _ArchiveReader(content, upload, limits, survey, findings)
    return ParsedFile(reader.beginning, reader.rows())


class _ArchiveReader:
    """Makes the rows of an archive. Per result and artifact it remembers integers, nothing more."""

    def __init__(
        self, content: IO[bytes], upload: Upload, limits: ImportLimits, survey: Survey, findings: Findings
    ) -> None:
        self._content = content
        self._upload = upload
        self._limits = limits
        self._survey = survey
        self._findings = findings
        self._spool = Spool()
        self._result_ids: dict[int, int | None] = {}
        """Result id by folder; None for a result that is left out."""
        self._taken_ids: set[int] = set()
        self._artifact_ids: set[int] = set()
        self._statuses: dict[str, int] = {}
        self._links = Links(findings, limits.unpacked_bytes)
        self._early_folders: set[int] = set()
        """Of results whose artifacts lie before them."""
        self.beginning = self._new_run()

    def _new_run(self) -> ParsedRun:
        survey, document = self._survey, self._survey.run_document
        run_id = survey.run_folder
        if document is None:
            document = {}
        else:
            run_id = id_of(document, run_id, "run.json", self._findings)
            if run_id != survey.run_folder:
                what = f"the folder of the run is {survey.run_folder}, and run.json states the id {run_id}"
                self._findings.note("other id", f"{what}, which was taken")
        data = data_of(document, self._upload)
        if survey.archived is None:
            keep_rest(data, document, "run.json", self._findings)
        run = ParsedRun(
            id=self._upload.own_run_id or run_id,
            start_time=self._start_time(),
            duration_seconds=seconds(document.get("duration")),
            data=data,
            source=column_text(self._upload.source or document.get("source")),
            env=column_text(data.get("env")) or column_text(document.get("env")),
            component=column_text(data.get("component")) or column_text(document.get("component")),
            # A row that was archived has its project by id.
            project=None if survey.archived else survey.project,
            claimed_summary=summary_of(document),
            warnings=[],
            archived=survey.archived,
        )
        # An archived row is fitted where it is read, and written as it is.
        run = fit_run(run, self._findings if survey.archived is None else Findings())
        return replace(run, warnings=self._findings.sentences())

    def _start_time(self) -> datetime | None:
        if self._survey.start_time is None and self._survey.run_document is not None:
            self._findings.note(
                "run time", "run.json states no valid start_time; the earliest result's was taken"
            )
        return self._survey.start_time or self._survey.earliest

    def rows(self) -> Iterator[ParsedRow | ParsedRun]:
        break_error = None
        try:
            yield from self._rows_in_order()
        except InvalidImportError as error:
            if not self._upload.keeps_partial:
                raise
            break_error = error
        for more in (self._linked_results, self._early_artifacts, self._linked_artifacts):
            try:
                yield from more()
            except InvalidImportError:
                # Behind the break of a partial import there is nothing more.
                if break_error is None:
                    raise
        for orphan in sorted(self._early_folders - self._result_ids.keys()):
            self._findings.note("orphan", f"{UUID(int=orphan)} has no result.json and was left out")
        if break_error is None and self._survey.run_document is None and not self._taken_ids:
            break_error = InvalidImportError(
                f"{shown(self._upload.filename)} holds neither a valid run.json nor a valid result.json "
                f"in its run folder {self._survey.run_folder}."
            )
            if not self._upload.keeps_partial:
                raise break_error
        self._note_red_run()
        claims = [] if break_error else self._claim_warnings()
        yield replace(self.beginning, warnings=self._findings.sentences() + claims, break_error=break_error)

    def _note_red_run(self) -> None:
        document = self._survey.run_document or {}
        if self._survey.archived is not None or RED & self._statuses.keys():
            return
        if claim := red_claim_of(document, self.beginning.data, self._upload):
            self._findings.note("red run", f"run.json has {shown(claim)} while no result is red")

    def _claim_warnings(self) -> list[str]:
        run, shown = self.beginning, counts_of(self._statuses)
        if run.archived is not None:
            return outgrown_claims(run.claimed_summary, shown, run.id)
        return unshown_claims(run.claimed_summary, shown)

    def _rows_in_order(self) -> Iterator[ParsedRow]:
        """Give every row but the artifacts that lie before the result they belong to."""
        reading, has_run = self._new_pass(self._findings), False
        for kind, folder, below, member in self._links.taken_out_of(reading.files()):
            row: ParsedRow | None = None
            if kind is Kind.RUN:
                if has_run:
                    self._note_twice(member)
                has_run = True
            elif folder is None:
                row = self._artifact(None, below, member, partial(self._content_of, member, reading))
            elif kind is Kind.RESULT:
                row = self._result(folder, member, partial(reading.document, member))
            elif folder.int not in self._result_ids:
                self._early_folders.add(folder.int)
            elif (number := self._result_ids[folder.int]) is not None:
                row = self._artifact(number, below, member, partial(self._content_of, member, reading))
            if row is not None:
                yield row

    def _early_artifacts(self) -> Iterator[ParsedArtifact]:
        waiting = {folder for folder in self._early_folders if self._result_ids.get(folder) is not None}
        if not waiting:
            return
        reading = self._new_pass(Findings())
        for kind, folder, below, member in reading.files():
            if folder is None or folder.int not in waiting or member.link is not None:
                continue
            if kind is Kind.RESULT:
                waiting.discard(folder.int)
                if not waiting:
                    return
            elif row := self._artifact(
                self._result_ids[folder.int], below, member, partial(self._content_of, member, reading)
            ):
                yield row

    def _linked_results(self) -> Iterator[ParsedResult]:
        """Give the results whose `result.json` is a link."""
        reading = self._new_pass(Findings())
        for links, member in self._links.followed(reading, Kind.RESULT):
            read = cache(partial(reading.document, member))
            for file in links:
                if file.result_folder and (row := self._result(file.result_folder, file.member, read)):
                    yield row

    def _linked_artifacts(self) -> Iterator[ParsedArtifact]:
        """Give the files that links lead to, by the names of the links."""
        reading = self._new_pass(Findings())
        for links, member in self._links.followed(reading, Kind.ARTIFACT):
            content = self._content_of(member, reading)
            for _, folder, below, link in links:
                number = None if folder is None else self._result_ids.get(folder.int)
                if folder is not None and number is None:
                    continue
                if row := self._artifact(number, below, link, lambda: content):  # noqa: B023 - called at once
                    yield row

    def _new_pass(self, findings: Findings) -> ArchivePass:
        bare = self._survey.is_bare
        return ArchivePass(self._content, self._upload, self._limits, findings, is_bare=bare)

    def _note_twice(self, member: Member) -> None:
        self._findings.note("twice", f"{shown(member.path)} is there twice; the first was taken")

    def _result(
        self, folder: UUID, member: Member, read: Callable[[], dict[str, Any]]
    ) -> ParsedResult | None:
        if folder.int in self._result_ids:
            self._note_twice(member)
            return None
        self._result_ids[folder.int] = None
        try:
            document = read()
        except BrokenDocumentError as error:
            self._findings.note("result", f"{shown(member.path)} {error}; the result was left out")
            return None
        stated = id_of(document, folder, member.path, self._findings)
        number = self._free_id(stated.int, folder.int, member)
        if number is None:
            return None
        self._result_ids[folder.int] = number
        self._taken_ids.add(number)
        result_id = self._row_id(UUID(int=number))
        row = None
        if self._survey.archived is not None:
            row = read_result(document, member.comment, result_id, self._upload, self._findings)
        row = row or result_row(document, result_id, self.beginning.id, self._upload, self._findings)
        self._statuses[row.result] = self._statuses.get(row.result, 0) + 1
        return row

    def _free_id(self, stated: int, folder: int, member: Member) -> int | None:
        # Of two equal integers the one that is a key already takes no more memory.
        for number in (folder if stated == folder else stated, folder):
            if number not in self._taken_ids:
                return number
            self._findings.note("same id", f"{shown(member.path)} states the id of another result")
        return None

    def _row_id(self, stated: UUID) -> UUID:
        own_run_id = self._upload.own_run_id
        return stated if own_run_id is None else derived_id(own_run_id, str(stated))

    def _artifact(
        self, result_number: int | None, below: tuple[str, ...], member: Member, read: Callable[[], Content]
    ) -> ParsedArtifact | None:
        result_id = None if result_number is None else self._row_id(UUID(int=result_number))
        archived = read_artifact(member.comment, self._findings) if self._survey.archived else None
        name = storable_text("/".join(below))
        derived = derived_id(result_id or self.beginning.id, name)
        artifact_id = self._row_id(archived["id"]) if archived else derived
        if artifact_id.int in self._artifact_ids:
            self._findings.note("artifact twice", f"{shown(member.path)} is there twice and was taken once")
            return None
        stated = (archived["filename"] or "") if archived else storable_text(below[-1])
        filename, whole = (stated, None) if archived else self._fitting_name(stated)
        self._artifact_ids.add(artifact_id.int)
        return ParsedArtifact(
            artifact_id, result_id, filename, read(), content_type_of(stated), archived, whole
        )

    def _fitting_name(self, stated: str) -> tuple[str, str | None]:
        """Give the name that an index takes, and the whole one where that is another."""
        if (name := indexed(stated)) is stated:
            return name, None
        sentence = (
            f"the file {shown(stated)} has a longer name than an index takes; it was cut, and is whole in"
            " the artifact's data.filename_whole"
        )
        self._findings.note("index filename", sentence)
        return name, stated

    def _content_of(self, member: Member, reading: ArchivePass) -> Content:
        is_small = member.size_bytes <= IN_MEMORY_BYTES
        return reading.stream.data() if is_small else self._spool.store(reading.stream.chunks())
