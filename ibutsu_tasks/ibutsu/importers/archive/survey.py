"""What the row of a run needs to be known of an archive before its results are read."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.archive.documents import data_of
from ibutsu_tasks.ibutsu.importers.archive.links import MAX_LINKS
from ibutsu_tasks.ibutsu.importers.archive.members import ArchivePass, Kind, is_bare
from ibutsu_tasks.ibutsu.importers.archive.pruned_rows import read_run
from ibutsu_tasks.ibutsu.importers.findings import Findings, shown
from ibutsu_tasks.ibutsu.importers.json_documents import BrokenDocumentError
from ibutsu_tasks.ibutsu.importers.values import column_text, derived_id, utc_time, uuid_or_none

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ibutsu_tasks.ibutsu.importers.archive.tar_stream import Member
    from ibutsu_tasks.ibutsu.importers.parsed import ArchivedRun, ImportLimits, Upload


class Survey:
    """A look into an archive, as far as it needs to be.

    pytest-ibutsu writes `run.json` first, with a start time: that is enough once the project is known, too.
    Of any other archive everything is read.
    """

    def __init__(self, upload: Upload, limits: ImportLimits, findings: Findings) -> None:
        self.run_document: dict[str, Any] | None = None
        self.archived: ArchivedRun | None = None
        self.start_time: datetime | None = None
        """The start the run states."""
        self.earliest: datetime | None = None
        """The earliest start of a result; looked for only when the run states none."""
        self.project: str | None = None
        """The project the run names, or the first result that names one."""
        self.is_bare = False
        """Whether the folder of the run is not in the archive, but what it holds."""
        self._upload = upload
        self._limits = limits
        self._findings = findings
        self._run_folder: UUID | None = None
        self._has_results = False

    @property
    def run_folder(self) -> UUID:
        """The folder everything lies in."""
        if self._run_folder is None:
            raise InvalidImportError(
                f"{shown(self._upload.filename)} holds no run folder.",
                "Upload an archive as pytest-ibutsu writes it: all in one folder named by the run id.",
            )
        return self._run_folder

    def read(self, content: IO[bytes]) -> None:
        """Look into the archive. Raises `InvalidImportError`."""
        self.is_bare = is_bare(content, self._upload, self._limits)
        reading = ArchivePass(content, self._upload, self._limits, Findings(), is_bare=self.is_bare)
        has_run, folders = False, set[int]()
        links: dict[tuple[str, ...], Kind] = {}
        try:
            for kind, folder, _, member in reading.files():
                if member.link is not None:
                    if kind is not Kind.ARTIFACT and len(links) < MAX_LINKS:
                        links.setdefault(member.link, kind)
                elif kind is Kind.RUN and not has_run:
                    has_run = True
                    self._take_run(member, reading)
                elif kind is Kind.RESULT and folder is not None and folder.int not in folders:
                    folders.add(folder.int)
                    self._take_result(member, reading)
                if self._is_enough():
                    break
            self._follow(links, content, has_run=has_run)
        except InvalidImportError:
            # Whoever reads the rows meets the break again.
            if not (self._upload.keeps_partial and self._has_results):
                raise
        self._run_folder = self._bare_run_id() if self.is_bare else reading.run_folder
        if self.run_document is None and not self._findings.knows("run"):
            self._findings.note("run", "the archive has no run.json; the run was made from its results")

    def _follow(self, links: dict[tuple[str, ...], Kind], content: IO[bytes], *, has_run: bool) -> None:
        """Read the documents that are links: the files of the archive they lead to."""
        reading = ArchivePass(content, self._upload, self._limits, Findings())
        for member in reading.stream.members() if links and not self._is_enough() else ():
            kind = links.get(member.parts) if member.is_plain_file else None
            if kind is Kind.RUN and not has_run:
                self._take_run(member, reading)
            elif kind is Kind.RESULT:
                self._take_result(member, reading)

    def _bare_run_id(self) -> UUID:
        """Give the id that the run states, or one of this import."""
        stated = uuid_or_none((self.run_document or {}).get("id"))
        return stated or derived_id(self._upload.import_id, "run")

    def _is_enough(self) -> bool:
        knows_project = self._upload.has_project or self.project is not None or self.archived is not None
        return self.start_time is not None and knows_project

    def _take_run(self, member: Member, reading: ArchivePass) -> None:
        try:
            document = self.run_document = reading.document(member)
        except BrokenDocumentError as error:
            self._findings.note("run", f"{shown(member.path)} {error}; the run was made from its results")
            return
        self.archived = read_run(document, member.comment, self._upload, self._findings)
        stated = document.get("start_time")
        self.start_time = self.archived.columns["start_time"] if self.archived else utc_time(stated)
        self.project = self._project_of(document) or self.project

    def _take_result(self, member: Member, reading: ArchivePass) -> None:
        try:
            document = reading.document(member)
        except BrokenDocumentError:
            return
        self._has_results = True
        start_time = utc_time(document.get("start_time"))
        if start_time is not None:
            self.earliest = min(start_time, self.earliest or start_time)
        self.project = self.project or self._project_of(document)

    def _project_of(self, document: dict[str, Any]) -> str | None:
        return column_text(data_of(document, self._upload).get("project"))
