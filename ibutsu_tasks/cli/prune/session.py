"""What `prune` does: show, ask, delete; or ask and send the tasks."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.prune import view
from ibutsu_tasks.cli.prune.archive import NOT_ARCHIVED, PruneArchive
from ibutsu_tasks.cli.prune.deleting import Deleter
from ibutsu_tasks.cli.prune.stopping import StopRequest
from ibutsu_tasks.cli.result import Note, Result
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.errors import IbutsuTasksError
from ibutsu_tasks.operations.prune import plan as prune_plan
from ibutsu_tasks.operations.prune import vacuum as vacuuming
from ibutsu_tasks.operations.prune.history import read_history
from ibutsu_tasks.operations.prune.speed import measured_speed
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.retention import task_argument
from ibutsu_tasks.sending import messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ibutsu_tasks.cli.result import Block
    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.operations.prune.record import PruneRecord
    from ibutsu_tasks.operations.prune.results import PrunePlan, PruneSummary
    from ibutsu_tasks.operations.prune.vacuum import Vacuumed
    from ibutsu_tasks.retention import RetentionRule

    Ages = Sequence[tuple[RetentionRule, int]]

RECORDS_MEASURED = 200
"""Records of earlier prunes that are read for their speed."""


def delete_rows(
    state: CliState, ages: Ages, *, dry_run: bool, vacuum: bool, archive: Path | None, yes: bool
) -> Result:
    """Show what is due, ask, delete it; `ages` are days. `archive` takes archives of what goes.

    Raises ConfirmationNeededError when nobody can be asked, RefusedError when an index is missing or the
    archives cannot be written, and what `pruning` raises.
    """
    # One moment for all: what is shown is what goes, however long the answer takes.
    now = utc_now()
    with closing(Resources(state.settings, "prune")) as resources:
        kept = PruneArchive(resources, state.output, archive) if archive else None
        plans = _plan(resources, ages, now, archives=kept is not None)
        state.output.show_now(view.plan_blocks(plans))
        summaries: list[PruneSummary] = []
        vacuumed: list[Vacuumed] = []
        stop = StopRequest()
        if not dry_run:
            deleter = Deleter(state, resources, now, stop, kept)
            deleter.refuse_without_indexes(plans)
            if any(plan.rows for plan in plans):
                if not state.confirm("Delete these rows?", yes=yes, instead="look first with --dry-run"):
                    return Result(messages=["Nothing was deleted."], exit_code=ExitCode.BAD_NEWS)
                rules = [rule for rule, _ in ages]
                summaries = deleter.delete_all(list(zip(rules, plans, strict=True)))
            else:
                deleter.record_nothing_due(plans)
            if vacuum and not stop.is_made():
                vacuumed = _vacuum(state, resources, summaries)
    return _result_of(plans, summaries, vacuumed, kept, stop)


def _plan(resources: Resources, ages: Ages, now: datetime, *, archives: bool) -> list[PrunePlan]:
    records, project_ages = _known_records(resources), resources.settings.retention
    plans = []
    for rule, age_days in ages:
        is_archived = archives and rule.table != NOT_ARCHIVED
        speed = measured_speed(records, rule.name, archives=is_archived)
        with resources.session() as session:
            plans.append(
                prune_plan.plan(session, rule, age_days, project_ages=project_ages, now=now, speed=speed)
            )
    return plans


def _known_records(resources: Resources) -> list[PruneRecord]:
    """Give the last records; none when there is no broker to ask, which a plan does not need."""
    try:
        return read_history(resources.redis, RECORDS_MEASURED)
    except (RedisError, OSError, IbutsuTasksError):
        return []


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
    archive: PruneArchive | None,
    stop: StopRequest,
) -> Result:
    data = {
        "plan": [plan.as_json() for plan in plans],
        "result": [summary.as_json() for summary in summaries],
        "vacuum": [table.as_json() for table in vacuumed],
        "archive": archive.as_json() if archive else None,
    }
    nothing_due: list[Block] = [] if any(plan.rows for plan in plans) else [Note("Nothing is due.")]
    blocks = list(view.summary_blocks(summaries)) if summaries else nothing_due
    blocks += [*view.vacuum_blocks(vacuumed), *(archive.blocks() if archive else ())]
    messages = [
        *view.missing_index_messages(plans),
        *view.left_messages(summaries),
        *view.vacuum_messages(vacuumed),
        *(archive.messages() if archive else ()),
    ]
    code = ExitCode.BAD_NEWS if messages else ExitCode.DONE
    if stop.exit_code is not None:
        messages.append("[yellow]Stopped.[/] What is deleted stays so; the same command continues there.")
    return Result(data, blocks, messages, stop.exit_code or code)


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
