"""Archives of what a prune deletes: written, read back and in their place before anything goes."""

from __future__ import annotations

import filecmp
import os
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.operations.archives.check import ArchiveStoppedError, NotArchivableError, check_archive
from ibutsu_tasks.operations.archives.reader import Part, PartReader, find_parts
from ibutsu_tasks.operations.archives.row_versions import (
    any_written_since,
    first_open_transaction,
    unchanged_since,
)
from ibutsu_tasks.operations.archives.writer import WrittenArchive, write_run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy.orm import Session

    from ibutsu_tasks.importers.parsed import ImportLimits
    from ibutsu_tasks.operations.prune.watch import PruneMonitor

MAX_SENTENCES = 20
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

_SUFFIX = ".tar.gz"
_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700


def prepare(directory: Path) -> None:
    """Make the directory if need be, for its owner alone, and try to write to it.

    Raises RefusedError when that fails.
    """
    try:
        directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        probe = directory / f".ibutsu-tasks-{os.getpid()}.part"
        probe.touch(mode=_FILE_MODE)
        probe.unlink()
    except OSError as error:
        raise _unwritable(directory, error) from error


@dataclass(frozen=True, slots=True)
class Archives:
    """What became of the archives of a prune; a file that was there already is not counted.

    `refused` rows of the rule's table stay because no archive of them could be made; `reasons` say why, in
    at most `MAX_SENTENCES` sentences.
    """

    files: int = 0
    size_bytes: int = 0
    refused: int = 0
    reasons: tuple[str, ...] = ()

    def __add__(self, other: Archives) -> Archives:
        reasons = tuple(dict.fromkeys(self.reasons + other.reasons))[:MAX_SENTENCES]
        return Archives(
            self.files + other.files,
            self.size_bytes + other.size_bytes,
            self.refused + other.refused,
            reasons,
        )


class Archiver:
    """Archives the rows of one rule, run by run, before they go.

    A file is complete before it gets its name, and a file that is there is never changed: an equal one
    serves, beside another one the new one gets a number. `monitor` is asked before each file and often
    meanwhile: when it says stop, the unfinished file is gone, and its rows stay.
    """

    def __init__(
        self,
        open_session: Callable[[], AbstractContextManager[Session]],
        table: str,
        directory: Path,
        limits: ImportLimits,
        monitor: PruneMonitor,
    ) -> None:
        self._open_session = open_session
        self._table = table
        self._directory = directory
        self._limits = limits
        self._monitor = monitor
        self._refused: set[UUID] = set()
        self._since = 0
        self.archives = Archives()

    @property
    def refused(self) -> int:
        """The number of rows that stay because no archive of them could be made."""
        return len(self._refused)

    def archive(self, root_ids: Sequence[UUID]) -> set[UUID]:
        """Archive these rows with their dependants; give those whose archive is in its place.

        Called outside any transaction. A row that was refused once is not tried again.

        Raises RefusedError when the directory does not take a file.
        """
        asked = [row_id for row_id in root_ids if row_id not in self._refused]
        with self._open_session() as session:
            self._since = first_open_transaction(session)
            parts, orphans = find_parts(session, self._table, asked)
        self._refuse(orphans, f"{self._table} that belong to no run are in no archive")
        archived: set[UUID] = set()
        for part in parts:
            try:
                archived |= self._archive(part)
            except ArchiveStoppedError:
                break
        return archived

    def find_unchanged(self, session: Session, root_ids: Collection[UUID]) -> set[UUID]:
        """Give those of the rows that, with their dependants, nobody changed since the last `archive`.

        No dependant was added either. A row with many dependants goes in several transactions: what is gone
        already is no change.
        """
        return unchanged_since(session, self._table, root_ids, self._since)

    def has_changed(self, session: Session, places: Mapping[str, str]) -> bool:
        """Say whether one of these rows was written since the last `archive`.

        Their places, by table, are arrays of `tid` as PostgreSQL writes them. Called in each deleting
        transaction once the rows it deletes are locked, before it deletes any.
        """
        return any(any_written_since(session, table, array, self._since) for table, array in places.items())

    def _archive(self, part: Part) -> frozenset[UUID]:
        try:
            written = self._write(part)
        except (NotArchivableError, ValueError) as error:
            # The driver has no value for a time before Christ or after the year 9999.
            self._refuse(part.root_ids, f"run {part.run_id} has no archive: {error}")
            return frozenset()
        except OSError as error:
            raise _unwritable(self._directory, error) from error
        return frozenset() if written is None else written.root_ids

    def _write(self, part: Part) -> WrittenArchive | None:
        unfinished = self._directory / f"{part.file_stem}{_SUFFIX}.part"
        try:
            with open(unfinished, "wb", opener=_open_private) as file, self._open_session() as session:
                session.execute(text(_SNAPSHOT))
                written = write_run(PartReader(session, part), file, self._limits, self._monitor)
                file.flush()
                os.fsync(file.fileno())
            if written is not None:
                check_archive(unfinished, part.run_id, written.tally, self._limits, self._monitor)
                self._put_in_place(unfinished, part.file_stem)
        finally:
            unfinished.unlink(missing_ok=True)
        return written

    def _put_in_place(self, unfinished: Path, stem: str) -> None:
        size_bytes = unfinished.stat().st_size
        for number in count(1):
            path = self._directory / (f"{stem}{_SUFFIX}" if number == 1 else f"{stem}_{number}{_SUFFIX}")
            if not path.exists():
                unfinished.rename(path)
                _sync_directory(self._directory)
                self.archives += Archives(files=1, size_bytes=size_bytes)
                return
            if filecmp.cmp(unfinished, path, shallow=False):
                return

    def _refuse(self, root_ids: Collection[UUID], sentence: str) -> None:
        if root_ids:
            self._refused.update(root_ids)
            self.archives += Archives(refused=len(root_ids), reasons=(f"{sentence}.",))


def _open_private(path: str, flags: int) -> int:
    # What tests print and attach may be nobody else's business.
    return os.open(path, flags, _FILE_MODE)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(directory: Path, error: OSError) -> RefusedError:
    is_file = isinstance(error, FileExistsError)
    reason = "it is not a directory" if is_file else error.strerror or type(error).__name__
    return RefusedError(
        f"The archives cannot be written to {directory}: {reason}. Nothing without an archive was deleted.",
        "Free space there or name another directory, then prune again.",
    )
