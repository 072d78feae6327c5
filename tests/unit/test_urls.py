"""A URL that is taken is one that every library behind it takes; one that is not, is a sentence."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg2.extensions import make_dsn
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.database.engine import place_of
from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.settings import load_settings, read_settings
from ibutsu_tasks.settings.redis_url import backend_url, broker_url
from ibutsu_tasks.settings.urls import _DATABASE_OPTIONS, database_url, web_url
from ibutsu_tasks.settings.values import UnusableError

if TYPE_CHECKING:
    from pathlib import Path

PIECES = st.sampled_from(
    [
        *("h", "user", "pw", ":", "@", "/", "?", "#", "[", "]", "::1", "%", "%zz", "%40", "=", "&", ";"),
        *("host", "port", "5432", "99999", "0", "-1", "sslmode", "require", "db", ",", " ", "\n", "é"),
    ]
)
PLACES = st.lists(PIECES, max_size=12).map("".join)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:secret@h/ibutsu", "h:5432 (database ibutsu)"),
        ("postgresql://h", "h:5432 (the default database of its user)"),
        ("postgresql://h?dbname=ibutsu", "h:5432 (database ibutsu)"),
        ("postgresql:///x?host=/run/postgresql", "/run/postgresql (database x)"),
        ("postgresql:///x?host=a:1&host=b:2", "a:1, b:2 (database x)"),
        ("postgresql:///x?host=a,b&port=1,2", "a,b (database x)"),
    ],
)
def test_the_place_of_a_database_in_words(url: str, place: str) -> None:
    assert place_of(url) == place


def dsn_of(url: str) -> str:
    """Give what SQLAlchemy would hand to libpq, which has looked at it; nothing connects."""
    engine = create_engine(make_url(url))
    arguments, words = engine.dialect.create_connect_args(engine.url)
    return make_dsn(*arguments, **words)


@given(PLACES)
@example(":")
@example("[::1]:/d")
@example("h1:1,h2:2/d")
@example("h/d?host=a:1&host=b")
@example("user@mail:pw@h/d")
def test_sqlalchemy_and_libpq_take_what_we_take(rest: str) -> None:
    with suppress(UnusableError):
        dsn_of(database_url(f"postgresql://{rest}"))


@pytest.mark.parametrize("name", _DATABASE_OPTIONS)
def test_libpq_knows_every_option(name: str) -> None:
    with suppress(psycopg2.ProgrammingError):
        psycopg2.extensions.parse_dsn(f"{name}=1")
        return
    pytest.fail(f"libpq {psycopg2.__libpq_version__} does not know {name}")


@given(PLACES, st.sampled_from(["redis", "rediss", "redis+socket", "REDISS"]))
@example("h/0?db=1&health_check_interval=1", "rediss")
def test_redis_and_celery_take_what_we_take(rest: str, scheme: str) -> None:
    with suppress(UnusableError):
        build_client(broker_url(f"{scheme}://{rest}")).close()


@given(PLACES)
def test_parts_of_a_database_make_a_url_that_is_taken(host: str) -> None:
    options = {"postgresql_host": host, "postgresql_database": host, "postgresql_password": host}
    uri = read_settings(options, environ={}).database_uri
    if uri:
        dsn_of(uri)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://us/er:pw@h/0", "Percent-encode"),
        ("redis://h/0#x", "holds a #"),
        ("redis://h /0", "holds a space"),
        ("redis://h/0?db", "without a value"),
        ("redis://h/0?soket_timeout=1", r"not known \(there is socket_timeout\): 'soket_timeout'"),
        ("redis://h/0?pass%77ord=x", "not known"),
        ("redis://h/0;redis://i/0", "several URLs"),
        ("redis://h/0?max_connections=1", "max_connections that must be at least 2"),
        ("redis://h/1?db=3", "two databases"),
        ("redis://h/1?db=0", "two databases"),
        ("redis://h/1?virtual_host=3", "two databases"),
        ("redis://h?db=1&db=3", "two databases"),
        ("redis+socket:///s?db=1&virtual_host=3", "two databases"),
        ("redis://:pw@h?password=pwd", "two passwords"),
        ("redis://me@h?username=you", "two users"),
    ],
)
def test_what_is_wrong_is_said(url: str, sentence: str) -> None:
    with pytest.raises(UnusableError, match=sentence) as caught:
        broker_url(url)
    assert "pw" not in str(caught.value)


def test_results_are_kept_in_one_place() -> None:
    with pytest.raises(UnusableError, match="several URLs"):
        backend_url("redis://h/0;redis://h/1")


def test_the_port_belongs_to_a_setting_of_its_own() -> None:
    with pytest.raises(SettingsError, match="the port has a setting of its own"):
        load_settings(environ={"POSTGRESQL_HOST": "h:5432"})


@pytest.mark.parametrize("url", ["redis://a..b/0", f"rediss://{'a' * 64}.example/0", "redis://.h:1/0"])
def test_a_host_that_no_lookup_takes_is_refused(url: str) -> None:
    with pytest.raises(UnusableError, match="cannot be a name"):
        broker_url(url)
    with pytest.raises(UnusableError, match="cannot be a name"):
        web_url(url.replace("redis", "http", 1).replace("https", "http"))


def test_flower_listens_on_a_host_that_a_lookup_takes() -> None:
    with pytest.raises(SettingsError, match="cannot be a name"):
        load_settings(environ={"FLOWER_ADDRESS": "a..b"})


@pytest.mark.parametrize(
    "host", ["my_redis", "redis.ns.svc.cluster.local.", "h\u00f6st", "[::1]", "10.0.0.1"]
)
def test_a_host_that_a_lookup_takes_is_taken(host: str) -> None:
    assert broker_url(f"redis://{host}:6379/0") == f"redis://{host}:6379/0"


def test_a_long_path_of_a_socket_is_no_name() -> None:
    database_url(f"postgresql://%2F{'d' * 90}/name")


@pytest.mark.parametrize("rest", ["u%00:p@h/n", "u:p%00@h/n", "h/n%00", "h/n?application_name=%00"])
def test_an_encoded_nul_is_refused(rest: str) -> None:
    with pytest.raises(UnusableError, match="NUL"):
        database_url(f"postgresql://{rest}")


@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_certificate_that_is_not_there_is_said_at_the_start(tmp_path: Path, name: str) -> None:
    file = tmp_path / "file.pem"
    with pytest.raises(UnusableError, match=f"has an option {name} that names no file that is there"):
        broker_url(f"rediss://h:1/0?{name}={file}")
    with pytest.raises(UnusableError, match="names no file that is there"):
        broker_url(f"rediss://h:1/0?{name}={tmp_path}/{'n' * 300}")
    file.touch()
    assert broker_url(f"rediss://h:1/0?{name}={file}")
