"""What is kept of messages that will not be carried out, as some other program may have left it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.layout import GAVE_UP
from ibutsu_tasks.ibutsu.wire_names import RUN_JUNIT_IMPORT
from ibutsu_tasks.sending.background import build_local_app
from ibutsu_tasks.tasks.endings import tell_all
from tests import factories

if TYPE_CHECKING:
    import pytest
    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources
    from ibutsu_tasks.settings import Settings


def record(**fields: object) -> str:
    return json.dumps({"task": RUN_JUNIT_IMPORT, "args": [], "kwargs": {}, "reason": "It was."} | fields)


def test_what_is_no_record_keeps_no_task_from_being_told(
    settings: Settings, resources: Resources, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    build_local_app(settings)
    row = factories.make_import(session, b"")
    session.commit()
    kept = {
        "a": b"\xff" * 9_000,
        b"\xff": "[]",
        "b": record(args=7),
        "c": record(kwargs=[1]),
        "d": "{}",
        "e": record(),  # names no import
        "f": record(task="of another package"),
        "g": record(args=[{"id": str(row.id)}]),
    }
    resources.redis.hset(GAVE_UP, mapping=kept)  # type: ignore[arg-type]  # bytes are taken as well
    with caplog.at_level(logging.WARNING):
        tell_all(resources)
    session.refresh(row)
    assert (row.status, row.data["error"]) == ("error", "The import was.")
    assert resources.redis.hkeys(GAVE_UP) == [b"f"]
    assert caplog.text.count("is no record of ours") == 5
    assert caplog.text.count("has no import to end") == 1
    assert len(caplog.text) < 3_000
