"""Kombu's Redis transport, which takes messages in one step and sets aside what is no message.

A channel that holds messages under a lease sends a script in place of BRPOP (`taking.py`). The answer is a
message, or that there is none; then the connection waits until Redis says that one of the lists changed, as
it does since the script read them (CLIENT TRACKING), or for a second. Kombu's own poller and event loop do
the rest: its attribute `_in_poll` is the connection while an answer is awaited.

Without a lease, as for connections other than the one of a worker's tasks, it does what kombu does.
"""

from __future__ import annotations

import json
import logging
import time
from queue import Empty
from typing import TYPE_CHECKING, Any

from kombu.transport import redis, virtual
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    NoScriptError,
    ReadOnlyError,
    ResponseError,
)
from redis.retry import Retry

from ibutsu_tasks.broker.garbled import explain
from ibutsu_tasks.broker.layout import HOLDERS, UNACKED, UNACKED_INDEX
from ibutsu_tasks.delivery.dead.envelope import problem_of
from ibutsu_tasks.delivery.dead.quarantine import set_aside
from ibutsu_tasks.delivery.held.acknowledging import QoS
from ibutsu_tasks.delivery.held.recovery import CLIENT_NAME_PREFIX
from ibutsu_tasks.delivery.held.taking import TAKE, give_up, held_key, look_up, put_back

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from redis import Redis

    from ibutsu_tasks.delivery.held.lease import Lease

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 1.0
"""How long a connection waits for word of a change before it looks again anyway, as long as kombu's BRPOP."""

UNTOLD_LOOK_AGAIN_SECONDS = 0.2
"""The same where Redis tells of no change."""

CHANGED = object()
"""What reading gives when Redis said that a list changed."""


class Channel(redis.Channel):
    """A channel that looks at each message as Redis answers with it."""

    QoS = QoS

    # What kombu's stubs leave out.
    connection: Any
    connection_errors: tuple[type[Exception], ...]
    qos: Any
    _closing: bool
    _flush_brpop_reauth: Callable[[], None]
    _q_for_pri: Callable[[str, int], str]
    _queue_cycle: Any

    lease: Lease | None = None
    _idle_until = 0.0
    _look_again_seconds = LOOK_AGAIN_SECONDS
    _prepared_socket: Any = None
    _has_script = True
    _complaint = ""

    def take_under(self, lease: Lease) -> None:
        """Take messages under a lease from now on."""
        self.lease = lease

    def put_back_except(self, tags: Container[str]) -> None:
        """Put back what is held, except these."""
        for tag in [tag for tag in self.qos.delivered if tag not in tags]:
            self.qos.restore_by_tag(tag)
            virtual.QoS.ack(self.qos, tag)

    def is_taking(self) -> bool:
        """Say whether an answer with a message in it may be on its way."""
        return bool(self._in_poll)

    def _brpop_start(self, timeout: float | None = None) -> None:
        if self.lease is None:
            super()._brpop_start(timeout)  # type: ignore[misc]  # not in its stubs
        elif self.lease.is_lost:
            raise RedisConnectionError("others were given what this connection held")
        elif time.monotonic() >= self._idle_until:
            self._send_take(self.lease)

    def _send_take(self, lease: Lease) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        connection = self.client.connection
        if self._prepared_socket is not connection._sock:  # noqa: SLF001 - a new one knows nothing of us
            self._prepare(connection, lease)
        lists = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]
        keys = (UNACKED, UNACKED_INDEX, HOLDERS, held_key(lease.holder), *lists)
        command = ("EVALSHA", TAKE.digest) if self._has_script else ("EVAL", TAKE.text)
        self._in_poll = connection
        self._brpop_sent_at = time.monotonic()
        connection.send_command(*command, len(keys), *keys, lease.holder, lease.seconds)

    def _prepare(self, connection: Any, lease: Lease) -> None:
        """Have Redis tell this connection of changes, and know it by its holder's name."""
        self._has_script = False
        self._look_again_seconds = LOOK_AGAIN_SECONDS
        for command in (("SETNAME", CLIENT_NAME_PREFIX + lease.token), ("TRACKING", "ON", "NOLOOP")):
            connection.send_command("CLIENT", *command)
            try:
                connection.read_response()
            except ResponseError as error:
                logger.warning("Redis refuses CLIENT %s: %s.", command[0], error)
                self._look_again_seconds = UNTOLD_LOOK_AGAIN_SECONDS
        parser = connection._get_parser()  # noqa: SLF001 - redis-py has no other way to it
        if hasattr(parser, "set_invalidation_push_handler"):
            parser.set_invalidation_push_handler(lambda _: CHANGED)
        self._prepared_socket = connection._sock  # noqa: SLF001
        self.connection.cycle.look_often(self._look_again_seconds)

    def _brpop_read(self, **options: Any) -> bool:
        if self.lease is None:
            return bool(super()._brpop_read(**options))  # type: ignore[misc]  # not in its stubs
        try:
            taken = self._read_answer(self.client.connection)
            self._complaint = ""
        except NoScriptError:
            self._in_poll, self._has_script = None, False
            raise Empty from None
        except ResponseError as error:
            self._wait_out(error)
            raise Empty from error
        except self.connection_errors:
            # The next round connects anew.
            self.client.connection.disconnect()
            raise
        finally:
            if not self._in_poll:
                self._flush_brpop_reauth()
        return self._deliver_taken(self.lease, *taken)

    def _read_answer(self, connection: Any) -> list[Any]:
        """Read what there is; give a message that was taken. Raises Empty when there is none yet."""
        while True:
            answer = connection.read_response(push_request=True)
            if answer is CHANGED:
                self._idle_until = 0.0
            elif self._in_poll:
                self._in_poll, self._has_script = None, True
                if answer:
                    return list(answer)
                self._idle_until = time.monotonic() + self._look_again_seconds
            if not connection.can_read(timeout=0):
                raise Empty

    def read_changes(self) -> None:
        """Read what Redis says while no answer is awaited and no message wanted."""
        connection = self.client.connection
        try:
            self._read_answer(connection)
        except Empty:
            pass
        except self.connection_errors:
            # As kombu does: it connects anew when there is something to take.
            connection.disconnect()

    def _wait_out(self, error: ResponseError) -> None:
        """Have it tried again in a second: out of memory, read-only in a fail-over, a key of a wrong type."""
        self._in_poll = None
        self._idle_until = time.monotonic() + LOOK_AGAIN_SECONDS
        if str(error) != self._complaint:
            with self.conn_or_acquire() as client:
                reason = explain(client, error, self.active_queues)
            logger.warning("No message can be taken: %s. It is tried again each second.", reason)
        self._complaint = str(error)
        if isinstance(error, ReadOnlyError):
            # The address may lead to another server by now.
            self.client.connection.disconnect()

    def _deliver_taken(self, lease: Lease, place: bytes, item: bytes, tag: bytes) -> bool:
        queue = place.decode("utf-8", "replace").rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        problem = problem_of(item)
        if problem is not None:
            self._set_aside(lease, queue, item, tag.decode("utf-8", "replace"), problem)
            raise Empty
        message = json.loads(item)
        message["properties"]["delivery_tag"] = tag.decode()
        if self._closing or queue not in self.connection._callbacks:  # noqa: SLF001 - not consumed any more
            with self.conn_or_acquire() as client:
                for held in look_up(client, lease.holder, [tag.decode()]):
                    put_back(client, lease.holder, held)
            raise Empty
        self.connection._deliver(message, queue)  # noqa: SLF001 - as kombu's channels do
        return True

    def _set_aside(self, lease: Lease, queue: str, item: bytes, tag: str, problem: str) -> None:
        try:
            with self.conn_or_acquire() as client:
                # By its own tag: a worker that is killed before the next line sets it aside once more.
                set_aside(client, item, queue, problem, key=tag)
                give_up(client, lease.holder, tag)
        except ResponseError as error:
            self._wait_out(error)
            return
        logger.error("A message of the queue %s was set aside: %s.", queue, problem)

    def _create_client(self, asynchronous: bool = False) -> Redis:
        client: Redis = super()._create_client(asynchronous)  # type: ignore[misc]  # not in its stubs
        client.set_response_callback("BRPOP", self._check)
        return client

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        # redis-py's retries are nested: a silent server would hold the worker's loop for minutes.
        if self.connection is None or self.connection.client is None:
            # Kombu would fail by an AttributeError, which no caller takes for a lost connection.
            raise RedisConnectionError("the connection of this channel was closed")
        params = super()._connparams(asynchronous)  # type: ignore[misc]  # not in its stubs
        return {**params, "retry": Retry(NoBackoff(), 0)}

    def _check(self, answer: Any, **_: Any) -> Any:
        """Give the answer to BRPOP, a list and its item; None, as for no item, when that is set aside."""
        if not answer:
            return None
        name, item = answer
        problem = problem_of(item)
        if problem is None:
            return name, item
        queue = name.decode("utf-8", "replace").rsplit(self.sep, 1)[0]
        with self.conn_or_acquire() as client:
            set_aside(client, item, queue, problem)
        logger.error("A message of the queue %s was set aside: %s.", queue, problem)
        return None


class Poller(redis.MultiChannelPoller):
    """Kombu's poller for connections that wait without an answer being on its way."""

    _channels: set[Any]
    _fd_to_chan: dict[int, Any]
    _seconds = LOOK_AGAIN_SECONDS
    _timer: Any = None
    loop: Any = None

    def look_often(self, seconds: float) -> None:
        """Have channels looked at this often, whatever happens."""
        self._seconds = seconds
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # The event loop wakes each second anyway.
        if self.loop is not None and seconds < LOOK_AGAIN_SECONDS:
            self._timer = self.loop.call_repeatedly(seconds, lambda: None)

    def on_readable(self, fileno: int) -> Any:
        """Read what came for a channel."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        is_waiting = kind == "BRPOP" and channel.lease is not None and not channel.is_taking()
        if is_waiting and not channel.qos.can_consume():
            return channel.read_changes()
        return super().on_readable(fileno)

    def maybe_refresh_binding_expiry(self) -> None:
        """Keep the bindings of queues that expire; where that fails, kombu says so each second."""
        for channel in self._channels:
            try:
                channel.maybe_refresh_binding_expiry()
            except (*channel.connection_errors, ResponseError) as error:
                logger.debug("The bindings of queues could not be renewed: %s", error)

    def maybe_restore_messages(self) -> None:
        """Give back what stock workers held too long; where that fails, kombu's loop says so each time."""
        try:
            super().maybe_restore_messages()
        except ResponseError as error:
            logger.debug("What was held for too long could not be looked for: %s", error)

    def get(self, callback: Any, timeout: float | None = None) -> Any:
        """Wait for one event, in a worker without an event loop."""
        return super().get(callback, self._seconds if timeout is None else min(timeout, self._seconds))


class Transport(redis.Transport):
    """The same with these channels."""

    Channel = Channel
    cycle: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let an event loop wait for what comes."""
        self.cycle.loop = loop
        super().register_with_event_loop(connection, loop)
