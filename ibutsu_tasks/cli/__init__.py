"""The command line: the table of commands, their lazy loading, and the one error boundary."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ibutsu_tasks import __version__
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.options import setting_option
from ibutsu_tasks.cli.output import Output
from ibutsu_tasks.cli.output.result import Result, failure
from ibutsu_tasks.cli.state import CliState
from ibutsu_tasks.errors import IbutsuTasksError, UsageError
from ibutsu_tasks.text.quoting import cut

PROGRAM = "ibutsu-tasks"

WORDS = f"{__name__}.words"
"""Where a call keeps the words behind the command's name, as they were given."""

# Typer brings a Click of its own along and shows this part of it alone.
_WRONG_USAGE: Any = typer.BadParameter.__base__
"""What Click raises for options and arguments that it cannot read."""


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One command: its module in `cli/commands`, which is imported only when the command is used."""

    name: str
    module: str
    summary: str
    panel: str


COMMANDS = (
    CommandRow("up", "up", "Run the whole system here: servers, worker, beat and Flower.", "Run"),
    CommandRow("worker", "worker", "Run a worker.", "Run"),
    CommandRow("beat", "beat", "Run the scheduler.", "Run"),
    CommandRow("flower", "flower", "Run the Flower web page.", "Run"),
    CommandRow("drain", "drain", "Have a worker on this host end its tasks and take no more.", "Run"),
    CommandRow(
        "import", "import_", "Import JUnit XML files and archives and follow them to the end.", "Work"
    ),
    CommandRow("enqueue", "enqueue", "Send one task, or run it right here.", "Work"),
    CommandRow("imports", "imports", "Send imports again that are lost, or that failed.", "Work"),
    CommandRow("prune", "prune", "Delete old rows, after showing what would go.", "Work"),
    CommandRow("dead", "dead", "List messages that no worker could carry out, and send them again.", "Work"),
    CommandRow("doctor", "doctor", "Check every service and say how to fix what is wrong.", "Look"),
    CommandRow("deploy", "deploy", "Say whether a system that was deployed is as it should be.", "Look"),
    CommandRow(
        "queues", "queues", "Show what waits in each queue, by priority, and who consumes it.", "Look"
    ),
    CommandRow("schedule", "schedule", "Show what beat sends, when it last did, and which leads.", "Look"),
    CommandRow("probe", "probe", "Ask a worker, beat or Flower on this host whether it is well.", "Look"),
    CommandRow(
        "metrics", "metrics", "Show the numbers of the whole fleet, or serve them to Prometheus.", "Look"
    ),
    CommandRow("lint", "lint", "Show what an import of files would store, and where.", "Look"),
    CommandRow(
        "packages", "packages", "Show the task packages that are loaded and what each brings.", "Look"
    ),
    CommandRow("config", "config", "Show every setting with its value and where it came from.", "Look"),
    CommandRow("db", "db", "Create the tables in an empty database.", "Set up"),
)

ROLES = frozenset({"up", "worker", "beat", "flower"})

_ROWS = {row.name: row for row in COMMANDS}


class LazyGroup(TyperGroup):
    """Lists commands from the table; imports a command's module when it is used or its options completed."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the base class's signature
        """Give the names in the order of the table."""
        return list(_ROWS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the base class's signature
        """Give a stand-in that is enough for the help page and for completing names."""
        row = _ROWS.get(cmd_name)
        return row and TyperCommand(row.name, help=row.summary)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the base class's signature
        """Write one section of the help page per panel, with the summaries in one column."""
        width = max(map(len, _ROWS))
        for panel, rows in groupby(COMMANDS, key=lambda row: row.panel):
            with formatter.section(panel):
                formatter.write_dl([(row.name.ljust(width), row.summary) for row in rows])

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the options before the command's name."""
        with _foreseen_where_json_is_wanted(args):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, show what it came to, be that a foreseen error, and end with its exit code."""
        words = list(ctx.args)
        try:
            with _foreseen_where_json_is_wanted(words, ctx):
                result = super().invoke(ctx)
        except IbutsuTasksError as error:
            if ctx.obj is None:
                raise
            ctx.obj.output.json_wanted |= _asks_for_json(words)
            result = failure(error)
        if isinstance(result, Result):
            ctx.obj.output.render(result)
            raise typer.Exit(result.exit_code)
        return result

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Give the real command, or let the base class suggest one."""
        row = _ROWS.get(args[0])
        ctx.meta[WORDS] = args[1:]
        if row is None and not args[0].startswith("-"):
            raise UsageError(f"There is no command {cut(args[0])!r}.", _suggest_command(args[0]))
        return (row.name, load_command(row), args[1:]) if row else super().resolve_command(ctx, args)


def _asks_for_json(words: Sequence[str]) -> bool:
    """Say whether a command line that cannot be read asks for JSON."""
    return "--json" in words[: words.index("--") if "--" in words else None]


@contextmanager
def _foreseen_where_json_is_wanted(words: Sequence[str], ctx: Any = None) -> Iterator[None]:
    """Turn what Click would show as text into a UsageError, when `words` ask for JSON."""
    words = tuple(words)
    try:
        yield
    except _WRONG_USAGE as error:
        if not _asks_for_json(words):
            raise
        here = f"{PROGRAM} {ctx.invoked_subcommand}" if ctx else PROGRAM
        command = error.ctx.command_path if error.ctx else here
        raise UsageError(error.format_message(), f"`{command} --help` shows what it takes.") from None


def _suggest_command(name: str) -> str:
    close = difflib.get_close_matches(name, _ROWS, n=1)
    return f"`{PROGRAM} {close[0]}`." if close else f"`{PROGRAM} --help` lists the commands."


def load_command(row: CommandRow) -> Any:
    """Import a command's module and give its command object."""
    module = importlib.import_module(f"ibutsu_tasks.cli.commands.{row.module}")
    command = typer.main.get_command(module.app)
    command.name = row.name
    return command


app = typer.Typer(
    cls=LazyGroup,
    name=PROGRAM,
    help="Worker, scheduler, monitor and operator's tools for the Celery half of an Ibutsu server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    broker_url: Annotated[str | None, setting_option("broker_url")] = None,
    database_url: Annotated[str | None, setting_option("database_url")] = None,
    data_dir: Annotated[str | None, setting_option("data_dir")] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="Read settings from this file in place of ./.env.", metavar="FILE")
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Keep the options given before the command's name; nothing is read yet."""
    options = {"broker_url": broker_url, "database_url": database_url, "data_dir": data_dir}
    context.obj = CliState({name: value for name, value in options.items() if value is not None}, env_file)
    command, words = context.invoked_subcommand, context.meta[WORDS]
    if command and _lives_on(command, words):
        from ibutsu_tasks.cli.role_logs import begin_log  # noqa: PLC0415 - few commands have a log

        begin_log(context.obj, command, words)


def _lives_on(command: str, words: list[str]) -> bool:
    # `metrics` only with a port.
    return command in ROLES or (command == "metrics" and any(word.startswith("--port") for word in words))


def main() -> int:
    """Run the command line and give its exit code. Foreseen errors end here or in `LazyGroup`."""
    try:
        app(prog_name=PROGRAM)
    except IbutsuTasksError as error:
        result = failure(error)
        Output(json_wanted=_asks_for_json(sys.argv[1:])).render(result)
        return result.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except SystemExit as end:
        return _code_of(end)
    return ExitCode.DONE


def _code_of(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or ExitCode.DONE
    sys.stderr.write(f"{end.code}\n")
    return ExitCode.BAD_NEWS
