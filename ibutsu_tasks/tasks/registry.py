"""An application that registers the tasks of packages; where two have one of the same name, it says so."""

from __future__ import annotations

from typing import Any, cast

from celery import Celery

from ibutsu_tasks.packages import loaded


class PackagesCelery(Celery):
    """Registers each task once: of two packages with one of the same name, the first has it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.collisions: dict[str, str] = {}
        """By the name of a task, the sentence about the packages that both have it."""

    def _task_from_fun(self, fun: Any, name: str | None = None, **options: Any) -> Any:  # type: ignore[override]
        name = name or self.gen_task_name(fun.__name__, fun.__module__)
        registry = cast("Any", self)._tasks  # noqa: SLF001 - `tasks` would register them all first
        if (known := registry.get(name)) is not None:
            theirs, ours = (loaded().owner_of(module) for module in (known.__module__, fun.__module__))
            if ours and not theirs:
                # An Ibutsu server's Flask application brings its own of some tasks along.
                registry.unregister(name)
            elif theirs and ours and theirs != ours:
                # Celery registers them in any order.
                first, second = sorted((theirs, ours), key=list(loaded().sources).index)
                self.collisions[name] = f"The task packages {first} and {second} both have the task {name}."
                if theirs == first:
                    return known
                registry.unregister(name)
        return super()._task_from_fun(fun, name, **options)


def registered(**options: Any) -> PackagesCelery:
    """Register the tasks of all modules that were imported, in an application for nothing else."""
    app = PackagesCelery("tasks", set_as_current=False, **options)
    app.finalize()
    return app
