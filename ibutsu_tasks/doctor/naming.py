"""How findings name things: which variable to change, and errors of libraries in one safe line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ibutsu_tasks.settings import setting_rows
from ibutsu_tasks.settings.values import MASK, mask_passwords

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings

_URL_PASSWORDS = re.compile(r"://[^:@/?#]*:([^@/?#]*)@")

REASON_LENGTH = 200
SHORTEST_SECRET = 4
"""Masking every `a` because somebody's password is one would make a sentence unreadable and tell it too."""


def variable_of(settings: Settings, field: str) -> str:
    """Name what sets `field`: the variable or option it came from, else its first variable."""
    source = settings.sources.get(field, "")
    named = source.removeprefix("environment ").removeprefix(".env ").removeprefix("option ")
    return setting_rows()[field].variables[0] if named in {"", "local stack"} else named


def reason_of(error: BaseException, settings: Settings) -> str:
    """Give a library's error as one line of at most REASON_LENGTH characters, without any secret."""
    text = mask_passwords(" ".join(str(error).split())) or type(error).__name__
    for secret in _secrets(settings):
        text = text.replace(secret, MASK)
    return text if len(text) <= REASON_LENGTH else f"{text[:REASON_LENGTH]}…"


def _secrets(settings: Settings) -> list[str]:
    values = [getattr(settings, row.name) for row in setting_rows().values() if row.secret]
    found = {form for value in values if value for form in _forms(value)}
    return sorted((form for form in found if len(form) >= SHORTEST_SECRET), key=len, reverse=True)


def _forms(value: str) -> list[str]:
    if "://" not in value:
        return [value, value.partition(":")[2]]
    # Not urlsplit: an address that cannot be split must not tell its password either.
    return [form for password in _URL_PASSWORDS.findall(value) for form in (password, unquote(password))]
