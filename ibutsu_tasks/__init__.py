"""Ibutsu's asynchronous half in one command: worker, scheduler, monitor and operator's tools.

`worker_app`, `scheduler_app` and `flower_app` are built when first asked for, so that
`celery -A ibutsu_tasks:worker_app worker` runs the same code as `ibutsu-tasks worker`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

    flower_app: Celery
    scheduler_app: Celery
    worker_app: Celery

__version__ = "0.1.0"

__all__ = ["__version__", "flower_app", "scheduler_app", "worker_app"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "flower_app":
        from ibutsu_tasks.roles.flower import create_flower_app

        app = create_flower_app()
    else:
        from ibutsu_tasks.celery_app import create_app_variant

        app = create_app_variant(name.removesuffix("_app"))
    globals()[name] = app
    return app
