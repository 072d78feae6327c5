"""What the commands of `dead` do: choose messages among those set aside, then show, send or drop them."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.failures import unreachable
from ibutsu_tasks.broker.layout import RESULT_PREFIX
from ibutsu_tasks.cli.dead import view
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Result, failure
from ibutsu_tasks.delivery.dead import quarantine
from ibutsu_tasks.errors import IbutsuTasksError, UsageError
from ibutsu_tasks.packages import loaded
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ibutsu_tasks.cli.state import CliState
    from ibutsu_tasks.delivery.dead.quarantine import DeadMessage

SHOWN_IDS = 3

TAKEN = "somebody else has taken it meanwhile"


def show_all(state: CliState) -> Result:
    """List them, newest first."""
    with _broker(state) as resources:
        dead = _read(resources)
    return Result({"dead": [view.as_json(one) for one in dead]}, list(view.list_blocks(dead)))


def show(state: CliState, identifier: str) -> Result:
    """Show everything of one. Raises UsageError when there is none, or more than one."""
    with _broker(state) as resources:
        (dead,) = _choose(_read(resources), [identifier])
    facts = view.details(dead)
    return Result(facts, list(view.detail_blocks(facts)))


def retry(state: CliState, identifiers: Sequence[str], *, every: bool) -> Result:
    """Send them again, those that can be. Raises UsageError for an id that is none."""
    _require_choice(identifiers, every=every)
    sent: list[str] = []
    left: list[tuple[str, str]] = []
    with _broker(state) as resources:
        dead = _read(resources)
        try:
            for one in reversed(dead) if every else _choose(dead, identifiers):
                obstacle = _retry(resources, one)
                left += [(one.id, obstacle)] if obstacle else []
                sent += [] if obstacle else [one.id]
        except IbutsuTasksError as error:
            return failure(error, {"retried": sent})
    told = [{"id": identifier, "reason": reason} for identifier, reason in left]
    messages = [f"[yellow]Not sent:[/] {plain(one)}: {plain(reason)}." for one, reason in left]
    return _result({"retried": sent, "left": told}, f"Sent again: {len(sent):,}.", messages)


def _retry(resources: Resources, dead: DeadMessage) -> str | None:
    """Send one again; say what kept it."""
    if obstacle := dead.obstacle or _reopen(resources, dead):
        return obstacle
    _forget_failure(resources, dead)
    return None if quarantine.put_back(resources.redis, dead) else TAKEN


def _forget_failure(resources: Resources, dead: DeadMessage) -> None:
    """Have the task count as not ended; else whoever waits for it is given its old failure."""
    url = resources.settings.backend_url or resources.settings.require_broker()
    try:
        with build_client(url) as client:
            client.delete(f"{RESULT_PREFIX}{dead.content.task_id}")
    except (RedisError, OSError) as error:
        raise unreachable(error, url) from error


def _reopen(resources: Resources, dead: DeadMessage) -> str | None:
    """Have its task package prepare what it is about, before a worker may see it; say what is in the way."""
    content = dead.content
    obstacles = (reopen(resources, content.task, content.about) for _, reopen in loaded().each("reopen"))
    return next(filter(None, obstacles), None)


def drop(state: CliState, identifiers: Sequence[str], *, every: bool, yes: bool) -> Result:
    """Ask, then throw them away. Raises UsageError for an id that is none, and when nobody can answer."""
    _require_choice(identifiers, every=every)
    with _broker(state) as resources:
        dead = _read(resources)
        chosen = dead if every else _choose(dead, identifiers)
        if chosen and not yes and not _is_confirmed(state, chosen):
            return Result(messages=["Nothing was dropped."], exit_code=ExitCode.BAD_NEWS)
        dropped = [one.id for one in chosen if quarantine.drop(resources.redis, one)]
    return _result({"dropped": dropped}, f"Dropped: {len(dropped):,}.", [])


def _is_confirmed(state: CliState, chosen: Sequence[DeadMessage]) -> bool:
    blocks = list(view.list_blocks(chosen))
    state.output.show_now(blocks)
    question = f"Throw {len(chosen):,} of them away for good?"
    return state.confirm(question, yes=False, instead="look first with `dead list`", about=blocks)


def _result(data: dict[str, object], sentence: str, messages: list[str]) -> Result:
    return Result(data, [sentence], messages, ExitCode.BAD_NEWS if messages else ExitCode.DONE)


def _require_choice(identifiers: Sequence[str], *, every: bool) -> None:
    if bool(identifiers) == every:
        hint = "`ibutsu-tasks dead list` shows them."
        raise UsageError("Name the messages by their ids, or give --all.", hint)


def _choose(dead: Sequence[DeadMessage], beginnings: Sequence[str]) -> list[DeadMessage]:
    chosen = [_find(dead, beginning) for beginning in beginnings]
    return list({one.id: one for one in chosen}.values())


def _find(dead: Sequence[DeadMessage], beginning: str) -> DeadMessage:
    found = [one for one in dead if one.id.startswith(beginning)]
    found = [one for one in found if one.id == beginning] or found
    if not found:
        raise UsageError(
            f"No message that was set aside has an id that begins with {cut(beginning)!r}.",
            "`ibutsu-tasks dead list` shows their ids.",
        )
    if len(found) > 1:
        names = ", ".join(one.id for one in found[:SHOWN_IDS]) + (", …" if len(found) > SHOWN_IDS else "")
        raise UsageError(
            f"{len(found)} ids begin with {cut(beginning)!r}: {names}.", "Give more of the one meant."
        )
    return found[0]


def _read(resources: Resources) -> list[DeadMessage]:
    # A key that changes its place while they are read comes twice.
    found = {one.id: one for one in quarantine.read_set_aside(resources.redis)}
    return sorted(found.values(), key=lambda one: (one.at, one.id), reverse=True)


@contextmanager
def _broker(state: CliState) -> Iterator[Resources]:
    broker_url = state.settings.require_broker()
    with closing(Resources(state.settings, "dead")) as resources:
        try:
            yield resources
        except (RedisError, OSError) as error:
            raise unreachable(error, broker_url) from error
