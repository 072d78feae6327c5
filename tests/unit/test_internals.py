"""What the project reaches into, compared with what is installed: a new release fails here."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import ibutsu_tasks.delivery
from ibutsu_tasks.beat.scheduler import REMOTE_CONTROL_OUTAGES
from ibutsu_tasks.broker import layout
from ibutsu_tasks.tasks.outages import Said
from ibutsu_tasks.tasks.reconciliation import MAIN_PROCESS

ROOM = Path(ibutsu_tasks.delivery.__file__).parent

REACH = re.compile(
    r"^from (celery\.(app\.(trace|backends)|apps|backends|beat|bin|bootsteps|concurrency|events|loaders)"
    r"|celery\.(schedules|worker)|kombu\.(transport|pidbox)|billiard|flower)|^import (billiard|flower)"
    r"|(Read from|Written for) [Ck]",
    re.MULTILINE,
)
"""What a module that needs more than the documented names has in its text."""

ATTRIBUTES = {
    "kombu.transport.redis:Channel": (
        "_brpop_start _brpop_read _in_poll _brpop_sent_at _q_for_pri _flush_brpop_reauth _closing"
        " _create_client sep priority_steps global_keyprefix"
    ),
    "kombu.transport.redis:QoS": "append ack reject restore_by_tag restore_unacked_once _delivered",
    "kombu.transport.redis:MultiChannelPoller": (
        "on_readable on_poll_start get maybe_refresh_binding_expiry maybe_restore_messages"
    ),
    "kombu.transport.redis:Transport": "_callbacks _deliver register_with_event_loop cycle",
    "redis.connection:Connection": "_get_parser read_response can_read send_command disconnect",
    "redis._parsers.resp3:_RESP3Parser": "set_invalidation_push_handler",
    "celery.worker.consumer.tasks:Tasks": "start",
    "celery.worker.consumer.consumer:Consumer": (
        "create_task_handler on_unknown_message on_invalid_task on_decode_error on_unknown_task"
    ),
    "celery.app.amqp:AMQP": "_producer_pool producer_pool",
    "celery.worker.state": (
        "reserved_requests active_requests scheduled_requests revoked should_stop should_terminate"
        " maybe_shutdown"
    ),
    "celery.worker.request:Request": (
        "_apply_result message send_event request_dict eta _eta revoked on_timeout on_failure"
    ),
    "celery.apps.worker": "on_cold_shutdown safe_say _reload_current_worker",
    "celery.bin.base": "CLIContext",
    "celery.bin.beat": "beat",
    "celery.bin.celery": "celery",
    "celery.bin.worker": "worker",
    "celery.bootsteps": "RUN CLOSE TERMINATE StartStopStep",
    "celery.concurrency.solo": "TaskPool",
    "billiard.pool": "GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT",
    "celery.app.base:Celery": "_task_from_fun gen_task_name",
    "celery.app.backends": "BACKEND_ALIASES by_url",
    "celery.app.trace": "LOG_RETRY LOG_RECEIVED",
    "celery.backends.redis:RedisBackend": "store_result on_connection_error get_key_for_task encode",
    "celery.beat:Scheduler": "setup_schedule merge_inplace tick close",
    "celery.app.events:Events": "dispatcher_cls",
    "celery.events:EventDispatcher": "send",
    "celery.loaders.app:AppLoader": "import_from_cwd read_configuration import_module",
    "celery.schedules:crontab": "remaining_delta",
    "celery.worker.components": "Timer Pool",
    "celery.worker.control": "Panel",
    "celery.worker.consumer.consumer": "maybe_shutdown",
    "flower.app:Flower": "start_http_server find_handler",
    "flower.events": "EventReceiver",
    "flower.views.monitor:Metrics": "get",
    "kombu.pidbox:Mailbox": "_publish _collect",
    "kombu.transport": "TRANSPORT_ALIASES",
    "kombu.transport.virtual:Channel": "_get",
}

SOURCES = {
    # What our own version of it does must be looked at again when theirs changes.
    "kombu.transport.redis:Channel._brpop_start": "5e5c6e2fbd89a2df",
    "kombu.transport.redis:Channel._brpop_read": "adb186dad57fbc9f",
    "kombu.transport.redis:Channel.close": "b59165176755d8f3",
    "kombu.transport.redis:QoS": "50d81a34db3e92d5",
    "kombu.transport.redis:MultiChannelPoller": "ea0d4f8f7b049f19",
    "celery.worker.consumer.consumer:Consumer.on_connection_error_after_connected": "fe476c41c5560378",
    "celery.apps.worker:on_cold_shutdown": "1a62d60b7543eacc",
}

SPOKEN = {
    "celery.worker.consumer.consumer:Consumer.start": [Said.FREQUENT_RESTARTS, "maybe_shutdown()"],
    "celery.worker.consumer.consumer:Consumer.ensure_connected": ["callback=maybe_shutdown"],
    "celery.worker.consumer.connection:Connection.start": [Said.CONNECTED],
    "celery.bootsteps:Blueprint.send_all": [Said.STEP_FAILED],
    "celery.beat": list(REMOTE_CONTROL_OUTAGES),
    "celery.beat:Service.sync": ["self.scheduler.close()"],
    "celery.beat:Service.start": ["self.scheduler.tick()"],
    "celery.bin.worker:worker.callback": ["ctx.obj.app", "ctx.obj.no_color", "ctx.obj.quiet"],
    "flower.command": ["ctx.parent.command.params", "ctx.obj.app"],
    "celery.app.base:Celery._task_from_fun": ["self._tasks"],
    "flower.events": ["EventReceiver("],
    "billiard.process": [f"'{MAIN_PROCESS}'"],
}
"""Words in their source by which ours hears of something, or calls of theirs that ours stand in for."""


def look_up(path: str) -> Any:
    module, _, names = path.partition(":")
    found: Any = importlib.import_module(module)
    for name in filter(None, names.split(".")):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("path", ATTRIBUTES)
def test_what_is_used_is_there(path: str) -> None:
    owner = look_up(path)
    missing = [name for name in ATTRIBUTES[path].split() if not hasattr(owner, name)]
    assert not missing, f"{path} has no {missing} any more: read `ibutsu_tasks/delivery` against it"


@pytest.mark.parametrize("path", SOURCES)
def test_what_was_replaced_is_what_was_read(path: str) -> None:
    source = inspect.getsource(look_up(path))
    digest = hashlib.sha256("".join(source.split()).encode()).hexdigest()[:16]
    assert digest == SOURCES[path], (
        f"{path} has changed: read it, and what `ibutsu_tasks/delivery` does instead"
    )


@pytest.mark.parametrize("path", SPOKEN)
def test_what_is_said_or_called_is_what_was_read(path: str) -> None:
    source = inspect.getsource(look_up(path))
    missing = [words for words in SPOKEN[path] if words not in source]
    assert not missing, (
        f"{path} has no {missing} any more: `ibutsu_tasks/delivery/README.md` says who needs it"
    )


def test_the_keys_are_kombus() -> None:
    channel, transport = look_up("kombu.transport.redis:Channel"), look_up("kombu.transport.redis")
    assert (channel.unacked_key, channel.unacked_index_key) == (layout.UNACKED, layout.UNACKED_INDEX)
    assert (channel.sep, tuple(transport.PRIORITY_STEPS)) == (layout.SEPARATOR, layout.PRIORITY_STEPS)
    assert channel.visibility_timeout == 3600
    assert look_up("celery.backends.redis:RedisBackend").task_keyprefix == layout.RESULT_PREFIX


def test_all_that_is_used_is_listed() -> None:
    listed = (ROOM / "README.md").read_text(encoding="utf-8")
    names = {name for names in ATTRIBUTES.values() for name in names.split() if name.startswith("_")}
    assert [name for name in names if f"`{name}" not in listed] == []


def test_all_that_reaches_into_celery_and_its_kind_is_listed() -> None:
    listed = (ROOM / "README.md").read_text(encoding="utf-8")
    files = [path for path in ROOM.parent.rglob("*.py") if REACH.search(path.read_text(encoding="utf-8"))]
    places = [str(path.relative_to(ROOM if path.is_relative_to(ROOM) else ROOM.parent)) for path in files]
    assert [place for place in places if f"`{place}`" not in listed] == []
