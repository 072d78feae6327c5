"""Task packages as others would install them, and the variables with which a command finds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.settings import load_settings
from tests.commands import until

if TYPE_CHECKING:
    from celery.result import AsyncResult
    from redis import Redis
    from sqlalchemy import Engine

    from tests.commands import Running

RAN = "workshop:ran"

INSTALLED = Path(__file__).with_name("installed")
"""What holds the package `workshop`."""

WORKSHOP = {"PYTHONPATH": str(INSTALLED), "IBUTSU_TASKS_PACKAGES": "workshop.package"}

ATTIC = {"PYTHONPATH": str(INSTALLED), "IBUTSU_TASKS_PACKAGES": "attic.package"}
"""One whose old rows go by retention rules."""

HEAD = "from ibutsu_tasks.packages import *\nfrom ibutsu_tasks.packages import TaskPackage\n"


def write_module(directory: Path, name: str, text: str) -> None:
    """Write a module of a package, `a.b` being a file in a folder."""
    path = directory.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "__init__.py").touch()
    path.write_text(text, encoding="utf-8")


def declare(directory: Path, name: str, fields: str) -> None:
    """Write a package `name.package` that declares `fields`."""
    write_module(directory, f"{name}.package", f"{HEAD}PACKAGE = TaskPackage(name={name!r}, {fields})\n")


def install(directory: Path, name: str, value: str) -> None:
    """Write what pip would: a distribution with an entry point."""
    info = directory / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[ibutsu_tasks.packages]\n{name} = {value}\n", encoding="utf-8")


def named(directory: Path, *names: str) -> dict[str, str]:
    """Give the variables that name packages in a directory, and the workshop beside them if it is named."""
    path = f"{directory}:{INSTALLED}"
    return {"PYTHONPATH": path, "IBUTSU_TASKS_PACKAGES": ",".join(f"{name}.package" for name in names)}


class Workshop:
    """A system that runs the workshop; it is spoken to as any client of Celery would."""

    worker: Running

    def __init__(self, client: Redis, engine: Engine, env: dict[str, str]) -> None:
        self.client, self.engine, self.env = client, engine, env
        self.app = create_broker_celery_app("tests", load_settings(environ=env))

    def send(self, task: str, *args: Any, **options: Any) -> AsyncResult[Any]:
        """Send a task of the workshop."""
        return self.app.send_task(f"workshop.{task}", args, **options)

    def end_of(self, result: AsyncResult[Any]) -> tuple[str, Any]:
        """Wait for the end of a task; give its state and its result."""
        until(lambda: result.state in {"SUCCESS", "FAILURE", "REVOKED"})
        return result.state, result.result

    def ran(self) -> list[str]:
        """What was done, in this order."""
        return [one.decode() for one in self.client.lrange(RAN, 0, -1)]

    def attempts(self, name: str) -> list[str]:
        return [one.decode() for one in self.client.lrange(f"workshop:attempts:{name}", 0, -1)]

    def go(self, job: str) -> None:
        self.client.rpush(f"workshop:go:{job}", "go")

    def pieces(self) -> dict[str, str]:
        with self.engine.connect() as connection:
            return {one.id: one.state for one in connection.execute(text("select * from workshop_pieces"))}
