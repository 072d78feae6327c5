"""What a message says: its task, its arguments, and what it is about, however it was sent."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.delivery.dead.envelope import JSON
from ibutsu_tasks.packages import loaded

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class Content:
    """What could be read of a message; of one that is none, nothing."""

    task: str | None = None
    task_id: str | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Callbacks, errbacks, chain and chord."""
    has_arguments: bool = False
    """Whether its body could be read."""

    @property
    def about(self) -> str | None:
        """The id of what it is about, such as an import; None for what has none."""
        return next(iter(self.about_by_kind.values()), None)

    @property
    def about_by_kind(self) -> dict[str, str]:
        """The same as `import_id` or whatever the task's package calls it, for logs and traces."""
        subject = loaded().subjects.get(self.task or "")
        about = subject and subject.id_of(self.args, self.kwargs)
        return {subject.key: about} if subject and about else {}

    @property
    def subject(self) -> str:
        """The same for every message that asks for the same work, whatever its own id."""
        arguments = json.dumps([self.args, self.kwargs], sort_keys=True)
        what = self.about or hashlib.sha256(arguments.encode()).hexdigest()
        return f"{str(self.task)[:_MAX_NAME_CHARS]}:{what[:_MAX_NAME_CHARS]}"


def about_call(task: str, args: Any, kwargs: Any) -> dict[str, str]:
    """Give what a call of a task is about, as `about_by_kind`; nothing for arguments that are none."""
    said = args if isinstance(args, (list, tuple)) else ()
    return Content(task, args=tuple(said), kwargs=_as_kind(kwargs, dict)).about_by_kind


def content_of(message: Mapping[str, Any]) -> Content:
    """Read a message as it lies in Redis, of Celery's protocol 2 or 1. Never raises."""
    headers = message.get("headers")
    headers = headers if isinstance(headers, dict) else {}
    body = _body_of(message, headers)
    if isinstance(body, dict):
        said, parts, can_be_read = body, [body.get("args"), body.get("kwargs"), None], "task" in body
    else:
        can_be_read = isinstance(body, list) and len(body) == 3  # noqa: PLR2004 - args, kwargs, options
        said, parts = headers, body if can_be_read else [None, None, None]
    args, kwargs, options = (
        _as_kind(part, kind) for part, kind in zip(parts, (list, dict, dict), strict=True)
    )
    task, task_id = _text(said.get("task")), _text(said.get("id"))
    return Content(task, task_id, tuple(args), kwargs, options, has_arguments=can_be_read)


def _body_of(message: Mapping[str, Any], headers: Mapping[str, Any]) -> Any:
    if headers.get("compression") or message.get("content-type") != JSON:
        return None
    try:
        body = message["body"]
        if message["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body)
        return json.loads(body)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _as_kind(value: Any, kind: type[Any]) -> Any:
    return value if isinstance(value, kind) else kind()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
