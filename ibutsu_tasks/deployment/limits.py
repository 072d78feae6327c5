"""The line about the limits: all workers have the same, and those that are set here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.deployment.fleet import named
from ibutsu_tasks.doctor.report import Finding, finding, variable_of

if TYPE_CHECKING:
    from ibutsu_tasks.deployment.fleet import Fleet, Worker
    from ibutsu_tasks.settings import Settings


class Limit(NamedTuple):
    """One limit: its name, the field of the settings, and its key in a worker's configuration."""

    name: str
    field: str
    key: str


LIMITS = (
    Limit("concurrency", "worker_concurrency", ""),
    Limit("prefetch", "worker_prefetch_multiplier", "worker_prefetch_multiplier"),
    Limit("tasks per child", "worker_max_tasks_per_child", "worker_max_tasks_per_child"),
    Limit("grace", "worker_grace_seconds", "ibutsu_tasks_grace_seconds"),
    Limit("lease", "worker_lease_seconds", "ibutsu_tasks_lease_seconds"),
    Limit("time limit", "task_time_limit_seconds", "task_time_limit"),
    Limit("soft time limit", "task_soft_time_limit_seconds", "task_soft_time_limit"),
)


def check_limits(settings: Settings, fleet: Fleet) -> Finding:
    """Compare the limits of the workers of this package with each other, and with those that are set here."""
    if not fleet.ours:
        return finding("IBT-A58", "Not checked: no worker of this package answers.")
    for limit in LIMITS:
        values = {worker.node: _value(worker, limit) for worker in fleet.ours}
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{_shown(limit, values[node])} on {node}" for node in sorted(values))
            return finding("IBT-A51", f"Workers differ: {listed}.", "Start them all with the same settings.")
        set_here = getattr(settings, limit.field)
        found = next(iter(values.values()))
        is_set = settings.source(limit.field) != "default" and set_here != "auto"
        if is_set and found is not None and found != set_here:
            return finding(
                "IBT-A52",
                f"Workers have {_shown(limit, found)}, and {set_here} is set here.",
                f"Correct {variable_of(settings, limit.field)}, or start the workers anew with it.",
            )
    shown = [_shown(limit, _value(fleet.ours[0], limit)) for limit in LIMITS]
    unknown = f"; not known: {named(fleet.others)}" if fleet.others else ""
    return finding("IBT-A50", f"The same everywhere: {', '.join(shown)}{unknown}.")


def _value(worker: Worker, limit: Limit) -> Any:
    if limit.key:
        return worker.configuration.get(limit.key)
    # An autoscaler changes it all the time.
    pool = worker.statistics.get("pool")
    if not isinstance(pool, dict) or worker.statistics.get("autoscaler"):
        return None
    return pool.get("max-concurrency")


def _shown(limit: Limit, value: Any) -> str:
    unit = " s" if value is not None and limit.field.endswith("_seconds") else ""
    text = f"{value:g}" if isinstance(value, int | float) else "none"
    return f"{limit.name} {text}{unit}"
