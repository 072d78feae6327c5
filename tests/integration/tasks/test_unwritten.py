"""What is kept of imports whose failure the database did not take, as some other program may have left it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.layout import UNWRITTEN
from ibutsu_tasks.ibutsu.tasks.unwritten import write_all
from tests import factories

if TYPE_CHECKING:
    import pytest
    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources


def test_what_names_no_import_keeps_no_other_from_being_written(
    resources: Resources, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    row = factories.make_import(session, b"")
    session.commit()
    kept = {"a": "b", b"\xff": b"\xff" * 9_000, str(row.id): b"too \xff late"}
    resources.redis.hset(UNWRITTEN, mapping=kept)  # type: ignore[arg-type]  # bytes are taken as well
    with caplog.at_level(logging.WARNING):
        write_all(resources)
    session.refresh(row)
    assert (row.status, row.data["error"]) == ("error", "too \ufffd late")
    assert not resources.redis.exists(UNWRITTEN)
    assert caplog.text.count("is the id of no import") == 2
    assert len(caplog.text) < 2_000
