from __future__ import annotations

import ssl

import pytest
from redis import Redis

from ibutsu_tasks.broker import client_url, describe, tls_options
from ibutsu_tasks.settings import load_settings


@pytest.mark.parametrize(
    ("celerys", "redis_pys"),
    [
        ("redis://:pw@host:6379/1", "redis://:pw@host:6379/1"),
        ("redis+socket:///run/a%20b/v.sock?virtual_host=2", "unix:///run/a%20b/v.sock?db=2"),
        ("redis+socket://:pw@/run/v.sock", "unix://:pw@/run/v.sock"),
        ("rediss://host/0?ssl_cert_reqs=CERT_REQUIRED", "rediss://host/0?ssl_cert_reqs=required"),
        ("rediss://host/0?ssl_cert_reqs=none", "rediss://host/0?ssl_cert_reqs=none"),
        ("redis://one:1/0;redis://two:2/0", "redis://one:1/0"),
    ],
)
def test_celerys_urls_are_translated_to_redis_pys(celerys: str, redis_pys: str) -> None:
    assert client_url(celerys) == redis_pys
    Redis.from_url(client_url(celerys)).close()


def test_a_semicolon_in_a_password_separates_no_urls() -> None:
    url = load_settings(environ={"CELERY_BROKER_URL": "redis://:a;b@host:6379/0"}).require_broker()
    assert client_url(url) == "redis://:a%3Bb@host:6379/0"


def test_a_description_has_no_credentials() -> None:
    assert describe("redis://user:pw@host/3") == "host:6379/3"
    assert describe("redis+socket:///run/a%20b/v.sock?virtual_host=2") == "/run/a b/v.sock"


@pytest.mark.parametrize(
    ("url", "is_bare"),
    [
        ("rediss://h/0", True),
        ("REDISS://h/0", True),
        ("rediss://:ssl_cert_reqs@h/0?client_name=x", True),
        ("rediss://h/0?ssl_cert_reqs=none", False),
        ("redis://h/0", False),
    ],
)
def test_certificates_are_checked_unless_the_url_says_otherwise(url: str, is_bare: bool) -> None:
    assert tls_options(url) == ({"ssl_cert_reqs": ssl.CERT_REQUIRED} if is_bare else None)
