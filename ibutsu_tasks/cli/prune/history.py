"""What `prune --history` does and shows."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ibutsu_tasks.broker.failures import unreachable
from ibutsu_tasks.cli.output.formats import format_bytes, format_moment, format_seconds, plain
from ibutsu_tasks.cli.output.result import Note, Result, Table
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.retention.history import SIGN_OF_LIFE_SECONDS, PruneState, read_history

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from ibutsu_tasks.cli.output.result import Block
    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.retention.history import PruneRecord

SHOWN_RECORDS = 20
TABLE_WIDTH = 80

COLOURS = {
    PruneState.RUNNING: "cyan",
    PruneState.DONE: "green",
    PruneState.FAILED: "bold red",
    PruneState.SKIPPED: "yellow",
    PruneState.STOPPED: "yellow",
    PruneState.LOST: "bold red",
}

SILENT_SECONDS = 4 * SIGN_OF_LIFE_SECONDS
"""A running prune that has been silent for longer may have been killed."""

NEVER_ENDED = "It never said how it ended: its process was killed."


def show(state: CliState, rules: Collection[str]) -> Result:
    """Give the last prunes by these rules, newest first: 20 in a table, all that are kept as JSON.

    Raises SettingsError when no broker is named, and BrokerUnreachableError.
    """
    now = utc_now()
    ends = [(record, record.state(now)) for record in _read(state) if record.rule in rules]
    prunes = [record.as_json() | {"state": end} for record, end in ends]
    return Result({"prunes": prunes}, list(_blocks(ends, now)))


def _unended(record: PruneRecord, end: PruneState, now: datetime) -> str | None:
    if end is PruneState.RUNNING and (now - record.seen).total_seconds() > SILENT_SECONDS:
        return f"It is running a long statement or was killed; last seen {format_moment(record.seen)}."
    return NEVER_ENDED if end is PruneState.LOST else None


def _read(state: CliState) -> list[PruneRecord]:
    broker_url = state.settings.require_broker()
    with closing(Resources(state.settings, "prune")) as resources:
        try:
            return read_history(resources.redis)
        except (RedisError, OSError) as error:
            raise unreachable(error, broker_url) from error


def _blocks(ends: Sequence[tuple[PruneRecord, PruneState]], now: datetime) -> Iterator[Block]:
    if not ends:
        yield Note("No prune is on record.")
        return
    cells, sentences = [], []
    for record, end in ends[:SHOWN_RECORDS]:
        started, rule = format_moment(record.started), plain(record.rule)
        size = format_bytes(record.size_bytes) if record.deleted else "–"
        told = [f"{record.rows:,}", size, format_seconds(record.seconds), plain(record.by)]
        cells.append([started, rule, *told, f"[{COLOURS[end]}]{end}[/]"])
        if sentence := record.sentence or _unended(record, end, now):
            sentences.append([started, rule, f"[{COLOURS[end]}]{plain(sentence)}[/]"])
    columns = ["started (UTC)", "rule", "rows", "size", "took", "by", "end"]
    yield Table(columns, cells, right=["rows", "size", "took"], width_limit=TABLE_WIDTH, heads=2)
    if sentences:
        yield ""
        columns = ["started (UTC)", "rule", "what happened"]
        yield Table(columns, sentences, fold=["what happened"], width_limit=TABLE_WIDTH, heads=2)
    if len(ends) > SHOWN_RECORDS:
        yield Note(f"[dim]{len(ends) - SHOWN_RECORDS} older ones: --json shows them all.[/]")
