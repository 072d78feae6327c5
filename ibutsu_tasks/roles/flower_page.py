"""Flower with what it lacks: closed to others, and undisturbed by whatever stands in the broker.

Flower is started by its own command, which builds everything itself; so its classes are changed in place,
once in a process.
"""

from __future__ import annotations

import ipaddress
import signal
import sys
from typing import TYPE_CHECKING, Any

from celery.events import EventReceiver
from flower import events  # type: ignore[import-untyped]
from flower.app import Flower  # type: ignore[import-untyped]
from flower.views.monitor import Metrics  # type: ignore[import-untyped]
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.web import RequestHandler, authenticated

from ibutsu_tasks.health.pulse import TICK_SECONDS, Pulse, Signs
from ibutsu_tasks.settings.named_secrets import mask_in_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibutsu_tasks.settings import Settings

SET_AUTH = "Set FLOWER_BASIC_AUTH=user:password, or leave the address at 127.0.0.1."

OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

LARGEST_NUMBER = 253_402_300_799
"""The last second of the year 9999, beyond which no time can be shown."""

_NUMBERS = "timestamp local_received clock utcoffset pid freq active processed runtime retries"
_TEXTS = """type hostname uuid name args kwargs eta expires queue exchange routing_key root_id parent_id
result exception traceback sw_ident sw_ver sw_sys"""
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_NUMBERS.split(), (int, float)),
    **dict.fromkeys(_TEXTS.split(), (str,)),
    "loadavg": (list,),
}
"""The fields of events that Flower shows, and what each may be: it takes over all that an event holds."""

SAYING = frozenset({"args", "kwargs", "result", "exception", "traceback"})
"""The fields that hold what a task was given or says; they may hold secrets."""

NEEDED = {
    "worker": ("hostname", "timestamp"),
    "task": ("hostname", "timestamp", "uuid"),
}


def guard(settings: Settings) -> None:
    """See to it that any Flower of this process keeps to itself."""
    # Flower leaves /metrics open behind a password; task and worker names are nobody's business either.
    Metrics.get = authenticated(Metrics.get)
    start, find_handler = Flower.start_http_server, Flower.find_handler
    Flower.start_http_server = lambda flower: _start(flower, start, settings)
    Flower.find_handler = lambda flower, request, **options: (
        find_handler(flower, request, **options)
        if _is_ours(flower.options, request.host_name)
        else flower.get_handler_delegate(request, StrangeHost)
    )
    events.EventReceiver = SoundEventReceiver


class SoundEventReceiver(EventReceiver):
    """Leaves out what is no event: at some Flower would connect anew and miss those that follow."""

    def event_from_message(self, body: Any, *args: Any, **options: Any) -> tuple[str, dict[str, Any]]:
        """Give an event's type and the event, which is empty when it is none."""
        sound = sound_event(body)
        if not sound:
            return "", {}
        kind, event = super().event_from_message(sound, *args, **options)
        return kind, sound_event(event)

    def process(self, type: str, event: dict[str, Any]) -> None:  # noqa: A002 - the name in Celery
        """Pass an event on."""
        if event:
            super().process(type, event)


class StrangeHost(RequestHandler):
    """Answers who calls a page without a password by a name that is not this machine's.

    A web site may have its own name resolve to 127.0.0.1, and would read the page from its visitor's browser.
    """

    def prepare(self) -> None:
        """Refuse, whatever was asked."""
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("Without FLOWER_BASIC_AUTH this page answers at localhost, 127.0.0.1 and [::1] alone.\n")


def _is_ours(options: Any, host_name: str) -> bool:
    name = host_name.removeprefix("[").removesuffix("]")
    return bool(options.basic_auth or options.auth) or name in {*OWN_NAMES, options.address}


def sound_event(event: Any) -> dict[str, Any]:
    """Give what of an event Flower can count on, without secrets; nothing when it lacks what is needed.

    Any client of the broker may publish one, and Flower's first page fails from then on at a number that is
    none.
    """
    fields = event.items() if isinstance(event, dict) else ()
    sound = {
        name: mask_in_text(value) if name in SAYING else value for name, value in fields if _fits(name, value)
    }
    needed = NEEDED.get(str(sound.get("type")).partition("-")[0], ("no such field",))
    return sound if all(name in sound for name in needed) else {}


def _fits(name: str, value: Any) -> bool:
    kinds: Any = KINDS.get(name, ())
    if isinstance(value, bool) or not isinstance(value, kinds):
        return False
    if isinstance(value, int | float):
        return abs(value) <= LARGEST_NUMBER
    return name != "loadavg" or all(_fits("runtime", number) for number in value)


def _start(flower: Any, start: Callable[[Any], int | None], settings: Settings) -> int | None:
    """Start Flower's server at our address and behind our password by default, and never open to all."""
    options = flower.options
    options.address = options.address or settings.flower_address
    if settings.flower_basic_auth and not options.basic_auth:
        options.basic_auth = [settings.flower_basic_auth]
    place = options.unix_socket or options.address
    if not options.basic_auth and not is_loopback(place):
        raise SystemExit(f"Error: {open_to_all(place)}\nTry: {SET_AUTH}")
    try:
        port = start(flower)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SystemExit(
            f"Error: Flower cannot listen on {place} port {options.port}: {reason}.\nTry: another --port."
        ) from None
    _end_between_steps()
    pulse = Pulse.of_process("flower", settings)
    pulse.signs = Signs
    PeriodicCallback(pulse.tick, TICK_SECONDS * 1000).start()
    return port


def _end_between_steps() -> None:
    """Have the loop take the signals that end Flower.

    Its own handler raises wherever it is: a signal was lost in the middle of a line of the log, and one while
    a thread starts left the process waiting for that thread for ever.
    """
    # With Tornado a loop of asyncio; the types know only the general one.
    loop: Any = IOLoop.current()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.asyncio_loop.add_signal_handler(number, sys.exit, 0)


def open_to_all(place: str) -> str:
    """Say that Flower would be open at `place`."""
    return f"FLOWER_BASIC_AUTH is not set: Flower would be open to all who reach {place}."


def is_loopback(address: str) -> bool:
    """Tell whether only this machine reaches `address`."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
