"""What every task takes, without its code: a message is checked against it.

Generated from `ibutsu_tasks/ibutsu/tasks`; `python -m tests.documentation` writes it anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def clear_import_file_content(import_id: str) -> None:
    """Drop the bytes of a finished import; its record stays."""


def prune_old_files(months: int | str = 5) -> None:
    """Delete artifacts uploaded more than `months` of 30 days ago."""


def prune_old_import_files(days: int | str = 7) -> None:
    """Delete import records, with their files, older than `days`; the answers are the Ibutsu server's own."""


def prune_old_results(months: int | str = 6) -> None:
    """Delete results, with their artifacts, that started more than `months` of 30 days ago."""


def prune_old_runs(months: int | str = 12) -> None:
    """Delete runs, with their results and artifacts, that started more than `months` of 30 days ago."""


def seed_users(projects: dict[str, dict[str, Any]]) -> None:
    """Create missing users and make them owners and members of projects."""


def run_archive_import(import_: dict[str, Any]) -> None:
    """Import an uploaded archive written by pytest-ibutsu."""


def run_junit_import(import_: dict[str, Any]) -> None:
    """Import an uploaded JUnit XML file."""


def query_task(
    filter_: list[str] | None = None,
    page: int | str = 1,
    page_size: int | str = 25,
    estimate: bool | str = False,
    tablename: str = "results",
) -> None:
    """Give one page of results or runs as JSON rows, newest first."""


def add_result_start_time(run_id: str) -> None:
    """Give every result of a run that has no start time the run's, under the run's lock."""


def sync_aborted_runs() -> None:
    """Send `update_run` for every recent run whose summary does not count its results."""


def update_run(run_id: str) -> None:
    """Recompute a run's summary from its results; a run that does not exist is no error."""


def reconcile_imports() -> None:
    """Send every lost import again, or end it when its content is gone; leave alone what may be alive."""


STUBS: dict[str, Callable[..., None]] = {
    "ibutsu_server.tasks.db.clear_import_file_content": clear_import_file_content,
    "ibutsu_server.tasks.db.prune_old_files": prune_old_files,
    "ibutsu_server.tasks.db.prune_old_import_files": prune_old_import_files,
    "ibutsu_server.tasks.db.prune_old_results": prune_old_results,
    "ibutsu_server.tasks.db.prune_old_runs": prune_old_runs,
    "ibutsu_server.tasks.db.seed_users": seed_users,
    "ibutsu_server.tasks.importers.run_archive_import": run_archive_import,
    "ibutsu_server.tasks.importers.run_junit_import": run_junit_import,
    "ibutsu_server.tasks.query.query_task": query_task,
    "ibutsu_server.tasks.results.add_result_start_time": add_result_start_time,
    "ibutsu_server.tasks.runs.sync_aborted_runs": sync_aborted_runs,
    "ibutsu_server.tasks.runs.update_run": update_run,
    "ibutsu_tasks.imports.reconcile_imports": reconcile_imports,
}
