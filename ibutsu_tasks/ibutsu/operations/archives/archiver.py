"""Archives of what a prune deletes: written, read back and in their place before anything goes."""

from __future__ import annotations

import filecmp
import os
import stat
from dataclasses import asdict, dataclass, field
from itertools import count
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Uuid, bindparam, literal_column, text

from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.database.models import METADATA, among
from ibutsu_tasks.ibutsu.operations.archives.check import (
    ArchiveStoppedError,
    NotArchivableError,
    check_archive,
)
from ibutsu_tasks.ibutsu.operations.archives.reader import Part, PartReader, find_parts
from ibutsu_tasks.ibutsu.operations.archives.writer import write_run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
    from ibutsu_tasks.retention.monitor import PruneMonitor

MAX_SENTENCES = 20
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

_FIRST_OPEN_TRANSACTION = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
"""The first one that any later snapshot may not see whole."""

_DEPENDANTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "artifacts": (),
    "results": (("artifacts a", "a.result_id = root.id", "a"),),
    "runs": (
        ("artifacts a", "a.run_id = root.id", "a"),
        ("results r", "r.run_id = root.id", "r"),
        ("results r join artifacts a on a.result_id = r.id", "r.run_id = root.id", "a"),
    ),
}
"""By table: where the dependants of a row of it are."""

_SUFFIX = ".tar.gz"
_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700


def prepare(directory: Path) -> Archives:
    """Make the directory if need be, for its owner alone, and try to put a file in it as an archive is put.

    Raises RefusedError when that fails.
    """
    try:
        directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=directory, prefix=".ibutsu-tasks-") as probe:
            linked = directory / f"{probe.name}.linked"
            linked.hardlink_to(probe.name)
            linked.unlink()
    except OSError as error:
        raise _unwritable(directory, error) from error
    return Archives(directory)


@dataclass(slots=True)
class Archives:
    """What became of the archives of a prune in `directory`; a file that was there already is not counted.

    `refused` rows of the rule's table stay because no archive of them could be made; `reasons` say why, in
    at most `MAX_SENTENCES` sentences.
    """

    directory: Path
    files: int = 0
    size_bytes: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return asdict(self) | {"directory": str(self.directory)}


@dataclass
class Archiver:
    """Archives the rows of one rule, run by run, before they go.

    A file is complete before it gets its name, and a file that is there, or appears meanwhile, is never
    changed: an equal one serves, beside another one the new one gets a number. `monitor` is asked before
    each file and often meanwhile: when it says stop, the unfinished file is gone, and its rows stay.
    """

    open_session: Callable[[], AbstractContextManager[Session]]
    table: str
    archives: Archives
    limits: ImportLimits
    monitor: PruneMonitor
    refused: set[UUID] = field(default_factory=set)
    """Rows that stay because no archive of them could be made."""
    _since: int = 0

    def archive(self, root_keys: Sequence[str]) -> set[UUID]:
        """Archive these rows with their dependants; give those whose archive is in its place.

        Called outside any transaction. A row that was refused once is not tried again.

        Raises RefusedError when the directory does not take a file.
        """
        asked = [row_id for row_id in map(UUID, root_keys) if row_id not in self.refused]
        with self.open_session() as session:
            self._since = session.scalars(text(_FIRST_OPEN_TRANSACTION)).one()
            parts, orphans = find_parts(session, self.table, asked)
        self._refuse(orphans, f"{self.table} that belong to no run are in no archive")
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
        already is no change. One written while `archive` began may be taken for changed, never one that was
        changed for unchanged.
        """
        touched = [
            f"not exists (select from {tables} where {depends} and {_is_new(row, self._since)})"
            for tables, depends, row in _DEPENDANTS[self.table]
        ]
        conditions = " and ".join(["root.id = any(:ids)", f"not {_is_new('root', self._since)}", *touched])
        query = text(f"select root.id from {self.table} root where {conditions}")  # noqa: S608 - our own tables
        bound = query.bindparams(bindparam("ids", type_=ARRAY(Uuid()))).columns(id=Uuid())
        return set(session.scalars(bound, {"ids": list(root_ids)}))

    def are_among(self, root_ids: Collection[UUID]) -> ColumnElement[bool]:
        """Give the condition that a row of the rule's table is one of these."""
        return among(root_ids)(METADATA.tables[self.table].c.id)

    def is_written_since(self, table: Table) -> ColumnElement[bool]:
        """Give the condition that a row of `table`, by itself, was written since the last `archive`."""
        return literal_column(_is_new(table.name, self._since), Boolean())

    def _archive(self, part: Part) -> set[UUID]:
        try:
            return self._write(part)
        except (NotArchivableError, ValueError) as error:
            # The driver has no value for a time before Christ or after the year 9999.
            self._refuse(part.root_ids, f"run {part.run_id} has no archive: {error}")
            return set()
        except OSError as error:
            raise _unwritable(self.archives.directory, error) from error

    def _write(self, part: Part) -> set[UUID]:
        unfinished = self.archives.directory / f"{part.file_stem}{_SUFFIX}.part"
        # What a killed process left, or what somebody put there to be written through.
        unfinished.unlink(missing_ok=True)
        try:
            with open(unfinished, "xb", opener=_open_private) as file, self.open_session() as session:
                session.execute(text(_SNAPSHOT))
                written = write_run(PartReader(session, part), file, self.limits, self.monitor)
                file.flush()
                os.fsync(file.fileno())
            if written is None:
                return set()
            digest, root_ids = written
            check_archive(unfinished, part.run_id, digest, self.limits, self.monitor)
            self._put_in_place(unfinished, part.file_stem)
            return root_ids
        finally:
            unfinished.unlink(missing_ok=True)

    def _put_in_place(self, unfinished: Path, stem: str) -> None:
        size_bytes = unfinished.stat().st_size
        for number in count(1):
            path = self.archives.directory / (
                f"{stem}{_SUFFIX}" if number == 1 else f"{stem}_{number}{_SUFFIX}"
            )
            try:
                path.hardlink_to(unfinished)
            except FileExistsError:
                if _is_equal(path, unfinished):
                    return
                continue
            _sync_directory(self.archives.directory)
            self.archives.files += 1
            self.archives.size_bytes += size_bytes
            return

    def _refuse(self, root_ids: Collection[UUID], sentence: str) -> None:
        if not root_ids:
            return
        self.refused.update(root_ids)
        self.archives.refused += len(root_ids)
        reasons = self.archives.reasons
        if f"{sentence}." not in reasons and len(reasons) < MAX_SENTENCES:
            reasons.append(f"{sentence}.")


def _open_private(path: str, flags: int) -> int:
    # What tests print and attach may be nobody else's business.
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, _FILE_MODE)


def _is_equal(path: Path, unfinished: Path) -> bool:
    """Say whether `path` is a file of its own with the same bytes: a link may lead to what goes."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and filecmp.cmp(unfinished, path, shallow=False)
    except FileNotFoundError:
        return False


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(directory: Path, error: OSError) -> RefusedError:
    is_file = isinstance(error, FileExistsError) and not directory.is_dir()
    reason = "it is not a directory" if is_file else error.strerror or type(error).__name__
    return RefusedError(
        f"The archives cannot be written to {directory}: {reason}. Nothing without an archive was deleted.",
        "Free space there or name another directory, then prune again.",
    )


def _is_new(row: str, since: int) -> str:
    """Give the condition on `xmin`, the transaction that wrote a row version; it has 32 bits and goes round.

    New is what was written by one of the transactions from `since` to now: everything a snapshot taken at
    `since` may not have seen. Subtransactions have later numbers still.
    """
    distance = f"{row}.xmin::text::bigint - {since}"
    age = f"pg_snapshot_xmax(pg_current_snapshot())::text::bigint - {since}"
    return f"(mod(mod({distance}, 4294967296) + 4294967296, 4294967296) <= {age})"
