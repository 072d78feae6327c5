"""The check of the prunes: how the last one of each rule ended, and whether old rows heap up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from sqlalchemy import exists, select, text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.doctor.checks.database import open_engine
from ibutsu_tasks.doctor.report import Finding, finding, reason_of
from ibutsu_tasks.doctor.running import CALL_SECONDS
from ibutsu_tasks.errors import RefusedError
from ibutsu_tasks.ibutsu.operations.prune.due import find_due_rows
from ibutsu_tasks.ibutsu.operations.prune.history import PruneState, read_history
from ibutsu_tasks.ibutsu.retention import RETENTION_RULES
from ibutsu_tasks.ibutsu.schedule import SCHEDULE, period_seconds
from ibutsu_tasks.ibutsu.settings import RETENTION
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ibutsu_tasks.ibutsu.operations.prune.history import PruneRecord
    from ibutsu_tasks.ibutsu.retention import RetentionRule
    from ibutsu_tasks.settings import Settings

TOLERATED_PERIODS = 2
"""A prune may fail to run once, for a night's maintenance, before it is reported."""

SCHEDULED = {row.task: row for row in SCHEDULE}


def check_prunes(settings: Settings) -> list[Finding]:
    """Read the records of prunes, and look for each rule whether anything is due."""
    try:
        with build_client(settings.require_broker(), CALL_SECONDS) as client:
            records = read_history(client)
        due = _rules_with_due_rows(settings)
    except (RedisError, SQLAlchemyError, OSError) as error:
        seen = f"A service failed while the prunes were looked at: {reason_of(error, settings)}"
        return [finding("IBT-P19", seen, "Run `ibutsu-tasks doctor --only broker,database`.")]
    except RefusedError as error:
        return [finding("IBT-P03", f"Prunes are refused: {error}", error.hint)]
    return judge(records, due, utc_now())


def _rules_with_due_rows(settings: Settings) -> set[str]:
    """Name the rules of which a row is due that the schedule ought to have taken."""
    engine = open_engine(settings)
    try:
        with Session(engine) as session:
            session.execute(text(f"set local statement_timeout = '{CALL_SECONDS}s'"))
            return {rule.name for rule in RETENTION_RULES if _is_due(session, rule, settings)}
    except ProgrammingError:
        # Tables are missing: the check of the database says so.
        return set()
    finally:
        engine.dispose()


def _is_due(session: Session, rule: RetentionRule, settings: Settings) -> bool:
    row = SCHEDULED[rule.task]
    a_period_ago = utc_now() - timedelta(seconds=period_seconds(row))
    age_days = row.args[0] * rule.days_per_unit
    due = find_due_rows(session, rule, age_days, settings.value(RETENTION), now=a_period_ago)
    return bool(session.scalar(select(exists().where(*due.conditions(due.root, {})))))


def judge(records: Sequence[PruneRecord], due: Collection[str], now: datetime) -> list[Finding]:
    """Give the findings about `records`, newest first; of the rules named in `due`, rows wait to be deleted.

    What was skipped says nothing of a rule, and neither does what runs.
    """
    found = []
    for rule in RETENTION_RULES:
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
    row = SCHEDULED[rule.task]
    good = next((record for record in ended if _took_all(record)), None)
    if good and (now - good.started).total_seconds() < TOLERATED_PERIODS * period_seconds(row):
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
