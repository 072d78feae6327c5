"""Results and artifacts of an import, written in batches of bounded memory."""

from __future__ import annotations

import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update

from ibutsu_tasks.database.copying import CopyBatch
from ibutsu_tasks.database.models import Artifact, Result, among
from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.importers.parsed import ParsedArtifact, ParsedResult
from ibutsu_tasks.operations.imports.columns import RowColumns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from sqlalchemy import Delete, Update
    from sqlalchemy.orm import Session

    from ibutsu_tasks.database.models import Project, Run
    from ibutsu_tasks.importers.parsed import ParsedFile, ParsedRun
    from ibutsu_tasks.operations.imports.columns import References, RowTarget

SWITCH_INTERVAL_SECONDS = 0.0005
"""How long Python threads wait for one another; with the usual 5 ms, the one that writes did little else."""

MAX_ARTIFACT_BYTES = 500_000_000
"""PostgreSQL sends a `bytea` as text of twice its size, at most 1 GiB: more could never be read back."""


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """When a batch is full, and how large an artifact may be."""

    rows: int = 1000
    size_bytes: int = 2 * 1024**2
    """A small import, too, is to be several batches, for the next is read while one is written."""
    artifact_bytes: int = MAX_ARTIFACT_BYTES


WRITE_LIMITS = WriteLimits()


@dataclass(slots=True)
class WrittenRows:
    """What a `RowWriter` did so far."""

    results: int = 0
    artifacts: int = 0
    left_runs: set[UUID] = field(default_factory=set)
    """The runs that results were moved away from."""
    too_large: list[str] = field(default_factory=list)
    """Sentences about artifacts left out."""
    foreign: list[UUID] = field(default_factory=list)
    """Artifacts left out because another run has one with the id."""


@dataclass(slots=True)
class _Batch:
    """Encoded rows on their way: results, and the artifacts that name them or earlier ones."""

    results: CopyBatch = field(default_factory=lambda: CopyBatch(Result))
    artifacts: CopyBatch = field(default_factory=lambda: CopyBatch(Artifact))

    def is_full(self, limits: WriteLimits) -> bool:
        return (
            len(self.results) >= limits.rows
            or len(self.artifacts) >= limits.rows
            or self.results.size_bytes + self.artifacts.size_bytes >= limits.size_bytes
        )


class RowWriter:
    """Writes rows of one import in the order of their keys: results, then the artifacts that name them.

    While the database takes one batch, a thread waiting for it, the next one is read. Nobody else may use
    the session meanwhile.
    """

    def __init__(
        self,
        session: Session,
        target: RowTarget,
        references: References,
        on_progress: Callable[[int], None] = lambda _: None,
        limits: WriteLimits = WRITE_LIMITS,
    ) -> None:
        self._session = session
        self._target = target
        self._references = references
        self._columns = RowColumns(target, self._existing)
        self._on_progress = on_progress
        self._limits = limits
        self._batch = _Batch()
        self._writing: Future[None] | None = None
        self.written = WrittenRows()

    def write(self, file: ParsedFile) -> ParsedRun:
        """Consume all rows; give the run as the last of them has it."""
        run = file.beginning
        with self._writer_thread() as executor:
            for row in file.rows:
                if isinstance(row, ParsedResult):
                    self._batch.results.add(self._columns.of_result(row))
                elif isinstance(row, ParsedArtifact):
                    self._add_artifact(row)
                else:
                    run = row
                if self._batch.is_full(self._limits):
                    self._hand_over(executor)
            self._wait()
        self._write(self._batch)
        self._on_progress(self.written.results)
        return run

    def _add_artifact(self, artifact: ParsedArtifact) -> None:
        size_bytes = len(artifact.content)
        if size_bytes > self._limits.artifact_bytes:
            self.written.too_large.append(
                f"The file {shown(artifact.filename)} of {size_bytes:,} bytes was left out;"
                f" {self._limits.artifact_bytes:,} are the limit."
            )
            return
        self._batch.artifacts.add(self._columns.of_artifact(artifact))

    def _hand_over(self, executor: Executor) -> None:
        self._wait()
        self._on_progress(self.written.results + len(self._batch.results))
        batch, self._batch = self._batch, _Batch()
        self._writing = executor.submit(self._write, batch)
        if batch.artifacts.reads_files:
            # Reading rows moves the position of the very file that their content lies in.
            self._wait()

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    @contextmanager
    def _writer_thread(self) -> Iterator[Executor]:
        usual_seconds = sys.getswitchinterval()
        try:
            sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
            with ThreadPoolExecutor(max_workers=1) as executor:
                try:
                    yield executor
                finally:
                    self._let_it_end()
        finally:
            sys.setswitchinterval(usual_seconds)

    def _let_it_end(self) -> None:
        """Wait for the thread, come what may: who rolls back next uses its connection."""
        writing = () if self._writing is None else (self._writing,)
        try:
            wait(writing)
        except BaseException:
            # A time limit, which comes once; a thread whose join it interrupted passes for ended.
            wait(writing)
            raise

    def _write(self, batch: _Batch) -> None:
        if self._target.keeps_results:
            self._move_existing_results(batch.results)
        elif self._target.run_existed:
            self._delete_results(batch.results)
        if self._target.keeps_results or self._target.run_existed:
            self._make_way(batch.artifacts)
        self.written.results += batch.results.write(self._session)
        self.written.artifacts += batch.artifacts.write(self._session)

    def _move_existing_results(self, results: CopyBatch) -> None:
        query = select(Result.id, Result.run_id).where(among(results.ids)(Result.id))
        existing = {row.id: row.run_id for row in self._session.execute(query.with_for_update())}
        moved = {result_id for result_id, run_id in existing.items() if run_id != self._target.run_id}
        if moved:
            self._execute(
                update(Result)
                .where(among(moved)(Result.id))
                .values(
                    run_id=self._target.run_id,
                    project_id=func.coalesce(self._target.project_id, Result.project_id),
                )
            )
            self.written.left_runs |= {existing[result_id] for result_id in moved} - {None}
        results.discard(existing)
        self.written.results += len(existing)

    def _make_way(self, artifacts: CopyBatch) -> None:
        """Delete what is there already, but nothing of another run: an archive may state any id."""
        run_id = self._target.run_id
        belongs_elsewhere = Artifact.run_id.is_distinct_from(run_id) & Result.run_id.is_distinct_from(run_id)
        query = (
            select(Artifact.id, belongs_elsewhere.label("is_foreign"))
            .outerjoin(Result, Result.id == Artifact.result_id)
            .where(among(artifacts.ids)(Artifact.id))
        )
        existing = {row.id: row.is_foreign for row in self._session.execute(query)}
        foreign = [artifact_id for artifact_id, is_foreign in existing.items() if is_foreign]
        artifacts.discard(foreign)
        self.written.foreign += foreign
        if own := existing.keys() - set(foreign):
            self._execute(delete(Artifact).where(among(own)(Artifact.id)))

    def _delete_results(self, results: CopyBatch) -> None:
        if len(results):
            named = among(results.ids)
            self._execute(delete(Artifact).where(named(Artifact.result_id)))
            self._execute(delete(Result).where(named(Result.id)))

    def _execute(self, statement: Delete | Update) -> None:
        # The session holds no such rows that would have to follow.
        self._session.execute(statement, execution_options={"synchronize_session": False})

    def _existing(self, model: type[Project | Result | Run], row_id: UUID | None) -> UUID | None:
        """Give the id when there is such a row. Nothing is being written while the session is asked."""
        if not self._references.knows(model, row_id):
            self._wait()
        return self._references.check(model, row_id)
