"""What `packages` shows: the task packages that are loaded, from where, and what each brings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.celery_app import task_problems
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Result, Table
from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.packages import TaskPackage, loaded, named_by
from ibutsu_tasks.sending.arguments import tasks_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.cli.state import CliState


def show(state: CliState) -> Result:
    """Give them; ends with 1 when one cannot be used. Imports what workers import, and asks no service."""
    state.settings.require_usable()
    packages = loaded()
    problems = [*packages.problems.values(), *task_problems()]
    described = [_describe(one, packages.sources[one.name], problems) for one in packages.packages]
    messages = [f"[bold red]✗[/] {plain(problem)}" for problem in problems]
    code = ExitCode.BAD_NEWS if problems else ExitCode.DONE
    return Result({"packages": described, "problems": problems}, list(_blocks(described)), messages, code)


def _describe(package: TaskPackage, source: Any, problems: list[str]) -> dict[str, Any]:
    """Give what a package brings; an object it names that cannot be imported is added to `problems`."""
    tasks, tables = [], []
    try:
        tasks, tables = sorted(tasks_in(package)), _tables_of(package)
    except SettingsError as error:
        problems.append(str(error))
    return {
        "name": package.name,
        "place": source.place,
        "said_by": source.said_by,
        "tasks": tasks,
        "queues": [queue.name for queue in package.queues],
        "routes": [f"{route.tasks} → {_place(route)}" for route in package.routes],
        "schedule": [row.name for row in package.schedule],
        "importers": [f"{importer.name} → {importer.task}" for importer in package.importers],
        "settings": [setting.variables[0] for setting in package.settings],
        "checks": [check.name for check in package.checks],
        "retention": [rule.name for rule in package.retention],
        "tables": tables,
    }


def _tables_of(package: TaskPackage) -> list[str]:
    return sorted(named_by(package, "tables").tables) if package.tables else []


def _place(route: Any) -> str:
    return route.queue if route.priority is None else f"{route.queue}, priority {route.priority}"


def _blocks(described: list[dict[str, Any]]) -> Iterator[str | Table]:
    for one in described:
        yield f"[bold]{plain(one['name'])}[/]  {plain(one['place'])}, {plain(one['said_by'])}"
        parts = [(part, names) for part, names in one.items() if isinstance(names, list) and names]
        rows = [[part, str(len(names)), plain(", ".join(names))] for part, names in parts]
        yield Table(["brings", "", "names"], rows, right=[""], fold=["names"])
        yield ""
