"""What `prune` does: show, ask, delete until SIGTERM or Ctrl-C stops it; or ask and send the tasks."""

from __future__ import annotations

import socket
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.connection import describe
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.cli.exit_codes import SIGNALLED, ExitCode
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Note, Result
from ibutsu_tasks.cli.prune import of_ibutsu, view
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.database.engine import interruptible, place_as_json, place_of
from ibutsu_tasks.ibutsu.operations.archives.archiver import prepare
from ibutsu_tasks.local.stop_signals import StopSignals
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.retention import plan as prune_plan
from ibutsu_tasks.retention import run_prune
from ibutsu_tasks.retention import vacuum as vacuuming
from ibutsu_tasks.retention.history import PruneHistory
from ibutsu_tasks.retention.monitor import PruneMonitor
from ibutsu_tasks.retention.rules import task_argument
from ibutsu_tasks.retention.run_prune import PruneSummary
from ibutsu_tasks.sending import messages
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from ibutsu_tasks.cli.output.result import Block
    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.ibutsu.operations.archives.archiver import Archives
    from ibutsu_tasks.packages import RetentionRule
    from ibutsu_tasks.retention.archiving import Archiver
    from ibutsu_tasks.retention.history import Recording
    from ibutsu_tasks.retention.monitor import PruneProgress
    from ibutsu_tasks.retention.plan import PrunePlan
    from ibutsu_tasks.retention.vacuum import Vacuumed

    Ages = Sequence[tuple[RetentionRule, int]]


def delete_rows(
    state: CliState, ages: Ages, *, dry_run: bool, vacuum: bool, archive: Path | None, yes: bool
) -> Result:
    """Show what is due, ask, delete it; `ages` are days. `archive` is a directory for archives of what goes.

    Raises UsageError when nothing of it could be archived and when nobody can be asked, RefusedError when an
    index is missing or the archives cannot be written, and what `run_prune.prune` raises.
    """
    if archive:
        of_ibutsu.refuse_unarchived([rule for rule, _ in ages])
    # One moment for all: what is shown is what goes, however long the answer takes.
    now, signals = utc_now(), StopSignals(SIGNALLED, only_first=True)
    plans: list[PrunePlan] = []
    vacuumed: list[Vacuumed] = []
    with closing(Resources(state.settings, "prune")) as resources:
        archives = prepare(archive) if archive else None
        with signals, ended_by(signals):
            plans.extend(_plan(resources, rule, age_days, now) for rule, age_days in ages)
        url = state.settings.require_database()
        blocks = list(view.plan_blocks(plans, place_of(url)))
        state.output.show_now(blocks)
        if dry_run or signals.requested:
            return _result_of(url, plans, [], [], None, _code(signals))
        deleter = Deleter(state, resources, now, archives, signals)
        question = f"Delete these rows at {place_of(url)}?"
        deleter.refuse_without_indexes(plans)
        if not any(plan.rows for plan in plans):
            deleter.record_nothing_due(plans)
        elif state.confirm(question, yes=yes, instead="look first with --dry-run", about=blocks):
            deleter.delete_all(plans)
        else:
            return Result(messages=["Nothing was deleted."], exit_code=ExitCode.BAD_NEWS)
        if vacuums := vacuum and not signals.requested:
            with signals, ended_by(signals):
                vacuumed.extend(_vacuum(state, resources, deleter.summaries))
    return _result_of(url, plans, deleter.summaries, vacuumed, archives, _code(signals), in_vacuum=vacuums)


@contextmanager
def ended_by(signals: StopSignals) -> Iterator[None]:
    """End the block, and its statement in the database, at the first signal."""
    with suppress(KeyboardInterrupt), signals.interrupting(), interruptible():
        yield


def _code(signals: StopSignals) -> ExitCode:
    return SIGNALLED[signals.first] if signals.first else ExitCode.DONE


def _plan(resources: Resources, rule: RetentionRule, age_days: int, now: datetime) -> PrunePlan:
    with resources.session() as session:
        return prune_plan.plan(session, rule, age_days, resources.settings, now=now)


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
        self.update_bar(description=f"{step} an archive: {counted(rows, 'row')}")

    def should_stop(self) -> bool:
        """Say whether a signal came."""
        return self.signals.requested

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Give a block that the first signal ends, with its statement in the database."""
        with self.signals.interrupting(), interruptible():
            yield


class Deleter:
    """Deletes what was due at `now` (naive UTC) until one of `signals` comes; keeps a record of each.

    `archives` take what goes, if given.
    """

    def __init__(
        self,
        state: CliState,
        resources: Resources,
        now: datetime,
        archives: Archives | None,
        signals: StopSignals,
    ) -> None:
        self._output, self._resources, self._now, self._archives = state.output, resources, now, archives
        self._history = PruneHistory(
            lambda: resources.redis,
            lambda sentence: state.output.say(f"[yellow]Warning:[/] {plain(sentence)}"),
            by="command",
            where=socket.gethostname(),
        )
        self._signals = signals
        self.summaries: list[PruneSummary] = []

    def refuse_without_indexes(self, plans: Sequence[PrunePlan]) -> None:
        """Raise RefusedError, which goes on record, when one of these lacks an index."""
        for plan in plans:
            if plan.missing_indexes:
                with self._history.recorded(plan.rule, plan.older_than_days):
                    raise run_prune.lacks_index(plan.rule, plan.missing_indexes[0])

    def record_nothing_due(self, plans: Sequence[PrunePlan]) -> None:
        """Put on record that there was nothing to delete, which settles a prune that failed before."""
        for plan in plans:
            with self._history.recorded(plan.rule, plan.older_than_days) as recording:
                recording.end(PruneSummary(plan.rule, plan.older_than_days, cutoff=plan.cutoff))

    def delete_all(self, plans: Sequence[PrunePlan]) -> None:
        """Prune by each rule in order. Raises what `run_prune.prune` raises."""
        with self._signals:
            for plan in plans:
                if not self._signals.requested:
                    self._delete(plan)

    def _delete(self, plan: PrunePlan) -> None:
        rule = loaded().retention[plan.rule]
        with (
            self._output.progress(f"deleting {rule.name}", plan.rows) as update_bar,
            self._history.recorded(rule.name, plan.older_than_days) as recording,
        ):
            monitor = CommandMonitor(rule.name, update_bar, recording, self._signals)
            summary = run_prune.prune(
                self._resources.session,
                rule,
                plan.older_than_days,
                self._resources.settings,
                now=self._now,
                monitor=monitor,
                archiver=self._archiver_of(rule, monitor),
            )
            recording.end(summary)
        self.summaries.append(summary)

    def _archiver_of(self, rule: RetentionRule, monitor: PruneMonitor) -> Archiver | None:
        if self._archives is None:
            return None
        archiver = of_ibutsu.archiver_of(rule, self._archives, self._resources, monitor)
        if archiver is None:
            self._output.say("[dim]Import records are deleted without an archive.[/]")
        return archiver


def _vacuum(state: CliState, resources: Resources, summaries: Sequence[PruneSummary]) -> Iterator[Vacuumed]:
    tables = dict.fromkeys(table for one in summaries for table, rows in one.deleted.items() if rows)
    if not tables:
        state.output.say("Nothing was deleted, so nothing is vacuumed.")
        return iter(())
    return vacuuming.vacuum(resources.engine, tables, lambda table: state.output.say(f"Vacuuming {table}"))


def _result_of(
    database_url: str,
    plans: Sequence[PrunePlan],
    summaries: Sequence[PruneSummary],
    vacuumed: Sequence[Vacuumed],
    archives: Archives | None,
    code: ExitCode,
    *,
    in_vacuum: bool = False,
) -> Result:
    """Give what the command came to; `code` is that of the signal that stopped it, perhaps in its vacuum."""
    data = {
        "database": place_as_json(database_url),
        "plan": [plan.as_json() for plan in plans],
        "result": [summary.as_json() for summary in summaries],
        "vacuum": [asdict(table) for table in vacuumed],
        "archive": archives.as_json() if archives else None,
    }
    # Who was stopped while counting does not know.
    is_nothing_due = not code and not any(plan.rows for plan in plans)
    nothing_due: list[Block] = [Note("Nothing is due.")] if is_nothing_due else []
    blocks = list(view.summary_blocks(summaries)) if summaries else nothing_due
    blocks += [*view.vacuum_blocks(vacuumed), *(view.archive_blocks(archives) if archives else ())]
    messages = [
        *view.missing_index_messages(plans),
        *view.left_messages(summaries),
        *view.vacuum_messages(vacuumed),
        *(view.archive_messages(archives) if archives else ()),
    ]
    if code:
        rest = "autovacuum does the rest" if in_vacuum else "the same command continues there"
        after = f"What is deleted stays so; {rest}."
        messages.append(f"[yellow]Stopped.[/] {after if summaries else 'Nothing was deleted.'}")
        return Result(data, blocks, messages, code)
    return Result(data, blocks, messages, ExitCode.BAD_NEWS if messages else ExitCode.DONE)


def send_tasks(state: CliState, ages: Ages, *, yes: bool) -> Result:
    """Ask, then send the task of each rule and give its id; nothing is counted.

    Raises UsageError when projects have ages of their own here, when an age is no whole number of months,
    and when nobody can be asked; and BrokerUnreachableError.
    """
    of_ibutsu.refuse_ages_of_projects(state.settings, [rule for rule, _ in ages])
    asked = [(rule, task_argument(rule, age_days)) for rule, age_days in ages]
    broker_url = state.settings.require_broker()
    ages_named = ", ".join(f"{rule.name} older than {counted(age_days, 'day')}" for rule, age_days in ages)
    question = f"Have the workers of the queue at {describe(broker_url)} delete {ages_named}?"
    if not state.confirm(question, yes=yes, instead="look first with --dry-run"):
        return Result(messages=["Nothing was sent."], exit_code=ExitCode.BAD_NEWS)
    app = create_client_app(state.settings)
    ids = [messages.send(app, rule.task, kwargs=argument) for rule, argument in asked]
    sent = [
        {"rule": rule.name, "task": rule.task, "arguments": argument, "id": task_id}
        for (rule, argument), task_id in zip(asked, ids, strict=True)
    ]
    return Result({"broker": describe(broker_url), "sent": sent}, ids)
