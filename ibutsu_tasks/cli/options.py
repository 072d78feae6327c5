"""Options that several commands share, and options that are a setting's third door."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.settings import setting_rows
from ibutsu_tasks.settings.values import LOG_FORMATS, LOG_LEVELS, NONE
from ibutsu_tasks.text.control_characters import visible
from ibutsu_tasks.text.quoting import cut

JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

MAX_SECONDS = 365 * 24 * 3600
"""No wait and no delay on the command line is longer than a year; Celery's dates end at the year 9999."""


_CHOICES = {"log_level": LOG_LEVELS, "log_format": LOG_FORMATS}
"""Settings that a shell can complete."""


def command_app(**options: Any) -> typer.Typer:
    """Make the Typer application that one command file holds.

    Help and wrong usage are written by Click: drawing them with Rich takes as long as all else together.
    """
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, **options)


def setting_option(name: str, metavar: str | None = None) -> Any:
    """Describe the option that sets the setting `name`, from its row."""
    row = setting_rows()[name]
    unit = f" ({row.unit})" if row.unit else ""
    default = "none" if row.default_text == NONE else row.default_text
    help_text = f"{row.help.rstrip('.')}{unit}. [env: {row.variables[0]}; default: {default}]"

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in _CHOICES[name] if choice.startswith(incomplete)]

    return typer.Option(
        *row.flags,
        help=help_text,
        metavar=metavar or name.rsplit("_", 1)[-1].upper(),
        show_default=False,
        autocompletion=complete if name in _CHOICES else None,
    )


def seconds_option(
    flag: str, help_text: str, *, minimum: float = 0.0, show_default: bool | str = True
) -> Any:
    """Describe an option that is a time in seconds, from `minimum` to `MAX_SECONDS`."""

    def parse(text: str) -> float:
        return parse_seconds(flag, text, minimum)

    return typer.Option(flag, metavar="SECONDS", parser=parse, help=help_text, show_default=show_default)


def parse_seconds(flag: str, text: str, minimum: float = 0.0) -> float:
    """Read a time in seconds. Raises UsageError for what is no number from `minimum` to `MAX_SECONDS`."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not minimum <= seconds <= MAX_SECONDS:
        raise UsageError(
            f"{flag} must be a number of seconds from {minimum:g} to {MAX_SECONDS} (a year),"
            f" not {cut(text)!r}."
        )
    return seconds


def check_name(flag: str, name: str) -> None:
    """Raise UsageError for a name that is blank or looks like another where it is shown."""
    if not name.strip():
        raise UsageError(f"{flag} needs a name, which may not be empty.")
    if visible(name) != name:
        raise UsageError(f"{flag} {visible(name)} has control characters, which no name may have.")
