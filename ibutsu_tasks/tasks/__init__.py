"""The tasks an Ibutsu API server and its beat send, by subject; wire names are a public interface."""

from __future__ import annotations

TASK_MODULES = (
    "ibutsu_tasks.tasks.imports",
    "ibutsu_tasks.tasks.reconciliation",
    "ibutsu_tasks.tasks.revocations",
    "ibutsu_tasks.tasks.runs",
    "ibutsu_tasks.tasks.query",
    "ibutsu_tasks.tasks.db",
)
