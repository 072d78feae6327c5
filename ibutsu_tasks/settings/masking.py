"""Hides secrets in any text: those that are known, in every spelling, and the password of any URL."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from ibutsu_tasks.settings.urls import split_password, split_urls

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"

SHORTEST_SECRET_CHARACTERS = 4
"""Masking every `a` because somebody's password is one would make a sentence unreadable and tell it too."""

_LOGIN = re.compile(r"://[^:@/?#]*:")
_OPTION_PASSWORD = re.compile(r"(?<=[?&])(?P<name>(?:ssl_?)?password)=(?P<password>[^&#\s]*)", re.IGNORECASE)


class Masker:
    """Replaces secrets in texts: the passwords of `urls`, and `plain` values or `user:password`.

    Of what is secret `wholly`, such as a URL that ends in a token, no part is shown. Who calls knows which
    is which: a password may look like a URL.
    """

    def __init__(
        self, urls: Iterable[str] = (), *, plain: Iterable[str] = (), wholly: Iterable[str] = ()
    ) -> None:
        of_each = (*map(_of_urls, urls), *map(_of_plain, plain), *map(_of_all, wholly))
        parts = chain.from_iterable(of_each)
        spellings = {spelling for part in parts for spelling in _spell(part)}
        known = [each for each in spellings if len(each) >= SHORTEST_SECRET_CHARACTERS]
        longest_first = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(_pattern, longest_first))) if known else None

    def mask(self, text: str) -> str:
        """Give `text` with MASK in place of every secret."""
        return mask_url_passwords(self._known.sub(MASK, text) if self._known else text)


def mask_url_passwords(text: str) -> str:
    """Replace the password of every URL in `text`, before the host or among the options."""
    # Every log line passes here, and hardly one holds a URL or an option.
    if "://" in text and "@" in text:
        text = re.sub(r"\S+", _mask_login, text)
    if "=" in text:
        text = _OPTION_PASSWORD.sub(rf"\g<name>={MASK}", text)
    return text


def _mask_login(word: re.Match[str]) -> str:
    """Replace what lies between the first `://user:` and the last `@`, whatever it is."""
    text = word[0]
    login, at = _LOGIN.search(text), text.rfind("@")
    return f"{text[: login.end()]}{MASK}{text[at:]}" if login and at >= login.end() else text


def _of_urls(secret: str) -> Iterable[str]:
    logins = [found[1] for url in split_urls(secret) if (found := split_password(url))]
    return (*logins, *(match["password"] for match in _OPTION_PASSWORD.finditer(secret)))


def _of_plain(secret: str) -> Iterable[str]:
    return (secret, secret.partition(":")[2])


def _of_all(secret: str) -> Iterable[str]:
    """Give the whole, what stands in it line by line and between commas, and what follows a URL's host."""
    _, scheme, rest = secret.partition("://")
    of_url = (rest.partition("/")[2], *_of_urls(secret)) if scheme else ()
    return (secret, *re.split(r"[,\s]+", secret), *of_url)


def _spell(part: str) -> Iterable[str]:
    """Give a password as it is, decoded, encoded, and as Python shows it among quotes."""
    for plain in (part, unquote(part), unquote_plus(part)):
        yield from (plain, quote(plain), quote(plain, safe=""), quote_plus(plain), repr(plain)[1:-1])


def _pattern(spelling: str) -> str:
    # A password that is an ordinary word stands inside others too, as `ibutsu` in `ibutsu_tasks`.
    is_word = spelling.isalpha() and spelling.islower()
    return rf"(?<!\w){spelling}(?!\w)" if is_word else re.escape(spelling)
