"""What `queues` does and shows: what waits in each queue, by priority, and who consumes it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from ibutsu_tasks.broker.failures import unreachable
from ibutsu_tasks.broker.layout import PRIORITY_STEPS, queue_names
from ibutsu_tasks.broker.workers import ask_workers
from ibutsu_tasks.cli.output.formats import NO_VALUE, format_seconds, plain
from ibutsu_tasks.cli.output.result import Note, Result, Table
from ibutsu_tasks.metrics.broker import BrokerNumbers, BrokerReader
from ibutsu_tasks.packages import HIGHEST_PRIORITY, loaded
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ibutsu_tasks.cli.state import CliState


def _priorities(step: int) -> str:
    """Name the priorities, 9 first, that Redis' transport keeps in one list."""
    following = [one for one in PRIORITY_STEPS if one > step]
    highest, lowest = HIGHEST_PRIORITY - step, HIGHEST_PRIORITY - min(following, default=step + 1) + 1
    return str(highest) if highest == lowest else f"{highest}-{lowest}"


PRIORITIES = {step: _priorities(step) for step in PRIORITY_STEPS}


class Row(NamedTuple):
    """One queue. `declared_by` are names of task packages, `oldest_seconds` is None where nothing waits."""

    queue: str
    waiting: Mapping[str, int]
    oldest_seconds: float | None
    consumers: tuple[str, ...]
    declared_by: tuple[str, ...]


def show(state: CliState) -> Result:
    """Give every queue that is declared, consumed or has messages. Raises BrokerUnreachableError."""
    url = state.settings.require_broker()
    with closing(Resources(state.settings, "queues")) as resources:
        try:
            numbers = BrokerReader(resources.redis, state.settings.consumed_queues).read()
            answers = ask_workers(url, ["active_queues"])
        except (RedisError, KombuError, OSError) as error:
            raise unreachable(error, url) from error
    consumers: dict[str, list[str]] = {}
    for reply in answers.replies:
        for node, queues in reply.items():
            for queue in queue_names(queues):
                consumers.setdefault(queue, []).append(str(node))
    rows = [_row(queue, numbers, consumers) for queue in _all_queues(numbers, consumers)]
    number = counted(numbers.held, "message")
    held = f"Workers hold {number}: those that run, are fetched or wait for their time."
    data = {"queues": [_as_json(row) for row in rows], "held": numbers.held, "silent_workers": answers.silent}
    notes = [Note(note) for note in _notes(rows, answers.silent)]
    return Result(data, [_table(rows), held, *notes])


def _all_queues(numbers: BrokerNumbers, consumers: Mapping[str, object]) -> list[str]:
    with_messages = (queue for (queue, _), depth in numbers.depths.items() if depth)
    return list(dict.fromkeys((*loaded().queues, *sorted(consumers), *sorted(with_messages))))


def _row(queue: str, numbers: BrokerNumbers, consumers: Mapping[str, list[str]]) -> Row:
    since = numbers.waiting_since.get(queue)
    return Row(
        queue,
        {PRIORITIES[step]: numbers.depths.get((queue, step), 0) for step in PRIORITY_STEPS},
        None if since is None else max(numbers.now - since, 0),
        tuple(sorted(consumers.get(queue, ()))),
        tuple(one.name for one in loaded().packages if queue in {each.name for each in one.queues}),
    )


def _as_json(row: Row) -> dict[str, Any]:
    return row._asdict() | {"waiting": sum(row.waiting.values()), "by_priority": row.waiting}


def _table(rows: list[Row]) -> Table:
    priorities = list(PRIORITIES.values())
    columns = ["queue", "waiting", *priorities, "oldest", "consumers", "declared by"]
    cells = [
        [
            plain(row.queue),
            f"{sum(row.waiting.values()):,}",
            *(f"{row.waiting[one]:,}" if row.waiting[one] else NO_VALUE for one in priorities),
            format_seconds(row.oldest_seconds),
            str(len(row.consumers)) if row.consumers else "[yellow]0[/]",
            plain(", ".join(row.declared_by)) or NO_VALUE,
        ]
        for row in rows
    ]
    return Table(columns, cells, right=["waiting", *priorities, "oldest", "consumers"])


def _notes(rows: list[Row], silent: int) -> Iterator[str]:
    unread = [row.queue for row in rows if sum(row.waiting.values()) and not row.consumers]
    if silent:
        yield f"[yellow]{counted(silent, 'worker')} did not answer;[/] what they consume is not counted."
    elif unread:
        start = plain(f"ibutsu-tasks worker --queues {','.join(unread)}")
        yield f"[yellow]Nobody consumes {plain(', '.join(unread))}.[/] Start `{start}`."
    strange = [row.queue for row in rows if not row.declared_by]
    if strange:
        yield f"No task package declares {plain(', '.join(strange))}."
    yield "Priority 9 comes first; messages without one count as 9. Redis keeps some priorities in one list."
