"""What the metrics read of a real PostgreSQL."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.ibutsu import metrics as of_ibutsu
from ibutsu_tasks.metrics import database
from ibutsu_tasks.metrics.database import DatabaseReader
from ibutsu_tasks.metrics.fleet import Fleet
from ibutsu_tasks.packages import choose
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.settings import load_settings, setting_rows
from tests.factories import make_import
from tests.packaged import declare, write_module

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session


IMPORTS = "ibutsu_tasks_imports"


def read(reader: DatabaseReader) -> dict[str, float]:
    samples = [sample for metric in reader.read() for sample in metric.samples]
    return {" ".join((sample.name, *sample.labels.values())): sample.value for sample in samples}


def test_imports_are_counted_by_status(resources: Resources, session: Session) -> None:
    old = utc_now() - timedelta(hours=1)
    for status, created in (("pending", old), ("pending", utc_now()), ("running", old), ("done", old)):
        make_import(session, b"", status=status, created=created)
    session.commit()
    numbers = read(DatabaseReader(resources))
    for status, number in {"pending": 2, "running": 1, "done": 1, "error": 0}.items():
        assert numbers[f"{IMPORTS} {status}"] == number
    assert numbers[f"{IMPORTS}_stuck"] == 2
    assert numbers["ibutsu_tasks_database_size_bytes"] > 1_000_000


def test_what_is_counted_is_kept_and_bounded(
    resources: Resources, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_ibutsu, "MOST_IMPORTS", 3)
    reader = DatabaseReader(resources)
    for number in range(5):
        make_import(session, b"", status="done")
        session.commit()
        if not number:
            assert read(reader)[f"{IMPORTS} done"] == 1
    assert read(reader)[f"{IMPORTS} done"] == 1
    assert read(DatabaseReader(resources))[f"{IMPORTS} done"] == 3


def test_a_count_that_takes_too_long_is_missing_and_the_database_is_there(
    resources: Resources, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LIMIT", text("set local statement_timeout = '0.1s'"))
    with engine.begin() as connection:
        connection.execute(text("lock table imports in access exclusive mode"))
        page = Fleet(resources).text()
    assert 'ibutsu_tasks_up{service="database"} 1.0' in page
    assert "ibutsu_tasks_imports{" not in page


def test_a_database_without_the_tables_is_down_in_one_sentence(
    empty_database_url: str, broker_url: str
) -> None:
    settings = load_settings({"broker_url": broker_url, "database_url": empty_database_url}, environ={})
    with closing(Resources(settings, "test")) as resources:
        fleet = Fleet(resources)
        for _ in range(2):
            assert "is not as it should be" in fleet.scrape().failures["database"]


def test_what_a_package_raises_keeps_no_other_number_back(
    resources: Resources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, "odd_numbers.functions", "def read(*_): raise KeyError('no luck')\n")
    names = (f"{part}_metrics='odd_numbers.functions:read'" for part in ("broker", "database"))
    declare(tmp_path, "odd_numbers", ", ".join(names))
    choose(("odd_numbers.package",), (), setting_rows().values())
    fleet = Fleet(resources)
    with closing(Resources(resources.settings, "test")) as others:
        pages = [fleet.text(), fleet.text(), Fleet(others).text()]
    for page in pages:
        assert 'ibutsu_tasks_up{service="broker"} 1.0' in page
        assert "ibutsu_tasks_prune_last_success_timestamp_seconds{" in page
        assert "ibutsu_tasks_imports{" in page
    told = "The numbers of the package odd_numbers are missing: KeyError('no luck')"
    assert caplog.messages.count(told) == 4
