"""A worker whose watchdog is impatient and tells each look: `watched_worker.py [wedged|stuck]`.

Wedged, its channel takes no message after the first, as if its books said that it is full. Stuck, its
loop stands still once it is ready.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from celery import signals
from kombu.transport.virtual import QoS

from ibutsu_tasks.health import pulse, watchdog
from ibutsu_tasks.roles.start import run_worker
from ibutsu_tasks.settings import load_settings

PATIENCE_SECONDS = 1.0
LOOK_SECONDS = 0.2
HELD_FOR_LATER = 3


def main() -> int:
    pulse.LOOK_SECONDS = LOOK_SECONDS
    watchdog.PATIENCE_SECONDS = PATIENCE_SECONDS
    tell_looks()
    signals.worker_init.connect(hold_few, weak=False)
    if "wedged" in sys.argv:
        wedge()
    if "stuck" in sys.argv:
        watchdog.OBEY_SECONDS = 1.0
        signals.worker_ready.connect(stick, weak=False)
    return run_worker(load_settings(), ["--without-mingle"])


def hold_few(sender: Any, **_: Any) -> None:
    sender.app.conf.worker_eta_task_limit = HELD_FOR_LATER


def tell_looks() -> None:
    look = watchdog.Watchdog.look

    def look_and_tell(dog: watchdog.Watchdog, client: Any) -> None:
        look(dog, client)
        print("LOOKED", flush=True)  # noqa: T201 - the test counts them

    watchdog.Watchdog.look = look_and_tell  # type: ignore[method-assign]


def stick(sender: Any, **_: Any) -> None:
    sender.hub.call_later(0.5, time.sleep, 3600)


def wedge() -> None:
    append, can_consume, taken = QoS.append, QoS.can_consume, []

    def append_and_note(qos: Any, *args: Any) -> None:
        taken.append(args)
        append(qos, *args)

    QoS.append = append_and_note
    QoS.can_consume = lambda qos: not taken and can_consume(qos)


if __name__ == "__main__":
    sys.exit(main())
