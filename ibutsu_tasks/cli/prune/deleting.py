"""The deleting half of `prune`: a bar, a record, and an ear for whoever wants it to stop."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

from ibutsu_tasks.cli.formats import plain
from ibutsu_tasks.operations.prune import indexes, run_prune
from ibutsu_tasks.operations.prune.history import PruneHistory, Starter
from ibutsu_tasks.operations.prune.results import PruneSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ibutsu_tasks.cli.prune.archive import PruneArchive
    from ibutsu_tasks.cli.prune.stopping import StopRequest
    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.operations.archives.keeper import ArchiveKeeper
    from ibutsu_tasks.operations.prune.results import PrunePlan
    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.retention import RetentionRule


class Deleter:
    """Deletes what was due at `now` (naive UTC) until `stop` is made, and keeps a record of each prune.

    `archive` takes what goes before it goes.
    """

    def __init__(
        self,
        state: CliState,
        resources: Resources,
        now: datetime,
        stop: StopRequest,
        archive: PruneArchive | None,
    ) -> None:
        self._state, self._resources, self._now, self._stop = state, resources, now, stop
        self._archive = archive
        self._starter = Starter("command", socket.gethostname())
        self._history = PruneHistory(lambda: resources.redis, self._warn)

    def refuse_without_indexes(self, plans: Sequence[PrunePlan]) -> None:
        """Raise RefusedError, which goes on record, when one of these lacks an index."""
        for plan in plans:
            if plan.missing_indexes:
                with self._history.recorded(plan.rule, plan.age_days, self._starter):
                    raise indexes.refusal(plan.rule, plan.missing_indexes[0])

    def record_nothing_due(self, plans: Sequence[PrunePlan]) -> None:
        """Put on record that there was nothing to delete, which settles a prune that failed before."""
        for plan in plans:
            with self._history.recorded(plan.rule, plan.age_days, self._starter) as record:
                record.end(PruneSummary(plan.rule, plan.age_days, cutoff=plan.cutoff))

    def delete_all(self, plans: Sequence[tuple[RetentionRule, PrunePlan]]) -> list[PruneSummary]:
        """Prune by each rule in order. Raises what `run_prune.prune` raises."""
        summaries: list[PruneSummary] = []
        with self._stop:
            for rule, plan in plans:
                if not self._stop.is_made():
                    summaries.append(self._delete(rule, plan))
        return summaries

    def _delete(self, rule: RetentionRule, plan: PrunePlan) -> PruneSummary:
        with self._state.output.progress(f"deleting {rule.name}", plan.rows) as update:

            def goes_on(doing: str, rows: int) -> bool:
                update(description=f"{doing} an archive: {rows:,} rows")
                return not self._stop.is_made()

            keeper = self._archive.keeper(rule, goes_on) if self._archive else None
            return self._prune(rule, plan, keeper, update)

    def _prune(
        self,
        rule: RetentionRule,
        plan: PrunePlan,
        keeper: ArchiveKeeper | None,
        update: Callable[..., None],
    ) -> PruneSummary:
        starter = replace(self._starter, archives=keeper is not None)
        with self._history.recorded(rule.name, plan.age_days, starter) as record:

            def on_progress(progress: run_prune.PruneProgress) -> None:
                waits = f" (waiting: {progress.waiting_for})" if progress.waiting_for else ""
                update(completed=progress.rows, description=f"deleting {rule.name}{waits}")
                record.on_progress(progress.rows)

            summary = run_prune.prune(
                self._resources.session,
                rule,
                plan.age_days,
                project_ages=self._resources.settings.retention,
                now=self._now,
                on_progress=on_progress,
                should_stop=self._stop.is_made,
                keeper=keeper,
            )
            record.end(summary)
        if keeper:
            summary = replace(summary, left=max(summary.left - keeper.refused, 0))
        return summary

    def _warn(self, sentence: str) -> None:
        self._state.output.say(f"[yellow]Warning:[/] {plain(sentence)}")
