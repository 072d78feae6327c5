"""What `imports requeue` does and shows."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from ibutsu_tasks.broker.failures import unreachable
from ibutsu_tasks.broker.reconciliation import Fate, Reconciler
from ibutsu_tasks.broker.whereabouts import Broker
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Note, Result, Table
from ibutsu_tasks.ibutsu.importers.formats import formats
from ibutsu_tasks.ibutsu.operations.imports.reconciliation import ImportRows
from ibutsu_tasks.ibutsu.settings import IMPORT_STUCK_SECONDS
from ibutsu_tasks.sending import messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from ibutsu_tasks.broker.reconciliation import Decision
    from ibutsu_tasks.cli.output.result import Block
    from ibutsu_tasks.cli.state import CliState

COLOURS = {Fate.SENT: "green", Fate.ENDED: "bold red", Fate.LEFT: "yellow"}


def requeue(state: CliState, import_ids: Sequence[UUID], *, dry_run: bool) -> Result:
    """Decide on these imports, or on all that are stuck without any, and give what was decided.

    Raises UsageError when there is nothing that imports, BusyError while others do, BrokerUnreachableError
    and DatabaseUnreachableError.
    """
    settings = state.settings
    settings.require_services()
    formats()
    app = create_client_app(settings)
    with closing(app.resources) as resources:
        broker = Broker(resources.redis, settings.require_broker(), settings.consumed_queues)
        reconciler = Reconciler(
            ImportRows(),
            resources.session,
            broker,
            lambda one: messages.send(app, one.task, one.args),
            dry_run=dry_run,
        )
        try:
            if import_ids:
                decisions = reconciler.requeue(import_ids)
            else:
                decisions = reconciler.requeue_stuck(settings.value(IMPORT_STUCK_SECONDS))
        except (RedisError, KombuError, OSError) as error:
            raise unreachable(error, settings.require_broker()) from error
    return _result(decisions, dry_run=dry_run, named=bool(import_ids))


def _result(decisions: Sequence[Decision], *, dry_run: bool, named: bool) -> Result:
    counts = Counter(one.fate for one in decisions)
    data = {
        "dry_run": dry_run,
        "sent": counts[Fate.SENT],
        "ended": counts[Fate.ENDED],
        "left": counts[Fate.LEFT],
        "imports": [one.as_json() for one in decisions],
    }
    is_bad_news = named and counts[Fate.SENT] < len(decisions)
    code = ExitCode.BAD_NEWS if is_bad_news else ExitCode.DONE
    return Result(data, _blocks(decisions, dry_run=dry_run), exit_code=code)


def _blocks(decisions: Sequence[Decision], *, dry_run: bool) -> list[Block]:
    if not decisions:
        return [Note("No import is stuck.")]
    rows = [[str(one.id), f"[{COLOURS[one.fate]}]{one.fate}[/]", plain(one.reason)] for one in decisions]
    heading = "would be" if dry_run else "was"
    return [Table(["import", heading, "why"], rows, fold=["why"], heads=2)]
