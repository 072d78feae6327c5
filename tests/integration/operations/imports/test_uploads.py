"""An upload leaves the rows and the message that the API server leaves."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from kombu.utils.json import dumps
from sqlalchemy import func, select

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.database.models import Import, ImportFile
from ibutsu_tasks.ibutsu.importers.reading import MAX_CONTENT_BYTES
from ibutsu_tasks.ibutsu.operations.imports.records import read_outcomes
from ibutsu_tasks.ibutsu.operations.imports.uploads import message_of, store_upload
from ibutsu_tasks.ibutsu.wire_names import RUN_ARCHIVE_IMPORT, RUN_JUNIT_IMPORT
from tests.factories import make_import, make_project, make_run

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

JUNIT = b'<testsuite name="s"><testcase name="t"/></testsuite>'


def test_rows_and_message_of_an_upload(session: Session) -> None:
    project = make_project(session)
    stored = store_upload(
        session, "a.xml", JUNIT, project_id=project.id, metadata={"env": "stage"}, source="ci"
    )
    session.commit()

    row = session.get_one(Import, stored.import_id)
    assert (row.filename, row.format, row.status) == ("a.xml", "", "pending")
    assert row.data == {"project_id": str(project.id), "metadata": {"env": "stage"}, "source": "ci"}
    assert session.execute(select(ImportFile.import_id, ImportFile.content)).one() == (row.id, JUNIT)
    assert stored.wire_name == RUN_JUNIT_IMPORT
    assert stored.message == message_of(row)


def test_message_is_byte_for_byte_the_server_s() -> None:
    row = Import(
        id=UUID(int=1),
        filename="a.xml",
        format="",
        status="pending",
        created=datetime(2026, 11, 21, 6, 9, 29, 950940),  # noqa: DTZ001
        data={"metadata": None},
    )
    assert dumps(message_of(row)) == (
        '{"id": "00000000-0000-0000-0000-000000000001", "filename": "a.xml", "format": "", '
        '"status": "pending", '
        '"created": {"__type__": "datetime", "__value__": "2026-11-21T06:09:29.950940"}, '
        '"metadata": {"metadata": null}}'
    )


def test_file_is_streamed_and_its_content_names_the_task(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "results.xml"
    path.write_bytes(b"\x1f\x8b" + bytes(5_000_000))
    stored = store_upload(session, "results.xml", path)
    assert stored.wire_name == RUN_ARCHIVE_IMPORT
    assert session.scalar(select(func.octet_length(ImportFile.content))) == 5_000_002


@pytest.mark.parametrize(
    ("filename", "wire_name"),
    [("a.tar.gz", RUN_ARCHIVE_IMPORT), ("A.TGZ", RUN_ARCHIVE_IMPORT), ("a.html", RUN_JUNIT_IMPORT)],
)
def test_what_nobody_can_import_is_left_to_its_import(
    session: Session, filename: str, wire_name: str
) -> None:
    assert store_upload(session, filename, b"").wire_name == wire_name


def test_file_beyond_what_postgresql_holds_is_refused(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "huge.xml"
    with path.open("wb") as file:
        file.truncate(MAX_CONTENT_BYTES + 1)
    with pytest.raises(InvalidImportError, match=r"huge.xml has 1,000,000,001 bytes"):
        store_upload(session, "huge.xml", path)


def test_file_that_cannot_be_read_is_refused(session: Session, tmp_path: Path) -> None:
    with pytest.raises(InvalidImportError, match=r"gone.xml cannot be read: No such file or directory"):
        store_upload(session, "gone.xml", tmp_path / "gone.xml")


def test_odd_names_are_stored(session: Session) -> None:
    stored = store_upload(session, "a\udcff\0.xml", JUNIT, metadata={"k": float("nan")})
    session.commit()
    row = session.get_one(Import, stored.import_id, populate_existing=True)
    assert (row.filename, row.data) == ("a\ufffd\ufffd.xml", {"metadata": {"k": None}})


def test_outcomes_come_in_the_order_asked_for(session: Session) -> None:
    run = make_run(session, summary={"tests": 2}, duration=1.5)
    done = make_import(session, None, status="done", data={"run_id": [str(run.id)], "warnings": ["odd"]})
    failed = make_import(session, b"", status="error", data={"error": "It is empty."}, filename="b.xml")
    waiting = make_import(session, b"", data=None)
    gone = UUID(int=5)

    outcomes = read_outcomes(session, [waiting.id, gone, failed.id, done.id])

    assert [one.status for one in outcomes] == ["pending", None, "error", "done"]
    assert [one.has_ended for one in outcomes] == [False, True, True, True]
    assert (outcomes[2].filename, outcomes[2].error, outcomes[2].run_id) == ("b.xml", "It is empty.", None)
    last = outcomes[3]
    assert (last.run_id, last.summary, last.duration_seconds) == (run.id, {"tests": 2}, 1.5)
    assert last.warnings == ("odd",)


def test_what_no_summary_and_no_duration_is_counts_as_none(session: Session) -> None:
    run = make_run(session, summary=["odd"], duration=math.nan)
    row = make_import(session, None, status="done", data={"run_id": [str(run.id)]})
    (outcome,) = read_outcomes(session, [row.id])
    assert (outcome.run_id, outcome.summary, outcome.duration_seconds) == (run.id, None, None)
