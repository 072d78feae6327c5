"""`ibutsu-tasks prune`, old rows: its options and one call."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ibutsu_tasks.cli.options import JsonOption, YesOption, command_app
from ibutsu_tasks.cli.output.result import Result
from ibutsu_tasks.cli.state import state_of
from ibutsu_tasks.errors import SettingsError, UsageError
from ibutsu_tasks.packages import ALL_RULES, loaded
from ibutsu_tasks.retention.rules import all_rules, check_age, find_rules, parse_age

app = command_app()


class _Command(TyperCommand):
    """Names in its help the rules of the task packages, which the settings say."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write it."""
        with suppress(SettingsError):
            state_of(ctx).choose_packages()
        rules = loaded().retention.values()
        listed = "; ".join(f"`{rule.name}`: {rule.help}, {rule.default_age_days} days" for rule in rules)
        argument: Any = next(one for one in self.params if one.name == "rule")
        if rules:
            argument.help = f"What to delete. {listed}; `all`: those of all task packages."
        super().format_help(ctx, formatter)


def _complete_rule(incomplete: str) -> list[str]:
    from ibutsu_tasks.settings import read_settings

    read_settings()
    names = (*loaded().retention, ALL_RULES) if loaded().retention else ()
    return [name for name in names if name.startswith(incomplete)]


RuleArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RULE",
        help="What to delete.",
        autocompletion=_complete_rule,
        show_default=False,
    ),
]
OlderThanOption = Annotated[
    str | None,
    typer.Option(
        metavar="AGE", help="Delete what is older: 90d, 12w, 5months (of 30 days).", show_default=False
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would go, and stop.")]
EnqueueOption = Annotated[
    bool,
    typer.Option(
        "--enqueue",
        help="Send the task to the workers instead, without counting; ages of projects are those set there.",
    ),
]
VacuumOption = Annotated[
    bool, typer.Option("--vacuum", help="Vacuum the tables afterwards, so that new rows take the room.")
]
ArchiveOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Write an archive of each run that goes, or of what goes of it, to this directory first;"
        " `import` brings it back.",
        show_default=False,
    ),
]
HistoryOption = Annotated[
    bool,
    typer.Option("--history", help="Show the last prunes, of commands and tasks, and delete nothing."),
]


@app.command(cls=_Command)
def prune(
    context: typer.Context,
    rule: RuleArgument = None,
    older_than: OlderThanOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    enqueue: EnqueueOption = False,
    vacuum: VacuumOption = False,
    archive: ArchiveOption = None,
    history: HistoryOption = False,
    json_wanted: JsonOption = False,
) -> Result:
    """Delete old rows with everything that depends on them, after showing what would go.

    Works on the database itself, so it also serves when no worker runs. Never deletes what is younger
    than a rule's floor. What somebody else is using is left for the next time, and the exit code is 1.
    """
    state = state_of(context, json_wanted=json_wanted)
    if archive is not None and not archive.strip():
        raise UsageError("--archive needs the name of a directory, which may not be empty.")
    options = {"--older-than": older_than, "--dry-run": dry_run, "--enqueue": enqueue, "--vacuum": vacuum}
    _refuse_together({"--history": history, **options, "--archive": archive})
    state.choose_packages()
    if history:
        from ibutsu_tasks.cli.prune import history as prune_history

        return prune_history.show(state, [one.name for one in find_rules(rule or ALL_RULES)])
    if rule is None:
        raise UsageError(
            f"Name a rule: {', '.join(all_rules())} or {ALL_RULES}.",
            "`ibutsu-tasks prune all --dry-run` shows what is due, `prune --history` what went.",
        )
    rules = find_rules(rule)
    ages = [(one, one.default_age_days if older_than is None else parse_age(older_than)) for one in rules]
    for one, age_days in ages:
        check_age(one, age_days)
    from ibutsu_tasks.cli.prune import session

    if enqueue:
        return session.send_tasks(state, ages, yes=yes)
    directory = None if archive is None else Path(archive)
    return session.delete_rows(state, ages, dry_run=dry_run, vacuum=vacuum, archive=directory, yes=yes)


def _refuse_together(options: Mapping[str, object]) -> None:
    given = [name for name, value in options.items() if value]
    for pair in combinations(given, 2):
        if "--history" in pair or not ("--older-than" in pair or pair == ("--vacuum", "--archive")):
            raise UsageError(f"{' and '.join(pair)} do not go together.", "Leave one of them out.")
