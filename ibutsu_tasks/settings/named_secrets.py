"""Hides values whose name says that they are secret, in the arguments of tasks and other JSON."""

from __future__ import annotations

import re
from typing import Any

from ibutsu_tasks.settings.masking import MASK, mask_url_passwords

_WORDS = r"passw|secret|token|api[_-]?key|private[_-]?key|credential|authorization"
_NAME = re.compile(_WORDS, re.IGNORECASE)
# From where a name begins, and nothing is given back: else each character is tried with all behind it.
_PAIR = re.compile(
    rf"""(?P<name>(?<![\w-])(?:(?!{_WORDS})[\w-])*+(?:{_WORDS})[\w-]*+["']?\s*+[:=]\s*+)"""
    r"""(?P<value>"(?:\\.|[^"\\])*+"?|'[^']*+'?|[^\s,;&}\])]++)""",
    re.IGNORECASE,
)


def mask_named(value: Any) -> Any:
    """Give a JSON value with MASK in place of what is named like a secret, and of passwords in URLs."""
    if isinstance(value, dict):
        return {
            name: MASK if _NAME.search(str(name)) and one else mask_named(one) for name, one in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [mask_named(one) for one in value]
    return mask_in_text(value) if isinstance(value, str) else value


def mask_in_text(text: str) -> str:
    """Do the same in a text that may hold JSON, assignments or the arguments of a call."""
    if _NAME.search(text):
        text = _PAIR.sub(rf"\g<name>{MASK}", text)
    return mask_url_passwords(text)
