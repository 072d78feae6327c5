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
from ibutsu_tasks.cli.prune import view
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.database.engine import interruptible, place_as_json, place_of
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.ibutsu.operations.archives.archiver import Archiver, prepare
from ibutsu_tasks.ibutsu.operations.prune import plan as prune_plan
from ibutsu_tasks.ibutsu.operations.prune import run_prune
from ibutsu_tasks.ibutsu.operations.prune import vacuum as vacuuming
from ibutsu_tasks.ibutsu.operations.prune.history import PruneHistory
from ibutsu_tasks.ibutsu.operations.prune.run_prune import PruneSummary
from ibutsu_tasks.ibutsu.operations.prune.watch import PruneMonitor
from ibutsu_tasks.ibutsu.retention import RULES_BY_NAME, task_argument
from ibutsu_tasks.ibutsu.settings import IMPORT_MAX_UNPACKED_BYTES, RETENTION
from ibutsu_tasks.local.stop_signals import StopSignals
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.sending import messages
from ibutsu_tasks.text.quoting import cut
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from ibutsu_tasks.cli.output.result import Block
    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.ibutsu.operations.archives.archiver import Archives
    from ibutsu_tasks.ibutsu.operations.prune.history import Recording
    from ibutsu_tasks.ibutsu.operations.prune.plan import PrunePlan
    from ibutsu_tasks.ibutsu.operations.prune.vacuum import Vacuumed
    from ibutsu_tasks.ibutsu.operations.prune.watch import PruneProgress
    from ibutsu_tasks.ibutsu.retention import RetentionRule

    Ages = Sequence[tuple[RetentionRule, int]]

NOT_ARCHIVED = "imports"
"""The table, and the rule, whose rows belong to no run."""

MAX_AGES_CHARACTERS = 200


def delete_rows(
    state: CliState, ages: Ages, *, dry_run: bool, vacuum: bool, archive: Path | None, yes: bool
) -> Result:
    """Show what is due, ask, delete it; `ages` are days. `archive` is a directory for archives of what goes.

    Raises UsageError when nothing of it could be archived and when nobody can be asked, RefusedError when an
    index is missing or the archives cannot be written, and what `run_prune.prune` raises.
    """
    if archive and [rule.table for rule, _ in ages] == [NOT_ARCHIVED]:
        raise UsageError(
            "--archive keeps runs, results and files; import records are never archived.",
            "Leave --archive out for the rule imports.",
        )
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
        return prune_plan.plan(
            session, rule, age_days, project_ages=resources.settings.value(RETENTION), now=now
        )


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
        rule, settings = RULES_BY_NAME[plan.rule], self._resources.settings
        with (
            self._output.progress(f"deleting {rule.name}", plan.rows) as update_bar,
            self._history.recorded(rule.name, plan.older_than_days) as recording,
        ):
            monitor = CommandMonitor(rule.name, update_bar, recording, self._signals)
            archiver = None
            if self._archives and rule.table == NOT_ARCHIVED:
                self._output.say("[dim]Import records are deleted without an archive.[/]")
            elif self._archives:
                limits = ImportLimits(unpacked_bytes=settings.value(IMPORT_MAX_UNPACKED_BYTES))
                archiver = Archiver(self._resources.session, rule.table, self._archives, limits, monitor)
            summary = run_prune.prune(
                self._resources.session,
                rule,
                plan.older_than_days,
                project_ages=settings.value(RETENTION),
                now=self._now,
                monitor=monitor,
                archiver=archiver,
            )
            recording.end(summary)
        self.summaries.append(summary)


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
    _refuse_ages_of_projects(state, {rule.name for rule, _ in ages})
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


def _refuse_ages_of_projects(state: CliState, rules: Collection[str]) -> None:
    """Raise UsageError for ages that a message cannot carry: the workers would delete what these protect."""
    own = [str(one) for one in state.settings.value(RETENTION) if one.rule in rules]
    if own:
        named = cut(", ".join(own), MAX_AGES_CHARACTERS)
        raise UsageError(
            f"IBUTSU_TASKS_RETENTION is set here ({named}), and workers obey their own alone.",
            "Set these ages where the workers run and unset them here, or prune without --enqueue.",
        )
