"""The check of the prunes: how the last one of each rule ended, and whether old rows heap up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from ibutsu_tasks.beat.due import next_run, schedule_of
from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.doctor.checks.database import open_engine
from ibutsu_tasks.doctor.report import Finding, finding, reason_of
from ibutsu_tasks.doctor.running import CALL_SECONDS
from ibutsu_tasks.errors import RefusedError, SettingsError
from ibutsu_tasks.packages import Missed, loaded
from ibutsu_tasks.retention.due import find_due_rows
from ibutsu_tasks.retention.history import PruneState, read_history
from ibutsu_tasks.retention.run_prune import explain
from ibutsu_tasks.retention.tables import problem_of
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ibutsu_tasks.packages import RetentionRule, ScheduleRow
    from ibutsu_tasks.retention.history import PruneRecord
    from ibutsu_tasks.settings import Settings

TOLERATED_PERIODS = 2
"""A prune may fail to run once, for a night's maintenance, before it is reported."""

RUNS_AHEAD = 8
"""A schedule may leave out days, as that of working days does: of so many runs, the longest pause counts."""

NOT_THERE = frozenset({"42P01", "42703"})
"""SQLSTATE of a table and of a column that are missing: the check of the database says so."""

ONCE_MENDED = "Mend the cause; until then nobody knows whether its rows heap up."

LOOKED_AT = 100_000
"""Old rows that a rule keeps are passed over, up to so many."""


def check_prunes(settings: Settings) -> list[Finding]:
    """Read the records of prunes, and look for each rule whether anything is due."""
    try:
        with build_client(settings.require_broker(), CALL_SECONDS) as client:
            records = read_history(client)
        due, refused = _look_for_due_rows(settings)
    except (RedisError, SQLAlchemyError, OSError) as error:
        seen = f"A service failed while the prunes were looked at: {reason_of(error, settings)}"
        return [finding("IBT-P19", seen, "Run `ibutsu-tasks doctor --only broker,database`.")]
    return judge(records, due, utc_now(), refused)


def _look_for_due_rows(settings: Settings) -> tuple[set[str], list[Finding]]:
    """Name the rules that have rows the schedule ought to have taken; say which are refused."""
    engine = open_engine(settings)
    due: set[str] = set()
    refused = []
    try:
        with Session(engine) as session:
            for rule in (one for one in loaded().retention.values() if not problem_of(one)):
                try:
                    due |= {rule.name} if _is_due(session, rule, settings) else set()
                except (RefusedError, SettingsError) as error:
                    seen = f"Prunes by {rule.name} are refused: {error}"
                    refused.append(finding("IBT-P03", seen, error.hint))
    finally:
        engine.dispose()
    return due, refused


def _is_due(session: Session, rule: RetentionRule, settings: Settings) -> bool:
    row = row_of(rule)
    if row is None:
        return False
    a_period_ago = utc_now() - period_of(row)
    try:
        with session.begin():
            session.execute(text(f"set local statement_timeout = '{CALL_SECONDS}s'"))
            due = find_due_rows(session, rule, age_days_of(row, rule), settings, now=a_period_ago)
            return session.execute(due.next_roots(None, 1, LOOKED_AT)).first() is not None
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) in NOT_THERE:
            return False
        raise explain(error, f"Looking for rows that {rule.name} would delete failed", ONCE_MENDED) from error


def row_of(rule: RetentionRule) -> ScheduleRow | None:
    """Give the row of the schedule that runs a rule, None where none does."""
    return next((row for row in loaded().schedule if row.task == rule.task), None)


def age_days_of(row: ScheduleRow, rule: RetentionRule) -> int:
    """Give the age at which a row of the schedule runs its rule; the rule's own where it says none."""
    age = row.args[0] if row.args else None
    return age * rule.days_per_unit if isinstance(age, int) else rule.default_age_days


def period_of(row: ScheduleRow) -> timedelta:
    """Give the longest time from one of the next runs to the one after it."""
    when, moments = schedule_of(row), [datetime.now(UTC)]
    for _ in range(RUNS_AHEAD):
        moments.append(next_run(when, Missed.ONCE, moments[-1], moments[-1]))
    return max(later - earlier for earlier, later in pairwise(moments[1:]))


def judge(
    records: Sequence[PruneRecord], due: Collection[str], now: datetime, refused: Sequence[Finding] = ()
) -> list[Finding]:
    """Give the findings about `records`, newest first; of the rules named in `due`, rows wait to be deleted.

    What was skipped says nothing of a rule, and neither does what runs. `refused` are findings about rules
    that cannot run.
    """
    found = list(refused)
    for rule in loaded().retention.values():
        ended = [record for record in records if record.rule == rule.name and _says_something(record, now)]
        if ended and ended[0].state(now) in {PruneState.FAILED, PruneState.LOST}:
            found.append(_failed(ended[0], now))
        elif rule.name in due and (late := _is_late(rule, ended, now)):
            found.append(late)
    return found or [_all_well(records, now)]


def _says_something(record: PruneRecord, now: datetime) -> bool:
    return record.state(now) not in {PruneState.SKIPPED, PruneState.RUNNING}


def _failed(record: PruneRecord, now: datetime) -> Finding:
    started = f"{record.started:%Y-%m-%d %H:%M} UTC, by {record.by} on {record.where}"
    again = f"`ibutsu-tasks prune {record.rule}`"
    if record.state(now) is PruneState.LOST:
        seen = f"The last prune of {record.rule} (begun {started}) never ended."
        return finding("IBT-P02", seen, f"Its process was killed; run {again}, which continues there.")
    seen = f"The last prune of {record.rule} ({started}) failed: {record.sentence}"
    return finding("IBT-P01", seen, f"Mend the cause, then run {again}.")


def _is_late(rule: RetentionRule, ended: Sequence[PruneRecord], now: datetime) -> Finding | None:
    row = row_of(rule)
    good = next((record for record in ended if _took_all(record)), None)
    if row is None or (good and now - good.started < TOLERATED_PERIODS * period_of(row)):
        return None
    none = "no prune on record took them all" if ended else "no prune of them is on record"
    last = f"last pruned {good.started:%Y-%m-%d %H:%M} UTC" if good else none
    seen = f"Rows of {rule.table} have been due since before the last prune there should be; {last}."
    hint = f"Run `ibutsu-tasks prune {rule.name}`, and see that beat runs, which sends {row.name}."
    return finding("IBT-P10", seen, hint)


def _took_all(record: PruneRecord) -> bool:
    return record.written_state is PruneState.DONE and not record.left


def _all_well(records: Sequence[PruneRecord], now: datetime) -> Finding:
    last = next((record for record in records if record.state(now) is PruneState.DONE), None)
    if last is None:
        return finding("IBT-P00", "Nothing is overdue; no prune is on record yet.")
    rows, moment = counted(last.rows, "row"), f"{last.started:%Y-%m-%d %H:%M} UTC"
    seen = f"The last prunes went well; {last.rule} at {moment}: {rows}."
    return finding("IBT-P00", seen)
