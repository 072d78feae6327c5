from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from ibutsu_tasks.doctor import examine
from ibutsu_tasks.doctor.codes import Severity
from ibutsu_tasks.settings import load_settings
from tests.doors import forwarding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.doctor.report import Finding

SECRET = "s3cret-Pa55"


class Diagnose(Protocol):
    def __call__(self, check: str, **values: Any) -> Finding: ...


@pytest.fixture
def diagnose() -> Diagnose:
    """Run one check and give its one finding, after what holds for every finding has been asserted."""

    def run(check: str, **values: Any) -> Finding:
        report = examine(load_settings(values, environ={}), [check])
        [found] = [item for item in report.findings if item.check == check]
        assert SECRET not in str(report.as_json())
        assert bool(found.hint) is (found.severity in {Severity.FAILURE, Severity.WARNING})
        return found

    return run


@pytest.fixture
def valkey_port(broker_url: str) -> Iterator[int]:
    """The embedded Valkey by TCP."""
    with forwarding(Path(urlsplit(broker_url).path)) as port:
        yield port


@pytest.fixture
def postgresql_port(database_url: str) -> Iterator[int]:
    """The embedded PostgreSQL by TCP."""
    directory = Path(str(make_url(database_url).query["host"]))
    with forwarding(directory / ".s.PGSQL.5432") as port:
        yield port


@pytest.fixture
def log_in_rules(database_url: str) -> Iterator[str]:
    """Make users of which one needs a password and one is shut out; yields the database's name."""
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        rules = Path(connection.scalar(text("show hba_file")) or "")
        before = rules.read_text(encoding="utf-8")
        connection.execute(text(f"create role doctor_password login password '{SECRET}'"))
        connection.execute(text("create role doctor_barred login"))
        rules.write_text(
            "local all doctor_password scram-sha-256\nlocal all doctor_barred reject\n" + before,
            encoding="utf-8",
        )
        _reload(connection)
        yield str(engine.url.database)
        rules.write_text(before, encoding="utf-8")
        _reload(connection)
        for role in ("doctor_password", "doctor_barred"):
            connection.execute(text(f"drop owned by {role}"))
            connection.execute(text(f"drop role {role}"))
    engine.dispose()


def _reload(connection: Any) -> None:
    # The server re-reads its files when the signal reaches it, so ask it until it has.
    loaded = connection.scalar(text("select pg_conf_load_time()"))
    connection.execute(text("select pg_reload_conf()"))
    for _ in range(100):
        if connection.scalar(text("select pg_conf_load_time()")) != loaded:
            return
        connection.execute(text("select pg_sleep(0.05)"))
