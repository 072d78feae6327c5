"""Results and artifacts of an import, written in batches of bounded memory."""

from __future__ import annotations

import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, or_, select, update

from ibutsu_tasks.ibutsu.database.copying import CopyBatch
from ibutsu_tasks.ibutsu.database.models import Artifact, Result, Run, among
from ibutsu_tasks.ibutsu.importers.parsed import ParsedArtifact, ParsedResult
from ibutsu_tasks.ibutsu.operations.imports.columns import RowColumns
from ibutsu_tasks.ibutsu.operations.imports.ownership import Differing, refuse_foreign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from sqlalchemy import Delete, Row, Update
    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.importers.parsed import ParsedFile, ParsedRun
    from ibutsu_tasks.ibutsu.operations.imports.columns import References, RowTarget

SWITCH_INTERVAL_SECONDS = 0.0005
"""How long Python threads wait for one another; with the usual 5 ms, the one that writes did little else."""


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """When a batch is full."""

    rows: int = 1000
    size_bytes: int = 2 * 1024**2
    """A small import, too, is to be several batches, for the next is read while one is written."""


WRITE_LIMITS = WriteLimits()


@dataclass(slots=True)
class WrittenRows:
    """What a `RowWriter` did so far."""

    results: int = 0
    artifacts: int = 0
    left_runs: set[UUID] = field(default_factory=set)
    """The runs that results were moved away from."""
    differing: Differing = field(default_factory=Differing)
    """Results that are there already and ended otherwise."""
    foreign: list[UUID] = field(default_factory=list)
    """Artifacts left out because another run has one with the id."""

    def sentences(self, *, are_kept: bool) -> list[str]:
        """Say what was left out or differs; `are_kept` is whether results that were there stayed."""
        sentences = []
        if differing := self.differing.sentence(are_kept=are_kept):
            sentences.append(differing)
        if self.foreign:
            sentences.append(
                "Artifacts left out, because another run has one of the same id:"
                f" {len(self.foreign):,}, the first of them {self.foreign[0]}."
            )
        return sentences


@dataclass(slots=True)
class _Batch:
    """Encoded rows on their way: results, and the artifacts that name them or earlier ones."""

    results: CopyBatch = field(default_factory=lambda: CopyBatch(Result))
    artifacts: CopyBatch = field(default_factory=lambda: CopyBatch(Artifact))
    outcomes: dict[UUID, str] = field(default_factory=dict)
    """How each result ended."""

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
        self._columns = RowColumns(target, self._existing_project)
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
                    self._batch.outcomes[row.id] = row.result
                elif isinstance(row, ParsedArtifact):
                    self._batch.artifacts.add(self._columns.of_artifact(row))
                else:
                    run = row
                if self._batch.is_full(self._limits):
                    self._hand_over(executor)
            self._wait()
        self._write(self._batch)
        self._on_progress(self.written.results)
        return run

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
        if self._target.meets_rows:
            self._meet_results(batch)
            self._make_way(batch.artifacts)
        self.written.results += batch.results.write(self._session)
        self.written.artifacts += batch.artifacts.write(self._session)

    def _meet_results(self, batch: _Batch) -> None:
        """Keep or replace the results that are there already. Raises `ForeignRowsError`."""
        query = (
            select(Result.id, Result.test_id, Result.result, Result.run_id, Result.project_id)
            .add_columns(Run.project_id.label("run_project_id"))
            .outerjoin(Run, Run.id == Result.run_id)
            .where(among(batch.results.ids)(Result.id))
            .with_for_update(of=Result)
        )
        existing = {row.id: row for row in self._session.execute(query)}
        elsewhere = [row for row in existing.values() if row.run_id != self._target.run_id]
        refuse_foreign(elsewhere, self._target.project_id, may_move=self._target.keeps_results)
        for result_id, outcome in batch.outcomes.items():
            if (row := existing.get(result_id)) is not None:
                self.written.differing.note(row, outcome)
        if self._target.keeps_results:
            self._move(elsewhere)
            batch.results.discard(existing)
            self.written.results += len(existing)
        elif existing:
            replaced = among(existing)
            of_replaced = replaced(Artifact.result_id)
            of_another_run = Artifact.run_id != self._target.run_id
            self._execute(update(Artifact).where(of_replaced, of_another_run).values(result_id=None))
            self._execute(delete(Artifact).where(of_replaced))
            self._execute(delete(Result).where(replaced(Result.id)))

    def _move(self, elsewhere: Sequence[Row[Any]]) -> None:
        if not elsewhere:
            return
        project_id = func.coalesce(self._target.project_id, Result.project_id)
        self._execute(
            update(Result)
            .where(among([row.id for row in elsewhere])(Result.id))
            .values(run_id=self._target.run_id, project_id=project_id)
        )
        self.written.left_runs |= {row.run_id for row in elsewhere} - {None}

    def _make_way(self, artifacts: CopyBatch) -> None:
        """Delete what is there already, but nothing of another run: an archive may state any id."""
        run_id = self._target.run_id
        # An artifact may belong to a run and to a result of another one: then it is of both.
        runs = (Artifact.run_id, Result.run_id)
        belongs_elsewhere = or_(
            *(func.coalesce(*pair).is_distinct_from(run_id) for pair in (runs, reversed(runs)))
        )
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

    def _execute(self, statement: Delete | Update) -> None:
        # The session holds no such rows that would have to follow.
        self._session.execute(statement, execution_options={"synchronize_session": False})

    def _existing_project(self, project_id: UUID | None) -> UUID | None:
        """Give the id when there is such a project. Nothing is being written while the session is asked."""
        if not self._references.knows(project_id):
            self._wait()
        return self._references.check(project_id)
