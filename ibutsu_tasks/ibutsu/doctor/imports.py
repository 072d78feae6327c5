"""The check of the imports: whether any is stuck, neither ended nor anywhere, and what will happen to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import LAST_RECONCILIATION
from ibutsu_tasks.broker.whereabouts import Broker, Whereabouts
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.doctor.checks.database import open_engine
from ibutsu_tasks.doctor.report import Finding, finding, reason_of
from ibutsu_tasks.doctor.running import CALL_SECONDS
from ibutsu_tasks.ibutsu.operations.imports.reconciliation import open_imports
from ibutsu_tasks.ibutsu.settings import IMPORT_STUCK_SECONDS
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from ibutsu_tasks.ibutsu.operations.imports.reconciliation import OpenImport
    from ibutsu_tasks.settings import Settings

REPLY_SECONDS = 1.0
"""What workers are given to answer, within the time of a check."""

PERIOD_MINUTES = 5
"""How often lost imports are looked for, by the schedule."""

TOLERATED_PERIODS = 3

MOST_MESSAGES = 20_000
"""What is read of the broker within a second; behind more, nobody is stuck but waits his turn."""

BY_HAND = "`ibutsu-tasks imports requeue --stuck`"


def check_imports(settings: Settings) -> list[Finding]:
    """Find imports that ought to have ended, and look for each in the broker and with the workers."""
    try:
        old = _old_imports(settings)
        with build_client(settings.require_broker(), CALL_SECONDS) as client:
            broker = Broker(client, settings.require_broker(), settings.consumed_queues, REPLY_SECONDS)
            if not old or broker.count_messages() > MOST_MESSAGES:
                return judge(old, Whereabouts(), None, utc_now())
            where, last = broker.look([one.import_id for one in old]), _last_reconciliation(client)
    except (RedisError, KombuError, SQLAlchemyError, OSError) as error:
        seen = f"A service failed while the imports were looked at: {reason_of(error, settings)}"
        return [finding("IBT-I19", seen, "Run `ibutsu-tasks doctor --only broker,database`.")]
    return judge(old, where, last, utc_now())


def judge(
    old: Sequence[OpenImport], where: Whereabouts, last: datetime | None, now: datetime
) -> list[Finding]:
    """Give the finding about imports that are `old` and have not ended; `last`, lost ones were looked for."""
    lost = [one for one in old if one.import_id in where.lost]
    if not lost:
        rest = f"; {counted(len(old), 'old one')} wait for their turn or run" if old else ""
        return [finding("IBT-I00", f"No import is stuck{rest}.")]
    oldest = min(lost, key=lambda one: one.created)
    seen = (
        f"{counted(len(lost), 'import')} neither ended nor in a queue nor with a worker that answers;"
        f" the oldest, {oldest.import_id}, is {oldest.status} since {oldest.created:%Y-%m-%d %H:%M} UTC."
    )
    if where.silent_workers:
        silent = f"{counted(where.silent_workers, 'worker')} that listens and does not answer may be at it"
        hint = (
            f"Nothing is sent again until then: find it with `doctor --only workers` and end it ({silent})."
        )
        return [finding("IBT-I10", seen, hint)]
    if last is None or now - last > timedelta(minutes=TOLERATED_PERIODS * PERIOD_MINUTES):
        when = f"last {last:%Y-%m-%d %H:%M} UTC" if last else "never"
        seen += f" Nobody looks for lost ones (the last time: {when})."
        return [finding("IBT-I01", seen, f"Run beat and a worker, or {BY_HAND}.")]
    hint = f"Wait {PERIOD_MINUTES} minutes, in which it is sent again or ended, or run {BY_HAND}."
    return [finding("IBT-I11", seen, hint)]


def _old_imports(settings: Settings) -> list[OpenImport]:
    engine = open_engine(settings)
    try:
        with Session(engine) as session:
            session.execute(text(f"set local statement_timeout = '{CALL_SECONDS}s'"))
            return open_imports(session, settings.value(IMPORT_STUCK_SECONDS))
    except ProgrammingError:
        # Tables are missing: the check of the database says so.
        return []
    finally:
        engine.dispose()


def _last_reconciliation(client: Redis) -> datetime | None:
    written = cast("bytes | None", client.get(LAST_RECONCILIATION.format("imports")))
    try:
        return datetime.fromisoformat(written.decode()).replace(tzinfo=None) if written else None
    except ValueError:
        return None
