"""What `prune` does: show, ask, delete; or ask and send the tasks."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.cli import prune_view
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.operations import prune_plan, pruning
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.retention import task_argument
from ibutsu_tasks.sending import messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.operations.prune_results import PrunePlan, PruneSummary
    from ibutsu_tasks.retention import RetentionRule

    Ages = Sequence[tuple[RetentionRule, int]]


def delete_rows(state: CliState, ages: Ages, *, dry_run: bool, yes: bool) -> ExitCode:
    """Show what is due, ask, delete it; `ages` are days.

    Raises ConfirmationNeededError when nobody can be asked, and what `pruning` raises.
    """
    # One moment for all: what is shown is what goes, however long the answer takes.
    now = datetime.now(UTC).replace(tzinfo=None)
    with closing(Resources(state.settings, "prune")) as resources:
        plans = [_plan(resources, rule, age_days, now) for rule, age_days in ages]
        if not state.output.json_wanted:
            prune_view.show_plans(state.output, plans)
        summaries: list[PruneSummary] = []
        if not dry_run and any(plan.rows for plan in plans):
            if not state.confirm("Delete these rows?", yes=yes, instead="look first with --dry-run"):
                state.output.say("Nothing was deleted.")
                return ExitCode.BAD_NEWS
            summaries = [
                _delete(state, resources, rule, plan, now)
                for (rule, _), plan in zip(ages, plans, strict=True)
            ]
    return _end(state, plans, summaries)


def _plan(resources: Resources, rule: RetentionRule, age_days: int, now: datetime) -> PrunePlan:
    with resources.session() as session:
        return prune_plan.plan(session, rule, age_days, now=now)


def _delete(
    state: CliState, resources: Resources, rule: RetentionRule, plan: PrunePlan, now: datetime
) -> PruneSummary:
    with state.output.progress(f"deleting {rule.name}", plan.rows) as (bar, step):

        def on_progress(rows: int) -> None:
            bar.update(step, completed=rows)

        return pruning.prune(resources.session, rule, plan.age_days, now=now, on_progress=on_progress)


def _end(state: CliState, plans: Sequence[PrunePlan], summaries: Sequence[PruneSummary]) -> ExitCode:
    if state.output.json_wanted:
        document = {
            "plan": [plan.as_json() for plan in plans],
            "result": [summary.as_json() for summary in summaries],
        }
        state.output.show_json(document)
    elif summaries:
        prune_view.show_summaries(state.output, summaries)
    elif not any(plan.rows for plan in plans):
        state.output.say("Nothing is due.")
    held_up = [summary for summary in summaries if summary.left]
    for summary in held_up:
        prune_view.say_what_is_left(state.output, summary)
    return ExitCode.BAD_NEWS if held_up else ExitCode.DONE


def send_tasks(state: CliState, ages: Ages, *, yes: bool) -> ExitCode:
    """Ask, then send the task of each rule and show its id; nothing is counted.

    Raises UsageError when an age is no whole number of months, BrokerUnreachableError, and
    ConfirmationNeededError when nobody can be asked.
    """
    asked = [(rule, task_argument(rule, age_days)) for rule, age_days in ages]
    state.settings.require_broker()
    ages_named = ", ".join(f"{rule.name} older than {age_days} days" for rule, age_days in ages)
    question = f"Have the workers delete {ages_named}?"
    if not state.confirm(question, yes=yes, instead="look first with --dry-run"):
        state.output.say("Nothing was sent.")
        return ExitCode.BAD_NEWS
    sent = [_send(state, rule, argument) for rule, argument in asked]
    if state.output.json_wanted:
        state.output.show_json({"sent": sent})
    else:
        for message in sent:
            state.output.show(message["id"])
    return ExitCode.DONE


def _send(state: CliState, rule: RetentionRule, argument: dict[str, int]) -> dict[str, Any]:
    task_id = messages.send(create_client_app(state.settings), rule.task, kwargs=argument)
    return {"rule": rule.name, "task": rule.task, "arguments": argument, "id": task_id}
