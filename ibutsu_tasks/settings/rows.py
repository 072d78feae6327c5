"""The form of a setting: one row says where it is read from, what it means and how it is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.settings.values import NONE, text

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Row:
    """What a setting is: where it is read from, what it means, how it is checked."""

    name: str
    variables: tuple[str, ...]
    default_text: str
    unit: str
    help: str
    secret: bool
    parse: Callable[[str], Any]
    flag: str | None = None
    """The command-line option that sets it, where there is one."""


def as_text(value: Any) -> str:
    """Give a value as it is shown, `–` for none."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or NONE
    return NONE if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)


def setting(
    variables: str,
    default: Any,
    help_text: str,
    *,
    parse: Callable[[str], Any] = text,
    unit: str = "",
    secret: bool = False,
    default_text: str | None = None,
    flag: str | None = None,
) -> Any:
    """Give a field of `Settings`; it is known by the first of `variables`, separated by spaces."""
    shown = default_text if default_text is not None else as_text(default)
    metadata = {
        "variables": tuple(variables.split()),
        "parse": parse,
        "unit": unit,
        "help": help_text,
        "secret": secret,
        "default_text": shown,
        "flag": flag,
    }
    return field(default=default, metadata=metadata)
