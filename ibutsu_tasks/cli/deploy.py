"""What `deploy check` does and shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ibutsu_tasks.cli.output.findings import show_report
from ibutsu_tasks.deployment import Wanted, check_deployment
from ibutsu_tasks.doctor.codes import LINES
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.settings.urls import web_url
from ibutsu_tasks.settings.values import UnusableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibutsu_tasks.cli.output.result import Result
    from ibutsu_tasks.cli.state import CliState


def check(state: CliState, *, probe_urls: Sequence[str], **wanted: Any) -> Result:
    """Give the report; raises UsageError for a URL that is none, else as `check_deployment`."""
    urls = tuple(map(_read_url, probe_urls))
    settings = state.settings
    settings.require_broker()
    with state.output.progress("waiting for workers and beat", total=len(LINES)) as update:
        report = check_deployment(
            settings, Wanted(probe_urls=urls, **wanted), lambda line: update(description=line, advance=1)
        )
    return show_report(report)


def _read_url(text: str) -> str:
    try:
        return web_url(text)
    except UnusableError as error:
        raise UsageError(f"--probe {error}.", "Give http://HOST:PORT, or one of its pages.") from None
