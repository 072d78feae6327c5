"""Options that several commands share, and options that are a setting's third door."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ibutsu_tasks.setting_values import NONE
from ibutsu_tasks.settings import rows

JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def command_app(**options: Any) -> typer.Typer:
    """Make the Typer application that one command file holds."""
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown", **options
    )


def setting_option(name: str, *flags: str, metavar: str | None = None) -> Any:
    """Describe an option that sets the setting `name`: its help, variable and default come from the row."""
    row = rows()[name]
    unit = f" ({row.unit})" if row.unit else ""
    default = "none" if row.default_text == NONE else row.default_text
    help_text = f"{row.help.rstrip('.')}{unit}. [env: {row.variables[0]}; default: {default}]"
    return typer.Option(
        *flags, help=help_text, metavar=metavar or name.rsplit("_", 1)[-1].upper(), show_default=False
    )
