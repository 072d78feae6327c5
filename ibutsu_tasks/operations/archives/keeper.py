"""Archives of what a prune deletes: written, read back and in their place before anything goes."""

from __future__ import annotations

import filecmp
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from ibutsu_tasks.database.membership import among
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.operations.archives.check import check_archive
from ibutsu_tasks.operations.archives.reader import ARTIFACTS, RESULTS, Part, PartReader
from ibutsu_tasks.operations.archives.row_versions import (
    any_written_since,
    first_open_transaction,
    unchanged_since,
)
from ibutsu_tasks.operations.archives.writer import NotArchivableError, WrittenArchive, write_run

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from ibutsu_tasks.importers.parsed import ImportLimits

MAX_SENTENCES = 20
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
ROWS_BETWEEN_LOOKS = 100

GoesOn = Callable[[str, int], bool]
"""Called with what is done to an archive, `writing` or `checking`, and with how many of its rows so far."""

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


@dataclass(slots=True)
class Archives:
    """What became of the archives of a prune so far; a file that was there already is not counted."""

    files: int = 0
    size_bytes: int = 0
    refused: int = 0
    """Rows of the rules' tables that stay because no archive of them could be made."""
    reasons: list[str] = field(default_factory=list)
    """Why, in at most `MAX_SENTENCES` sentences."""


class _StoppedError(Exception):
    """Somebody wants the prune to end."""


class ArchiveKeeper:
    """Archives the rows of one rule, run by run, before they go.

    A file is complete before it gets its name, and a file that is there is never changed: an equal one
    serves, beside another one the new one gets a number. `goes_on` is asked before each file and often
    meanwhile: at False the unfinished file is gone, and its rows stay.
    """

    def __init__(
        self,
        open_session: Callable[[], AbstractContextManager[Session]],
        table: str,
        directory: Path,
        limits: ImportLimits,
        archives: Archives,
        goes_on: GoesOn = lambda *_: True,
    ) -> None:
        self._open_session = open_session
        self._table = table
        self._directory = directory
        self._limits = limits
        self._archives = archives
        self._goes_on = goes_on
        self._refused: set[UUID] = set()
        self._since = 0

    @property
    def refused(self) -> int:
        """The number of rows that stay because no archive of them could be made."""
        return len(self._refused)

    def keep(self, root_ids: Sequence[UUID]) -> Collection[UUID]:
        """Archive these rows with what hangs on them; give those whose archive is in its place.

        Raises RefusedError when the directory does not take a file.
        """
        asked = [row_id for row_id in root_ids if row_id not in self._refused]
        with self._open_session() as session:
            self._since = first_open_transaction(session)
            parts, orphans = _parts(session, self._table, asked)
        self._refuse(orphans, f"{self._table} that belong to no run are in no archive")
        kept: set[UUID] = set()
        for part in parts:
            try:
                kept |= self._archive(part)
            except _StoppedError:
                break
        return kept

    def is_unchanged(self, session: Session, root_ids: Sequence[UUID]) -> Collection[UUID]:
        """Give those of the rows on which nothing was hung or changed since the last `keep`."""
        return unchanged_since(session, self._table, root_ids, self._since)

    def has_changed(self, session: Session, row_ids: Mapping[str, Collection[UUID]]) -> bool:
        """Say whether one of these rows, by table, was written since the last `keep`."""
        return any(
            any_written_since(session, table, ids, self._since) for table, ids in row_ids.items() if ids
        )

    def _archive(self, part: Part) -> frozenset[UUID]:
        try:
            written = self._write(part)
        except (NotArchivableError, ValueError) as error:
            # The driver has no value for a time before Christ or after the year 9999.
            self._refuse(_roots(part), f"run {part.run_id} has no archive: {error}")
            return frozenset()
        except OSError as error:
            raise _unwritable(self._directory, error) from error
        return frozenset() if written is None else written.root_ids

    def _write(self, part: Part) -> WrittenArchive | None:
        unfinished = self._directory / f"{_stem(part)}{_SUFFIX}.part"
        try:
            with (
                open(unfinished, "wb", opener=_open_private) as file,
                self._open_session() as session,
            ):
                session.execute(text(_SNAPSHOT))
                written = write_run(PartReader(session, part), file, self._limits, self._counted("writing"))
                file.flush()
                os.fsync(file.fileno())
            if written is not None:
                check_archive(unfinished, part.run_id, written.tally, self._limits, self._counted("checking"))
                self._put_in_place(unfinished, _stem(part))
        finally:
            unfinished.unlink(missing_ok=True)
        return written

    def _counted(self, doing: str) -> Callable[[], None]:
        """Give what is to be called for each row; it raises `_StoppedError`."""
        numbers = count()

        def on_row() -> None:
            rows = next(numbers)
            if rows % ROWS_BETWEEN_LOOKS == 0 and not self._goes_on(doing, rows):
                raise _StoppedError

        on_row()
        return on_row

    def _put_in_place(self, unfinished: Path, stem: str) -> None:
        size_bytes = unfinished.stat().st_size
        for number in count(1):
            path = self._directory / (f"{stem}{_SUFFIX}" if number == 1 else f"{stem}_{number}{_SUFFIX}")
            if not path.exists():
                unfinished.rename(path)
                _sync_directory(self._directory)
                self._archives.files += 1
                self._archives.size_bytes += size_bytes
                return
            if filecmp.cmp(unfinished, path, shallow=False):
                return

    def _refuse(self, root_ids: Collection[UUID], sentence: str) -> None:
        if not root_ids:
            return
        self._refused.update(root_ids)
        self._archives.refused += len(root_ids)
        reasons = self._archives.reasons
        if len(reasons) < MAX_SENTENCES and f"{sentence}." not in reasons:
            reasons.append(f"{sentence}.")


def _parts(session: Session, table: str, root_ids: Sequence[UUID]) -> tuple[list[Part], list[UUID]]:
    """Give what goes of each run, in the order of the rows, and the rows that belong to no run."""
    if table == "runs":
        return [Part(run_id) for run_id in root_ids], []
    of_run: defaultdict[UUID | None, list[UUID]] = defaultdict(list)
    for row_id, run_id in session.execute(_select_run_ids(table, root_ids)):
        of_run[run_id].append(row_id)
    orphans = of_run.pop(None, [])
    make = _part_of_results if table == "results" else _part_of_artifacts
    return [make(run_id, ids) for run_id, ids in of_run.items() if run_id is not None], orphans


def _part_of_results(run_id: UUID, ids: Sequence[UUID]) -> Part:
    return Part(run_id, result_ids=ids)


def _part_of_artifacts(run_id: UUID, ids: Sequence[UUID]) -> Part:
    return Part(run_id, artifact_ids=ids)


def _select_run_ids(table: str, root_ids: Sequence[UUID]) -> Select[UUID, UUID | None]:
    chosen = among([str(row_id) for row_id in root_ids])
    if table == "results":
        return select(RESULTS.c.id, RESULTS.c.run_id).where(chosen(RESULTS.c.id))
    run_id = func.coalesce(RESULTS.c.run_id, ARTIFACTS.c.run_id)
    joined = ARTIFACTS.outerjoin(RESULTS, RESULTS.c.id == ARTIFACTS.c.result_id)
    return select(ARTIFACTS.c.id, run_id).select_from(joined).where(chosen(ARTIFACTS.c.id))


def _roots(part: Part) -> Collection[UUID]:
    return part.result_ids or part.artifact_ids or [part.run_id]


def _stem(part: Part) -> str:
    if part.is_whole:
        return str(part.run_id)
    return f"{part.run_id}_{'files' if part.result_ids is None else 'results'}"


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
