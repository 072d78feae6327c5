"""A worker on real servers, spoken to in the bytes of the API server."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import func, select

from ibutsu_tasks.ibutsu.database.models import Import, Run
from tests.commands import Running, until

if TYPE_CHECKING:
    from redis import Redis
    from sqlalchemy.orm import Session

PREFIX = "ibutsu_server.tasks."


def message_text(task: str, *args: str, **kwargs: str) -> tuple[str, str]:
    """Give a task's id and its message in the bytes of Celery's protocol 2; values are JSON text."""
    task_id = str(uuid4())
    keywords = ", ".join(f'"{name}": {value}' for name, value in kwargs.items())
    embed = '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'
    body = f"[[{', '.join(args)}], {{{keywords}}}, {embed}]"
    headers = {"lang": "py", "task": PREFIX + task, "id": task_id, "root_id": task_id, "retries": 0}
    headers |= {"timelimit": [None, None], "argsrepr": "()", "kwargsrepr": "{}", "origin": "gen1@api"}
    unset = ("shadow", "eta", "expires", "group", "group_index", "parent_id")
    properties = {"correlation_id": task_id, "reply_to": str(uuid4()), "delivery_tag": str(uuid4())}
    message = {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers | dict.fromkeys(unset) | {"ignore_result": False},
        "properties": properties
        | {"delivery_info": {"exchange": "", "routing_key": "celery"}, "body_encoding": "base64"}
        | {"delivery_mode": 2, "priority": 0},
    }
    return task_id, json.dumps(message)


class System:
    """A worker on servers of its own, spoken to as the API server does."""

    def __init__(self, client: Redis, session: Session, worker: Running) -> None:
        self.client = client
        self.worker = worker
        self.session = session

    def tests_of(self, run_id: UUID) -> int | None:
        """What the summary of a run counts now."""
        self.session.rollback()
        return (self.session.get_one(Run, run_id, populate_existing=True).summary or {}).get("tests")

    def publish(self, task: str, *args: str, **kwargs: str) -> str:
        """Put a message on the queue; values are JSON text. Give the task's id."""
        task_id, message = message_text(task, *args, **kwargs)
        self.client.lpush("celery", message)
        return task_id

    def outcome(self, task_id: str) -> dict[str, Any]:
        key = f"celery-task-meta-{task_id}"
        until(lambda: json.loads(self.client.get(key) or b"{}").get("status") in {"SUCCESS", "FAILURE"})
        return dict(json.loads(self.client.get(key) or b"{}"))

    def run(self, task: str, *args: str, **kwargs: str) -> Any:
        outcome = self.outcome(self.publish(task, *args, **kwargs))
        assert outcome.get("status") == "SUCCESS", outcome
        self.session.rollback()
        self.session.expire_all()
        return outcome["result"]

    def count(self, table: Any, *where: Any) -> int:
        return int(self.session.scalar(select(func.count()).select_from(table).where(*where)) or 0)


def import_message(row: Import) -> str:
    """The dict of the contract's section 1.1, as the API server's JSON spells it."""
    created = f'{{"__type__": "datetime", "__value__": "{row.created.isoformat()}"}}'
    return (
        f'{{"id": "{row.id}", "filename": "{row.filename}", "format": "", "status": "pending", '
        f'"created": {created}, "metadata": {json.dumps(row.data)}}}'
    )
