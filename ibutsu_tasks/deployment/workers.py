"""The lines about the workers: that enough are online, and that each is connected and consumes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ibutsu_tasks.deployment.fleet import named
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.text.words import counted

if TYPE_CHECKING:
    from ibutsu_tasks.deployment.fleet import Fleet


def check_online(fleet: Fleet, wanted: int, wait_seconds: float) -> Finding:
    """Count the workers that answer, and look whether each has a name of its own."""
    number, names = len(fleet.online), f": {named(fleet.online)}" if fleet.online else ""
    if number < wanted:
        return finding(
            "IBT-A01",
            f"{number} of {counted(wanted, 'worker')} online after {wait_seconds:g} s{names}.",
            "Start more with `ibutsu-tasks worker`, or give them longer: --wait SECONDS.",
        )
    if shared := {node for node, times in Counter(fleet.online).items() if times > 1}:
        return finding(
            "IBT-A02",
            f"Workers share a name, so that Celery and Flower take them for one: {named(shared)}.",
            "Give each its own: `ibutsu-tasks worker --hostname NAME`.",
        )
    stock = f"; stock workers among them: {named(fleet.others)}" if fleet.others else ""
    return finding("IBT-A00", f"{counted(number, 'worker')} online{names}{stock}.")


def check_connected(fleet: Fleet) -> Finding:
    """Look whether everyone who hears a broadcast answers it, and every worker consumes."""
    if fleet.silent:
        names = f": {named(fleet.silent_names)}" if fleet.silent_names else ""
        return finding(
            "IBT-A21",
            f"{fleet.silent} of those that are connected to the broker do not answer{names}.",
            "Frozen, cut off, or a solo pool at work: look at their logs, or restart them.",
        )
    if idle := [worker.node for worker in fleet.workers if not worker.queues]:
        return finding(
            "IBT-A22",
            f"Connected, and consuming no queue: {named(idle)}.",
            "Restart them; `celery control add_consumer QUEUE` has one consume again.",
        )
    if not fleet.workers:
        return finding("IBT-A28", "Not checked: no worker answers.")
    workers, beats = counted(len(fleet.online), "worker"), counted(len(fleet.beats), "beat")
    return finding("IBT-A20", f"Connected and consuming: {workers}; connected: {beats}.")
