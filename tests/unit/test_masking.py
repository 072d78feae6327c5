"""No secret in any text: those among the settings, and passwords of other URLs."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from ibutsu_tasks.logs import JsonFormatter, TextFormatter
from ibutsu_tasks.settings import load_settings
from ibutsu_tasks.settings.masking import Masker, mask_url_passwords

if TYPE_CHECKING:
    from collections.abc import Callable

ODD_PASSWORDS = [
    "it's-S3cret",
    'say "S3cret"',
    "a&S3cret+x=%41",
    "back\\slash-S3cret",
    "p@ss/S3cret#?:",
    "S3cret;tail",
]


def test_passwords_of_unknown_urls_are_masked() -> None:
    text = "Error at redis://:p%40ss@host:1/0 and postgresql://u:pw@db/x."
    assert mask_url_passwords(text) == "Error at redis://:***@host:1/0 and postgresql://u:***@db/x."
    assert mask_url_passwords("redis://:it's@host:1/0") == "redis://:***@host:1/0"


@pytest.mark.parametrize("option", ["password", "sslpassword", "ssl_password"])
def test_passwords_among_the_options_of_a_url_are_masked(option: str) -> None:
    url = f"rediss://host:1/0?a=b&{option}=it's-S3cret&c=d"
    assert mask_url_passwords(url) == f"rediss://host:1/0?a=b&{option}=***&c=d"
    told = Masker([url]).mask(f"wrong pass it's-S3cret of {url}")
    assert told == f"wrong pass *** of rediss://host:1/0?a=b&{option}=***&c=d"


@pytest.mark.parametrize("password", ODD_PASSWORDS)
@pytest.mark.parametrize("variable", ["POSTGRESQL_PASSWORD", "CELERY_BROKER_URL", "IBUTSU_TASKS_FLOWER_URL"])
def test_a_secret_of_the_settings_is_masked_in_every_spelling(variable: str, password: str) -> None:
    values = {
        "POSTGRESQL_PASSWORD": password,
        "CELERY_BROKER_URL": f"redis://me:{password}@h:1/0",
        "IBUTSU_TASKS_FLOWER_URL": f"http://me:{password}@h:1",
    }
    settings = load_settings(environ={variable: values[variable]})
    spellings = (
        password,
        quote(password),
        quote(password, safe=""),
        repr(password),
        str({"password": password}),
    )
    for spelling in spellings:
        told = settings.mask(f"no {spelling} here, nor x{spelling}y")
        assert "S3cret" not in told, spelling
        assert told.startswith("no ")
    shown = [settings.shown(name) for name in ("broker_url", "flower_url", "postgresql_password")]
    assert "S3cret" not in str(shown)


@pytest.mark.parametrize("password", ["p://S3cret", "redis://S3cret", "://:S3cret@"])
def test_a_password_that_looks_like_a_url_is_none(password: str) -> None:
    settings = load_settings(environ={"POSTGRESQL_PASSWORD": password, "FLOWER_BASIC_AUTH": f"me:{password}"})
    assert "S3cret" not in settings.mask(f"no {password} here")
    assert "S3cret" not in str([settings.shown("postgresql_password"), settings.shown("flower_basic_auth")])


def test_an_ordinary_word_as_password_leaves_other_words_whole() -> None:
    settings = load_settings(environ={"POSTGRESQL_PASSWORD": "ibutsu"})
    assert settings.mask("ibutsu_tasks says 'ibutsu' is wrong") == "ibutsu_tasks says '***' is wrong"


@pytest.mark.parametrize("formatter", [TextFormatter, partial(JsonFormatter, role="worker")])
def test_log_lines_hide_what_they_are_told_to(formatter: Callable[..., logging.Formatter]) -> None:
    mask = load_settings(environ={"CELERY_BROKER_URL": "redis://:it's-S3cret@h/0"}).mask
    error = (ValueError, ValueError("it's-S3cret"), None)
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "AUTH it's-S3cret failed", None, error)
    line = formatter(mask).format(record)
    assert "S3cret" not in line
    assert "***" in line
