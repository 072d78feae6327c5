"""The first pass over an archive: what is in it, what is broken, and whether it lies in order."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.archive_layout import Kind, Layout
from ibutsu_tasks.importers.archive_passes import Pass, RecordingPass, StreamedPass
from ibutsu_tasks.importers.archive_rows import data_of, id_of, start_time_of
from ibutsu_tasks.importers.archived_rows import read_run
from ibutsu_tasks.importers.findings import Findings, shown
from ibutsu_tasks.importers.json_documents import BrokenDocumentError
from ibutsu_tasks.importers.tar_stream import TarStream
from ibutsu_tasks.importers.values import column_text

if TYPE_CHECKING:
    from datetime import datetime

    from ibutsu_tasks.importers.parsed import ArchivedRun, ImportLimits, Upload
    from ibutsu_tasks.importers.tar_stream import Member


class Survey:
    """What the rows need to know beforehand. Per result it keeps two integers, nothing more."""

    def __init__(self, upload: Upload, limits: ImportLimits, findings: Findings) -> None:
        self.run_document: dict[str, Any] | None = None
        self.archived: ArchivedRun | None = None
        self.earliest: datetime | None = None
        self.project: str | None = None
        self.broken: InvalidImportError | None = None
        """Why the archive ended early, for an upload that `keeps_partial`."""
        self.recorded: Pass | None = None
        """The archive once more, when it is small."""
        self.result_ids: dict[int, int | None] = {}
        """Result id by folder, as integers; None for a result that is left out."""
        self._upload = upload
        self._limits = limits
        self._findings = findings
        self._layout = Layout(upload.filename, findings)
        self._taken_ids: set[int] = set()
        self._early_folders: set[int] = set()

    @property
    def run_folder(self) -> UUID:
        """The folder everything lies in."""
        if self._layout.run_folder is None:
            raise InvalidImportError(
                f"{shown(self._upload.filename)} holds no run folder.",
                "Upload an archive as pytest-ibutsu writes it: all in one folder named by the run id.",
            )
        return self._layout.run_folder

    @property
    def is_in_order(self) -> bool:
        """Whether no artifact lies before the result it belongs to."""
        return self._early_folders.isdisjoint(self.result_ids)

    def read(self, content: IO[bytes]) -> None:
        """Go through the archive once. Raises `InvalidImportError`."""
        try:
            self._read_files(content)
        except InvalidImportError as error:
            if not (self._upload.keeps_partial and self._taken_ids):
                raise
            self.broken = error
        self._check()

    def _read_files(self, content: IO[bytes]) -> None:
        is_careful = self._upload.keeps_partial
        stream = TarStream(content, self._upload.filename, self._limits, careful=is_careful)
        # Where the archive may be cut off, its last member must not be read for nothing.
        reading = (StreamedPass if is_careful else RecordingPass)(stream, self._layout, self._limits)
        try:
            self._take_files(reading)
        except InvalidImportError:
            if stream.is_damaged and not is_careful:
                self._refuse_where_it_breaks(content)
            raise
        if isinstance(reading, RecordingPass):
            self.recorded = reading.recorded

    def _refuse_where_it_breaks(self, content: IO[bytes]) -> None:
        # A buffer that fails to fill up loses what was whole, and with it the place.
        for _ in TarStream(content, self._upload.filename, self._limits, careful=True).members():
            pass

    def _take_files(self, reading: Pass) -> None:
        for (kind, folder, _), member in reading.files():
            if kind is Kind.RUN:
                self._take_run(member, reading)
            elif folder is None:
                continue
            elif kind is Kind.RESULT:
                self._take_result(folder, member, reading)
            elif folder.int not in self.result_ids:
                self._early_folders.add(folder.int)

    def _take_run(self, member: Member, reading: Pass) -> None:
        try:
            self.run_document = reading.document()
            self.archived = read_run(self.run_document, member.comment, self._upload)
        except BrokenDocumentError as error:
            self._findings.note("run", f"{shown(member.path)} {error}; the run was made from its results")

    def _take_result(self, folder: UUID, member: Member, reading: Pass) -> None:
        if folder.int in self.result_ids:
            self._findings.note("twice", f"{shown(member.path)} is there twice; the first was taken")
            return
        self.result_ids[folder.int] = None
        try:
            document = reading.document()
        except BrokenDocumentError as error:
            self._findings.note("result", f"{shown(member.path)} {error}; the result was left out")
            return
        result_id = self._free_id(id_of(document, folder, member.path, self._findings).int, folder, member)
        if result_id is None:
            return
        self.result_ids[folder.int] = folder.int if result_id == folder.int else result_id
        self._taken_ids.add(result_id)
        self._learn(document)

    def _free_id(self, stated: int, folder: UUID, member: Member) -> int | None:
        for result_id in (stated, folder.int):
            if result_id not in self._taken_ids:
                break
            self._findings.note("same id", f"{shown(member.path)} states the id of another result")
        else:
            return None
        return result_id

    def _learn(self, document: dict[str, Any]) -> None:
        start_time = start_time_of(document)
        if start_time is not None:
            self.earliest = min(start_time, self.earliest or start_time)
        if self.project is None:
            self.project = column_text(data_of(document, self._upload).get("project"))

    def _check(self) -> None:
        folder = self.run_folder
        if self.run_document is None and not self._taken_ids:
            raise InvalidImportError(
                f"{shown(self._upload.filename)} holds neither a valid run.json nor a valid result.json "
                f"in its run folder {folder}."
            )
        if self.run_document is None and not self._findings.knows("run"):
            self._findings.note("run", "the archive has no run.json; the run was made from its results")
        for orphan in sorted(self._early_folders - self.result_ids.keys()):
            self._findings.note("orphan", f"{UUID(int=orphan)} has no result.json and was left out")
