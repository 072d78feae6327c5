from __future__ import annotations

import pytest

from ibutsu_tasks.broker.connection import build_client, celery_options, celery_url, describe
from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.settings import load_settings

OPTIONS = "health_check_interval=30&socket_timeout=2.5&max_connections=20&db=3&retry_on_timeout=true"


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("redis://:pw@host:6379/1", "redis://:pw@host:6379/1"),
        ("redis://host", "redis://host:6379/0"),
        ("redis://me@host", "redis://me@host:6379/0"),
        ("redis://[::1]:1/0?db=3", "redis://[::1]:1/3"),
        ("redis://host/3?db=3", "redis://host:6379/3"),
        ("redis://:pw@h?password=", "redis://:pw@h:6379/0"),
        ("redis://h?username=me&password=p%2Fw", "redis://me:p%2Fw@h:6379/0"),
        (
            "redis+socket:///run/a%20b/v.sock?virtual_host=2",
            "redis+socket:///run/a%20b/v.sock?virtual_host=2",
        ),
        ("redis+socket://:pw@/run/v.sock?db=1", "redis+socket://:pw@/run/v.sock?virtual_host=1"),
        ("REDISS://host/0?ssl_cert_reqs=CERT_NONE", "rediss://host:6379/0"),
    ],
)
def test_celery_is_given_urls_without_options(url: str, bare: str) -> None:
    assert celery_url(load_settings(environ={"CELERY_BROKER_URL": url}).require_broker()) == bare


def test_options_are_typed_and_win_where_they_may() -> None:
    url = f"redis://h/0?{OPTIONS}"
    options = celery_options(url, 30)
    assert options["health_check_interval"] == 30
    assert options["socket_timeout"] == 2.5
    assert options["max_connections"] == 20
    assert options["retry_on_timeout"] is True
    assert celery_options(url, 1, at_most=True)["socket_timeout"] == 1
    with build_client(url, 1) as client:
        pool = client.connection_pool
        assert pool.max_connections == 20
        assert pool.connection_kwargs["db"] == 3
        assert pool.connection_kwargs["socket_timeout"] == 1


def test_a_semicolon_in_a_password_separates_no_urls() -> None:
    url = load_settings(environ={"CELERY_BROKER_URL": "redis://:a;b@host:6379/0"}).require_broker()
    assert celery_url(url) == "redis://:a%3Bb@host:6379/0"


def test_a_description_has_no_credentials() -> None:
    assert describe("redis://user:pw@host/3") == "host:6379/3"
    assert describe("redis+socket:///run/a%20b/v.sock?virtual_host=2") == "/run/a b/v.sock"


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("rediss://h/0", "required"),
        ("REDISS://h/0", "required"),
        ("rediss://:ssl_cert_reqs=none@h/0?client_name=x", "required"),
        ("rediss://:x?ssl_cert_reqs=none@h/0", "required"),
        ("rediss://h/0?client_name=ssl_cert_reqs=none", "required"),
        ("rediss://h/0?ssl_cert_reqs=none", "none"),
        ("rediss://h/0?ssl_cert_reqs=CERT_NONE", "none"),
        ("redis://h/0", None),
    ],
)
def test_certificates_are_checked_unless_the_url_says_otherwise(url: str, checked: str | None) -> None:
    settings = load_settings(environ={"CELERY_BROKER_URL": url})
    conf = create_broker_celery_app(settings=settings).conf
    tls = {"ssl_cert_reqs": checked} if checked else None
    assert (conf.broker_use_ssl or None, conf.redis_backend_use_ssl or None) == (tls, tls)
    with build_client(settings.require_broker()) as client:
        assert client.connection_pool.connection_kwargs.get("ssl_cert_reqs") == checked
