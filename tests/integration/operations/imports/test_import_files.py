"""The content of uploads is read in slices and dropped on request."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from ibutsu_tasks.ibutsu.database import copying
from ibutsu_tasks.ibutsu.database.models import ImportFile
from ibutsu_tasks.ibutsu.operations.imports.content import clear_content, open_content
from tests.factories import make_import

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@pytest.mark.parametrize("size_bytes", [0, 1, 99, 100, 101, 1000])
def test_slices_add_up_to_the_content(
    session: Session, monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    monkeypatch.setattr(copying, "SLICE_BYTES", 100)
    stored = os.urandom(size_bytes)
    row = make_import(session, stored)
    with open_content(session, row.id, small_bytes=50, in_memory_bytes=250) as content:
        assert content is not None
        assert content.tell() == 0
        assert content.read() == stored


def test_content_that_is_gone_is_none(session: Session) -> None:
    for import_id in (make_import(session, None).id, uuid4()):
        with open_content(session, import_id) as content:
            assert content is None


def test_answers_of_clearing_are_those_of_the_ibutsu_server(session: Session) -> None:
    row = make_import(session, b"12345", status="done")
    assert clear_content(session, str(row.id)) == f"Cleared 5 bytes from import_file for import {row.id}"
    assert session.scalars(select(ImportFile.content)).all() == [None]
    assert clear_content(session, str(row.id)) == f"No content to clear for import {row.id}"


@pytest.mark.parametrize("status", ["pending", "running", "error"])
def test_content_still_needed_stays(session: Session, status: str) -> None:
    row = make_import(session, b"12345", status=status)
    assert clear_content(session, str(row.id)) == f"Import {row.id} status is {status}, not clearing content"
    assert session.scalars(select(ImportFile.content)).all() == [b"12345"]


@pytest.mark.parametrize("import_id", [str(UUID(int=1)), "no-uuid", "", None, 5])
def test_unknown_import_is_not_found(session: Session, import_id: Any) -> None:
    assert clear_content(session, import_id) == f"Import {import_id} not found"
