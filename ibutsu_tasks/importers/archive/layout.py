"""Where things lie in an archive of pytest-ibutsu, and what does not belong there."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.importers.findings import Findings, shown
from ibutsu_tasks.importers.values import uuid_or_none

if TYPE_CHECKING:
    from uuid import UUID

    from ibutsu_tasks.importers.archive.tar_stream import Member

_RUN_DOCUMENT, _RESULT_DOCUMENT = "run.json", "result.json"
_MAC_LITTER = frozenset({".DS_Store", "__MACOSX"})


class Kind(Enum):
    """What a file of the archive is."""

    RUN = "run.json"
    RESULT = "result.json"
    ARTIFACT = "artifact"


class Place(NamedTuple):
    """A file that belongs to the run, or to the result in `result_folder`."""

    kind: Kind
    result_folder: UUID | None
    below: tuple[str, ...]
    """Its path below the folder it belongs to."""


class Layout:
    """Places members one after the other, and learns which folder is the run's."""

    def __init__(self, filename: str, findings: Findings) -> None:
        self.run_folder: UUID | None = None
        self._filename = filename
        self._findings = findings

    def place(self, member: Member) -> Place | None:
        """Tell what a member is; None when it is a directory or is left out.

        Raises `InvalidImportError` when a second run folder appears.
        """
        parts = member.parts
        if not parts or _is_litter(parts):
            return None
        folder = uuid_or_none(parts[0])
        if folder is not None and (len(parts) > 1 or member.is_directory):
            self._enter_run(folder)
        if member.is_directory:
            return None
        if folder is None or len(parts) == 1:
            self._findings.note("outside", f"{shown(member.path)} lies in no run folder and was left out")
            return None
        return self._place_in_run(member, parts[1:])

    def _place_in_run(self, member: Member, parts: tuple[str, ...]) -> Place | None:
        if len(parts) == 1:
            return Place(Kind.RUN if parts[0] == _RUN_DOCUMENT else Kind.ARTIFACT, None, parts)
        folder = uuid_or_none(parts[0])
        if folder is None:
            self._findings.note(
                "foreign folder",
                f"{shown(member.path)} lies in a folder that is no result's and was left out",
            )
            return None
        if parts[1:] == (_RESULT_DOCUMENT,):
            return Place(Kind.RESULT, folder, parts[1:])
        if len(parts[1:]) > 1:
            self._findings.note(
                "deeper", f"{shown(member.path)} lies deeper than usual and was kept by its name"
            )
        return Place(Kind.ARTIFACT, folder, parts[1:])

    def _enter_run(self, folder: UUID) -> None:
        if self.run_folder is None:
            self.run_folder = folder
        elif folder != self.run_folder:
            raise InvalidImportError(
                f"{shown(self._filename)} holds more than one run: {self.run_folder} and {folder}.",
                "Upload one archive per run.",
            )


def _is_litter(parts: tuple[str, ...]) -> bool:
    """Tell what macOS puts into archives on its own."""
    return not _MAC_LITTER.isdisjoint(parts) or parts[-1].startswith("._")
