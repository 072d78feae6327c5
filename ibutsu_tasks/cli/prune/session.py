"""What `prune` does: show, ask, delete until SIGTERM or Ctrl-C stops it; or ask and send the tasks."""

from __future__ import annotations

import signal
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.formats import plain
from ibutsu_tasks.cli.prune import view
from ibutsu_tasks.cli.prune.archive import (
    NOT_ARCHIVED,
    archive_blocks,
    archive_messages,
    archiver_of,
    archives_json,
)
from ibutsu_tasks.cli.result import Note, Result
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.local.stop_signals import StopSignals
from ibutsu_tasks.operations.archives.archiver import Archives, prepare
from ibutsu_tasks.operations.prune import indexes, run_prune
from ibutsu_tasks.operations.prune import plan as prune_plan
from ibutsu_tasks.operations.prune import vacuum as vacuuming
from ibutsu_tasks.operations.prune.history import PruneHistory, Starter
from ibutsu_tasks.operations.prune.run_prune import PruneSummary
from ibutsu_tasks.operations.prune.watch import PruneMonitor
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.retention import task_argument
from ibutsu_tasks.sending import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from ibutsu_tasks.cli.result import Block
    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.operations.prune.history import Recording
    from ibutsu_tasks.operations.prune.plan import PrunePlan
    from ibutsu_tasks.operations.prune.vacuum import Vacuumed
    from ibutsu_tasks.operations.prune.watch import PruneProgress
    from ibutsu_tasks.retention import RetentionRule

    Ages = Sequence[tuple[RetentionRule, int]]

EXIT_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
"""The first of these signals ends a prune between two batches, a second one at once."""


def delete_rows(
    state: CliState, ages: Ages, *, dry_run: bool, vacuum: bool, archive: Path | None, yes: bool
) -> Result:
    """Show what is due, ask, delete it; `ages` are days. `archive` is a directory for archives of what goes.

    Raises ConfirmationNeededError when nobody can be asked, RefusedError when an index is missing or the
    archives cannot be written, and what `run_prune.prune` raises.
    """
    # One moment for all: what is shown is what goes, however long the answer takes.
    now = utc_now()
    with closing(Resources(state.settings, "prune")) as resources:
        if archive:
            prepare(archive)
        plans = [_plan(resources, rule, age_days, now) for rule, age_days in ages]
        state.output.show_now(view.plan_blocks(plans))
        if dry_run:
            return _result_of(plans, [], [], None, ExitCode.DONE)
        deleter = Deleter(state, resources, now, archive)
        deleter.refuse_without_indexes(plans)
        if not any(plan.rows for plan in plans):
            deleter.record_nothing_due(plans)
        elif state.confirm("Delete these rows?", yes=yes, instead="look first with --dry-run"):
            deleter.delete_all([rule for rule, _ in ages], plans)
        else:
            return Result(messages=["Nothing was deleted."], exit_code=ExitCode.BAD_NEWS)
        wants_vacuum = vacuum and not deleter.signals.requested
        vacuumed = _vacuum(state, resources, deleter.summaries) if wants_vacuum else []
    written = (archive, deleter.archives) if archive else None
    code = EXIT_CODES[deleter.signals.first] if deleter.signals.first else ExitCode.DONE
    return _result_of(plans, deleter.summaries, vacuumed, written, code)


def _plan(resources: Resources, rule: RetentionRule, age_days: int, now: datetime) -> PrunePlan:
    with resources.session() as session:
        return prune_plan.plan(session, rule, age_days, project_ages=resources.settings.retention, now=now)


@dataclass(frozen=True, slots=True)
class CommandMonitor(PruneMonitor):
    """Shows the progress of a prune on a bar and in its record; a signal stops it."""

    rule: str
    update_bar: Callable[..., None]
    recording: Recording
    signals: StopSignals

    def report(self, progress: PruneProgress) -> None:
        """Show it."""
        waits = f" (waiting: {progress.waiting_for})" if progress.waiting_for else ""
        self.update_bar(completed=progress.rows, description=f"deleting {self.rule}{waits}")
        self.recording.on_progress(progress.rows)

    def report_archive(self, step: str, rows: int) -> None:
        """Show it."""
        self.update_bar(description=f"{step} an archive: {rows:,} rows")

    def should_stop(self) -> bool:
        """Say whether a signal came."""
        return self.signals.requested


class Deleter:
    """Deletes what was due at `now` (naive UTC) until a signal comes, and keeps a record of each prune.

    `directory` takes archives of what goes.
    """

    def __init__(self, state: CliState, resources: Resources, now: datetime, directory: Path | None) -> None:
        self._output, self._resources, self._now, self._directory = state.output, resources, now, directory
        self._starter = Starter("command", socket.gethostname())
        self._history = PruneHistory(lambda: resources.redis, self._warn)
        self.signals = StopSignals(EXIT_CODES, only_first=True)
        self.summaries: list[PruneSummary] = []
        self.archives = Archives()

    def refuse_without_indexes(self, plans: Sequence[PrunePlan]) -> None:
        """Raise RefusedError, which goes on record, when one of these lacks an index."""
        for plan in plans:
            if plan.missing_indexes:
                with self._history.recorded(plan.rule, plan.age_days, self._starter):
                    raise indexes.refusal(plan.rule, plan.missing_indexes[0])

    def record_nothing_due(self, plans: Sequence[PrunePlan]) -> None:
        """Put on record that there was nothing to delete, which settles a prune that failed before."""
        for plan in plans:
            with self._history.recorded(plan.rule, plan.age_days, self._starter) as recording:
                recording.end(PruneSummary(plan.rule, plan.age_days, cutoff=plan.cutoff))

    def delete_all(self, rules: Sequence[RetentionRule], plans: Sequence[PrunePlan]) -> None:
        """Prune by each rule in order. Raises what `run_prune.prune` raises."""
        with self.signals:
            for rule, plan in zip(rules, plans, strict=True):
                if not self.signals.requested:
                    self._delete(rule, plan)

    def _delete(self, rule: RetentionRule, plan: PrunePlan) -> None:
        with (
            self._output.progress(f"deleting {rule.name}", plan.rows) as update_bar,
            self._history.recorded(rule.name, plan.age_days, self._starter) as recording,
        ):
            monitor = CommandMonitor(rule.name, update_bar, recording, self.signals)
            archiver = None
            if self._directory and rule.table == NOT_ARCHIVED:
                self._output.say("[dim]Import records are deleted without an archive.[/]")
            elif self._directory:
                archiver = archiver_of(self._resources, rule, self._directory, monitor)
            summary = run_prune.prune(
                self._resources.session,
                rule,
                plan.age_days,
                project_ages=self._resources.settings.retention,
                now=self._now,
                monitor=monitor,
                archiver=archiver,
            )
            recording.end(summary)
        self.summaries.append(summary)
        self.archives += archiver.archives if archiver else Archives()

    def _warn(self, sentence: str) -> None:
        self._output.say(f"[yellow]Warning:[/] {plain(sentence)}")


def _vacuum(state: CliState, resources: Resources, summaries: Sequence[PruneSummary]) -> list[Vacuumed]:
    tables = dict.fromkeys(table for one in summaries for table, rows in one.deleted.items() if rows)
    if not tables:
        state.output.say("Nothing was deleted, so nothing is vacuumed.")
        return []

    def on_table(table: str) -> None:
        state.output.say(f"Vacuuming {table}")

    return vacuuming.vacuum(resources.engine, tables, on_table=on_table)


def _result_of(
    plans: Sequence[PrunePlan],
    summaries: Sequence[PruneSummary],
    vacuumed: Sequence[Vacuumed],
    written: tuple[Path, Archives] | None,
    code: ExitCode,
) -> Result:
    """Give what the command came to; `written` are the directory of archives and what became of them.

    `code` is that of the signal that stopped it.
    """
    data = {
        "plan": [plan.as_json() for plan in plans],
        "result": [summary.as_json() for summary in summaries],
        "vacuum": [table.as_json() for table in vacuumed],
        "archive": archives_json(*written) if written else None,
    }
    nothing_due: list[Block] = [] if any(plan.rows for plan in plans) else [Note("Nothing is due.")]
    blocks = list(view.summary_blocks(summaries)) if summaries else nothing_due
    blocks += [*view.vacuum_blocks(vacuumed), *(archive_blocks(*written) if written else ())]
    messages = [
        *view.missing_index_messages(plans),
        *view.left_messages(summaries),
        *view.vacuum_messages(vacuumed),
        *(archive_messages(written[1]) if written else ()),
    ]
    if code:
        messages.append("[yellow]Stopped.[/] What is deleted stays so; the same command continues there.")
        return Result(data, blocks, messages, code)
    return Result(data, blocks, messages, ExitCode.BAD_NEWS if messages else ExitCode.DONE)


def send_tasks(state: CliState, ages: Ages, *, yes: bool) -> Result:
    """Ask, then send the task of each rule and give its id; nothing is counted.

    Raises UsageError when an age is no whole number of months, BrokerUnreachableError, and
    ConfirmationNeededError when nobody can be asked.
    """
    asked = [(rule, task_argument(rule, age_days)) for rule, age_days in ages]
    state.settings.require_broker()
    ages_named = ", ".join(f"{rule.name} older than {age_days} days" for rule, age_days in ages)
    question = f"Have the workers delete {ages_named}?"
    if not state.confirm(question, yes=yes, instead="look first with --dry-run"):
        return Result(messages=["Nothing was sent."], exit_code=ExitCode.BAD_NEWS)
    sent = [_send(state, rule, argument) for rule, argument in asked]
    return Result({"sent": sent}, [message["id"] for message in sent])


def _send(state: CliState, rule: RetentionRule, argument: dict[str, int]) -> dict[str, Any]:
    task_id = messages.send(create_client_app(state.settings), rule.task, kwargs=argument)
    return {"rule": rule.name, "task": rule.task, "arguments": argument, "id": task_id}
