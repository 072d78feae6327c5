"""`ibutsu-tasks prune`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ibutsu_tasks.cli.options import JsonOption, YesOption, command_app
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.retention import ALL_RULES, RETENTION_RULES, RULES_BY_NAME, check_age, find_rules, parse_age

app = command_app()

_LISTED = "; ".join(f"`{rule.name}`: {rule.help}, {rule.default_age_days} days" for rule in RETENTION_RULES)


def _complete_rule(incomplete: str) -> list[str]:
    return [name for name in (*RULES_BY_NAME, ALL_RULES) if name.startswith(incomplete)]


@app.command()
def prune(
    context: typer.Context,
    rule: Annotated[
        str,
        typer.Argument(
            metavar="RULE", help=f"What to delete. {_LISTED}; `all` of them.", autocompletion=_complete_rule
        ),
    ],
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="AGE", help="Delete what is older: 90d, 12w, 5months (of 30 days).", show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go and stop.")] = False,
    yes: YesOption = False,
    enqueue: Annotated[
        bool, typer.Option("--enqueue", help="Send the task to the workers instead, without counting.")
    ] = False,
    json_wanted: JsonOption = False,
) -> None:
    """Delete old rows with everything that hangs on them, after showing what would go.

    Works on the database itself, so it also serves when no worker runs. Never deletes what is younger
    than a rule's floor. What somebody else is using is left for the next time, and the exit code is 1.
    """
    rules = find_rules(rule)
    ages = [(one, one.default_age_days if older_than is None else parse_age(older_than)) for one in rules]
    for one, age_days in ages:
        check_age(one, age_days)
    if enqueue and dry_run:
        raise UsageError("--dry-run and --enqueue do not go together.", "Leave one of them out.")
    from ibutsu_tasks.cli import prune_session

    state = state_of(context, json_wanted=json_wanted)
    run = prune_session.send_tasks if enqueue else partial(prune_session.delete_rows, dry_run=dry_run)
    raise typer.Exit(run(state, ages, yes=yes))
