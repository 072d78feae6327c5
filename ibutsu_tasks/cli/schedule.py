"""What `schedule list` does and shows: every entry, when it ran and is due, and which beat leads."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from ibutsu_tasks.beat.due import due_of
from ibutsu_tasks.beat.state import BeatState, Runs, read_state
from ibutsu_tasks.broker.failures import unreachable
from ibutsu_tasks.cli.output.formats import NO_VALUE, format_moment, plain
from ibutsu_tasks.cli.output.result import Result, Table, failure
from ibutsu_tasks.errors import BrokerUnreachableError
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.packages import ScheduleRow

COLUMNS = ("entry", "when (UTC)", "missed", "last run", "next run", "task")


def show(state: CliState) -> Result:
    """Give the schedule as it is carried out; without a broker, what there is to carry out, with the error.

    Raises SettingsError when no broker is named.
    """
    try:
        beat = _read(state)
    except BrokerUnreachableError as error:
        runs = Runs(datetime.now(UTC))
        failed = failure(error, _as_json(BeatState(runs, None, ())))
        return Result(failed.data, [_table(runs)], failed.messages, failed.exit_code)
    return Result(_as_json(beat), [_table(beat.runs), "", *_who_leads(beat)])


def _read(state: CliState) -> BeatState:
    broker_url = state.settings.require_broker()
    with closing(Resources(state.settings, "schedule")) as resources:
        try:
            return read_state(resources.redis)
        except (RedisError, OSError) as error:
            raise unreachable(error, broker_url) from error


def _as_json(beat: BeatState) -> dict[str, Any]:
    leader = beat.leader and {
        "host": beat.leader.host,
        "pid": beat.leader.pid,
        "fence": beat.leader.fence,
        "since": beat.leader.since,
        "seen_seconds_ago": round(beat.leader.seen_seconds, 1),
    }
    standbys = [{"host": one.host, "pid": one.pid} for one in beat.standbys]
    entries = [_entry(row, beat.runs) for row in loaded().schedule]
    return {"time": beat.runs.now, "entries": entries, "leader": leader, "standbys": standbys}


def _entry(row: ScheduleRow, runs: Runs) -> dict[str, Any]:
    own = {"name": row.name, "task": row.task, "args": list(row.args), "when": row.when}
    times = {"last_run": runs.last.get(row.name), "next_run": due_of(row, runs)}
    return own | {"missed": row.missed} | times


def _table(runs: Runs) -> Table:
    rows = [
        [
            row.name,
            plain(
                row.when if isinstance(row.when, str) else f"every {format_span(timedelta(seconds=row.when))}"
            ),
            row.missed,
            _moment(runs.last.get(row.name), runs.now),
            _moment(due_of(row, runs), runs.now),
            plain(_call(row)),
        ]
        for row in loaded().schedule
    ]
    return Table(COLUMNS, rows, fold=["last run", "next run"])


def _call(row: ScheduleRow) -> str:
    short = ".".join(row.task.split(".")[-2:])
    return f"{short}({', '.join(map(str, row.args))})"


def _moment(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return NO_VALUE
    if moment <= now:
        return f"{format_moment(moment)} ({format_span(now - moment)} ago)"
    return f"{format_moment(moment)} (in {format_span(moment - now)})"


def format_span(span: timedelta) -> str:
    """Give a time as people say it, in its largest unit: `40 s`, `5 min`, `16 h`, `3 d`."""
    seconds = span.total_seconds()
    for unit, size, least in (("d", 86_400, 2), ("h", 3600, 2), ("min", 60, 2)):
        if seconds >= least * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _who_leads(beat: BeatState) -> Iterator[str]:
    standbys = [plain(str(one)) for one in beat.standbys]
    if beat.leader is None:
        yield "[bold red]No beat leads:[/] nothing is sent. Start one with `ibutsu-tasks beat`."
    else:
        since, fence = format_span(beat.runs.now - beat.leader.since), beat.leader.fence
        yield f"Beat leads on {plain(str(beat.leader))} for {since}, fence {fence}."
    if standbys:
        yield f"{counted(len(standbys), 'beat')} standing by: {', '.join(standbys)}."
