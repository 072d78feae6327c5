"""Strings from outside as a terminal or a log may have them: no control character is obeyed."""

from __future__ import annotations

import re

# C0, DEL and C1; what ends a line or turns its direction; bytes of a file name that are no UTF-8.
CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_A_STRING = re.compile(rf"[\t\n{CONTROLS}]")


def visible(text: str) -> str:
    r"""Show the control characters of a string from outside, such as `\x1b`, in place of obeying them."""
    return _IN_A_STRING.sub(show_control, text)


def show_control(match: re.Match[str]) -> str:
    """Give the one character that was found as an escape."""
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python keeps a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - two digits
