"""How messages that were set aside look: in a list, and one of them whole. No secret is shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.cli.output.formats import NO_VALUE, format_bytes, plain, shorten
from ibutsu_tasks.cli.output.result import Note, Table
from ibutsu_tasks.settings.named_secrets import mask_in_text, mask_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ibutsu_tasks.cli.output.result import Block
    from ibutsu_tasks.delivery.dead.quarantine import DeadMessage

SHORTEST_ID = 8
MAX_NAME_CHARS = 40
MAX_RAW_CHARS = 2000
"""Of garbage, in text; `--json` has all of it."""

_SAID_BY_ARGUMENTS = {"argsrepr", "kwargsrepr"}


def as_json(dead: DeadMessage) -> dict[str, Any]:
    """Give what a list says of one, as JSON values."""
    content = dead.content
    known = {"id": dead.id, "at": dead.at, "queue": dead.queue, "reason": mask_in_text(dead.reason)}
    return known | {"task": content.task, "about": content.about} | dict(dead.facts)


def details(dead: DeadMessage) -> dict[str, Any]:
    """Give everything that is known of one, as JSON values; of a message itself what can be read of it."""
    content, message = dead.content, dead.message or {}
    known = as_json(dead) | {"task_id": content.task_id, "size_bytes": len(dead.raw)}
    known |= {"obstacle": dead.obstacle}
    if not content.has_arguments:
        return known | {"message": mask_in_text(dead.raw.decode(errors="backslashreplace"))}
    headers = {name: one for name, one in message["headers"].items() if name not in _SAID_BY_ARGUMENTS}
    known |= {"args": mask_named(content.args), "kwargs": mask_named(content.kwargs)}
    return known | {"options": _given(content.options), "headers": _given(headers)}


def _given(fields: Mapping[str, Any]) -> Any:
    return mask_named({name: value for name, value in fields.items() if value is not None})


def list_blocks(dead: Sequence[DeadMessage]) -> Iterator[Block]:
    """Give the table of them, and what to do next."""
    if not dead:
        yield Note("No message was set aside.")
        return
    shown = shortest_ids([one.id for one in dead])
    columns = ["id", "set aside (UTC)", "task", "about", "reason"]
    rows = [[plain(shown[one.id]), *_cells(one)] for one in dead]
    yield Table(columns, rows, fold=["reason"], heads=2)
    yield Note("[dim]`ibutsu-tasks dead show ID` says more; `retry` sends again, `drop` throws away.[/]")


def _cells(dead: DeadMessage) -> list[str]:
    content = dead.content
    task, about = (content.task or NO_VALUE).rpartition(".")[2], content.about or NO_VALUE
    names = (shorten(one, MAX_NAME_CHARS) for one in (task, about))
    return [plain(text) for text in (_moment(dead.at), *names, mask_in_text(dead.reason))]


def _moment(at: str) -> str:
    return at.replace("T", " ")[:16]


def shortest_ids(ids: Sequence[str]) -> dict[str, str]:
    """Give by each id the shortest beginning that is this id's alone."""
    # In order, the ids it has most in common with are beside it.
    ordered = sorted(ids)
    beside = zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False)
    return {one: one[: _own_length(one, before, after)] for before, one, after in beside}


def _own_length(one: str, *others: str) -> int:
    return max(SHORTEST_ID, 1 + max(_common_length(one, other) for other in others))


def _common_length(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))


def detail_blocks(facts: Mapping[str, Any]) -> Iterator[Block]:
    """Give one of them line by line."""
    told = {name: _as_text(name, value) for name, value in facts.items() if value not in (None, {}, [])}
    width = max(map(len, told))
    for name, text in told.items():
        shown = name.removesuffix("_bytes").replace("_", " ")
        yield f"[bold]{shown:{width}}[/]  {plain(text)}"
    if facts["obstacle"]:
        yield Note("[dim]It cannot be sent again as it is; `ibutsu-tasks dead drop` throws it away.[/]")


def _as_text(name: str, value: Any) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return format_bytes(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if name == "message" and len(text) > MAX_RAW_CHARS:
        return f"{text[:MAX_RAW_CHARS]}… (--json shows all)"
    return text
