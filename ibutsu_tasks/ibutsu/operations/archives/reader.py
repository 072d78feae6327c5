"""Which rows of a run go into an archive, and reading them with memory that does not grow with the run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, Text, case, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from ibutsu_tasks.ibutsu.database.copying import table_of
from ibutsu_tasks.ibutsu.database.models import Artifact, Result, Run, among
from ibutsu_tasks.ibutsu.importers.archive.pruned_rows import json_column, number_column
from ibutsu_tasks.ibutsu.importers.parsed import ArchivedRun

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement, RowMapping, Select, Table
    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.importers.parsed import Columns

PAGE_ROWS = 50
"""Rows fetched at once, each with at most `INLINE_BYTES` of content."""

INLINE_BYTES = 64 * 1024
SLICE_BYTES = 8 * 1024**2

_SUFFIXES = {"runs": "", "results": "_results", "artifacts": "_files"}
_INFINITE_TIMES = (datetime.max, datetime.min)  # noqa: DTZ901 - what the driver reads infinity as

RUNS, RESULTS, ARTIFACTS = table_of(Run), table_of(Result), table_of(Artifact)


@dataclass(frozen=True, slots=True)
class Part:
    """What goes of a run: these rows of `table`, which is `runs` when all of it goes."""

    run_id: UUID
    table: str
    root_ids: Collection[UUID]

    @property
    def file_stem(self) -> str:
        """How its archive is named."""
        return f"{self.run_id}{_SUFFIXES[self.table]}"


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """An artifact; its content is read when asked for, while the session is open."""

    columns: Columns
    size_bytes: int
    _session: Session
    _inline: bytes | None

    def chunks(self) -> Iterator[bytes]:
        """Read the content, a large one in slices."""
        if self._inline is not None:
            yield self._inline
            return
        for offset in range(0, self.size_bytes, SLICE_BYTES):
            # SQL counts bytes from 1.
            piece = func.substring(ARTIFACTS.c.content, offset + 1, SLICE_BYTES, type_=LargeBinary)
            yield self._session.execute(
                select(piece).where(ARTIFACTS.c.id == self.columns["id"])
            ).scalar_one()


class PartReader:
    """Reads the rows of a part in the session's one snapshot, results and artifacts in the order of ids."""

    def __init__(self, session: Session, part: Part) -> None:
        self._session = session
        self.part = part

    def run(self) -> ArchivedRun | None:
        """Read the run; None when it is gone."""
        query = select(*_columns(RUNS)).where(RUNS.c.id == self.part.run_id)
        row = self._session.execute(query).mappings().one_or_none()
        if row is None:
            return None
        counted = select(func.count()).select_from(RESULTS).where(RESULTS.c.run_id == self.part.run_id)
        results = self._session.execute(counted).scalar_one()
        return ArchivedRun(_values(RUNS, row), is_whole=self.part.table == "runs", results=results)

    def run_artifacts(self) -> Iterator[StoredArtifact]:
        """Read the artifacts that belong to the run and to none of its results."""
        if self.part.table == "results":
            return
        of_its_results = exists().where(
            RESULTS.c.id == ARTIFACTS.c.result_id, RESULTS.c.run_id == self.part.run_id
        )
        own = (ARTIFACTS.c.run_id == self.part.run_id, or_(ARTIFACTS.c.result_id.is_(None), ~of_its_results))
        yield from self._artifacts(_select_artifacts().where(*own, *self._chosen(ARTIFACTS)))

    def results(self) -> Iterator[Columns]:
        """Read the results, those with one of the artifacts where artifacts are what goes."""
        query = select(*_columns(RESULTS)).where(*self._of_results())
        if self.part.table == "artifacts":
            query = query.where(
                RESULTS.c.id.in_(select(ARTIFACTS.c.result_id).where(*self._chosen(ARTIFACTS)))
            )
        for row in self._stream(query.order_by(RESULTS.c.id)):
            yield _values(RESULTS, row)

    def result_artifacts(self) -> Iterator[StoredArtifact]:
        """Read the artifacts of the results, in the order of the results."""
        query = _select_artifacts().join(RESULTS, RESULTS.c.id == ARTIFACTS.c.result_id)
        yield from self._artifacts(query.where(*self._of_results(), *self._chosen(ARTIFACTS)))

    def _of_results(self) -> list[ColumnElement[bool]]:
        return [RESULTS.c.run_id == self.part.run_id, *self._chosen(RESULTS)]

    def _chosen(self, table: Table) -> list[ColumnElement[bool]]:
        return [among(self.part.root_ids)(table.c.id)] if table.name == self.part.table else []

    def _artifacts(self, query: Select[Any]) -> Iterator[StoredArtifact]:
        for row in self._stream(query.order_by(ARTIFACTS.c.result_id, ARTIFACTS.c.id)):
            columns = _values(ARTIFACTS, row)
            size_bytes = row["size_bytes"]
            if size_bytes is None:
                columns["content"] = None
            yield StoredArtifact(columns, size_bytes or 0, self._session, row["inline"])

    def _stream(self, query: Select[Any]) -> Iterator[RowMapping]:
        return iter(self._session.execute(query, execution_options={"yield_per": PAGE_ROWS}).mappings())


def find_parts(session: Session, table: str, root_ids: Sequence[UUID]) -> tuple[list[Part], list[UUID]]:
    """Give what goes of each run, in the order of the rows, and the rows that belong to no run."""
    if table == "runs":
        return [Part(run_id, table, [run_id]) for run_id in root_ids], []
    of_run: defaultdict[UUID | None, list[UUID]] = defaultdict(list)
    for row_id, run_id in session.execute(_select_run_ids(table, root_ids)):
        of_run[run_id].append(row_id)
    orphans = of_run.pop(None, [])
    return [Part(run_id, table, ids) for run_id, ids in of_run.items() if run_id is not None], orphans


def _select_run_ids(table: str, root_ids: Sequence[UUID]) -> Select[UUID, UUID | None]:
    chosen = among(root_ids)
    if table == "results":
        return select(RESULTS.c.id, RESULTS.c.run_id).where(chosen(RESULTS.c.id))
    run_id = func.coalesce(RESULTS.c.run_id, ARTIFACTS.c.run_id)
    joined = ARTIFACTS.outerjoin(RESULTS, RESULTS.c.id == ARTIFACTS.c.result_id)
    return select(ARTIFACTS.c.id, run_id).select_from(joined).where(chosen(ARTIFACTS.c.id))


def _columns(table: Table) -> list[ColumnElement[Any]]:
    """Give the columns of a table, JSON as text and content left out."""
    left_out = {"content"} | ({"run_id"} if table is RESULTS else set())
    return [
        cast(column, Text).label(column.name) if _is_json(column) else column
        for column in table.c
        if column.name not in left_out
    ]


def _select_artifacts() -> Select[Any]:
    size = func.octet_length(ARTIFACTS.c.content)
    inline = case((size <= INLINE_BYTES, ARTIFACTS.c.content))
    return select(*_columns(ARTIFACTS), size.label("size_bytes"), inline.label("inline"))


def _is_json(column: ColumnElement[Any]) -> bool:
    return isinstance(column.type, JSONB)


def _values(table: Table, row: RowMapping) -> dict[str, Any]:
    return {name: _as_archived(table.c[name], value) for name, value in row.items() if name in table.c}


def _as_archived(column: ColumnElement[Any], value: Any) -> Any:
    if _is_json(column):
        return json_column(value)
    if value in _INFINITE_TIMES:
        raise ValueError(f"its {column.name} is infinite")
    return number_column(value) if isinstance(value, float) else value
