"""`ibutsu-tasks imports`: lost imports are named, sent again or left, each with its reason."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ibutsu_tasks.broker.connection import build_client
from tests.commands import run, run_here, services
from tests.factories import make_import, utc_now
from tests.sample_files import JUNIT

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ibutsu_tasks.settings import Settings

STUCK = ("imports", "requeue", "--stuck")


@pytest.mark.parametrize("arguments", [(), ("--stuck", str(UUID(int=1)))])
def test_ids_or_stuck(arguments: tuple[str, ...]) -> None:
    done = run_here("imports", "requeue", *arguments)
    assert done.returncode == 2
    assert "Name the IDs of imports, or give --stuck" in done.stderr


def test_what_is_no_id_is_refused() -> None:
    done = run_here("imports", "requeue", "x")
    assert done.returncode == 2
    assert "imports requeue needs the id of an import" in done.stderr


def test_stuck_imports_are_shown_sent_and_then_waited_for(settings: Settings, session: Session) -> None:
    env = services(settings.require_broker(), settings.require_database())
    assert "No import is stuck." in run(*STUCK, env=env).stderr
    row = make_import(session, JUNIT, created=utc_now() - timedelta(minutes=11))
    failed = make_import(session, JUNIT, status="error", data={"error": "It was revoked."})
    session.commit()
    with build_client(settings.require_broker()) as client:
        shown = run(*STUCK, "--dry-run", env=env)
        assert shown.returncode == 0, shown.stderr
        assert "would be" in shown.stdout
        assert client.llen("celery") == 0

        sent = run(*STUCK, "--json", env=env)
        document = json.loads(sent.stdout)
        assert (document["sent"], document["left"], document["dry_run"]) == (1, 0, False)
        reason = "its message was nowhere."
        assert document["imports"] == [{"id": str(row.id), "fate": "sent again", "reason": reason}]
        assert client.llen("celery") == 1

        both = run("imports", "requeue", str(row.id), str(failed.id), env=env)
        assert both.returncode == 1
        assert "it waits in a queue." in both.stdout
        assert client.llen("celery") == 2
    session.refresh(failed)
    assert (failed.status, failed.data) == ("pending", {})
