"""The task behind large pages of the API."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from ibutsu_tasks.ibutsu.operations.query import paging
from ibutsu_tasks.ibutsu.settings import QUERY_MAX_ROWS
from ibutsu_tasks.ibutsu.wire_names import QUERY_TASK
from ibutsu_tasks.tasks.base import DatabaseTask


@shared_task(name=QUERY_TASK, bind=True, base=DatabaseTask)
def query_task(
    self: DatabaseTask,
    filter_: list[str] | None = None,
    page: int | str = 1,
    page_size: int | str = 25,
    estimate: bool | str = False,
    tablename: str = "results",
) -> dict[str, Any]:
    """Give one page of results or runs as JSON rows, newest first."""
    request = paging.PageRequest.from_message(filter_, page, page_size, estimate, tablename)
    settings = self.resources.settings
    limits = paging.PageLimits(settings.value(QUERY_MAX_ROWS))
    with self.transaction() as (session, _):
        return paging.fetch_page(session, request, limits)
