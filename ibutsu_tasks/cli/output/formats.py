r"""Values as people read them, and strings from outside as a terminal may have them.

Markup is Rich's: `[bold]…[/]`. `plain` makes a string fit for it without Rich: brackets and backslashes of
the string travel as two control characters, which nothing that is shown can hold, until the markup is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ibutsu_tasks.text.control_characters import CONTROLS, show_control, visible

if TYPE_CHECKING:
    from datetime import datetime

NO_VALUE = "–"

_UNITS = ("B", "KB", "MB", "GB", "TB")

# Lists and log lines in our own sentences are indented by two; what comes from outside forges no line.
_IN_A_TEXT = re.compile(rf"[{CONTROLS}]|\n(?!  )")
_IN_MARKUP = re.compile(rf"(?![\x0e\x0f])[{CONTROLS}]|\n(?!  )")
_RAW_IN_JSON = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_STAND_INS = str.maketrans("[\\", "\x0e\x0f")
_ORIGINALS = str.maketrans("\x0e\x0f", "[\\")
_TAG = re.compile(r"\[/?[a-z ]*\]")


def format_bytes(size_bytes: float) -> str:
    """Give a size as people say it: `512 B`, `1.5 MB` (powers of 1,000)."""
    unit = _UNITS[0]
    for unit in _UNITS:
        if abs(size_bytes) < 999.5 or unit == _UNITS[-1]:  # noqa: PLR2004 - shown without decimals above
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"  # noqa: PLR2004


def format_moment(moment: datetime | None) -> str:
    """Give a UTC time to the minute; `–` for none."""
    return moment.strftime("%Y-%m-%d %H:%M") if moment else NO_VALUE


def format_seconds(seconds: float | None) -> str:
    """Give a duration: `4 ms`, `0.35 s`, `12.4 s`, `3 min 20 s`, `2 h 13 min`; `–` for none."""
    if seconds is None:
        return NO_VALUE
    if seconds < 0.1:  # noqa: PLR2004
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.2f} s"
    if seconds < 59.95:  # noqa: PLR2004 - the last that is no 60.0
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, rest_minutes = divmod(minutes, 60)
    return f"{hours:,} h {rest_minutes} min" if hours else f"{minutes} min {rest} s"


def shorten(name: str, width: int) -> str:
    """Keep the beginning and the end of a file's name, which say more than its middle."""
    if len(name) <= width:
        return name
    head = (width - 1) // 2
    return f"{name[:head]}…{name[head + 1 - width :]}"


def plain(text: str) -> str:
    """Make a string from outside fit for markup: its brackets are no tags, its controls are visible."""
    return visible(text).translate(_STAND_INS)


def plain_lines(text: str) -> str:
    """Make a sentence of ours, which may end in an indented list, fit for markup."""
    return _IN_A_TEXT.sub(show_control, text).translate(_STAND_INS)


def safe_markup(markup: str) -> str:
    """Show the controls of a line of markup, whoever forgot to."""
    return _IN_MARKUP.sub(show_control, markup)


def without_stand_ins(text: str) -> str:
    """Give brackets and backslashes back to a text whose markup was read."""
    return text.translate(_ORIGINALS)


def without_markup(markup: str) -> str:
    """Give what is left of a line of markup where there are no colours."""
    return without_stand_ins(_TAG.sub("", safe_markup(markup)))


def terminal_safe_json(document: str) -> str:
    """Write what a terminal would obey as JSON escapes."""
    return _RAW_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", document)
