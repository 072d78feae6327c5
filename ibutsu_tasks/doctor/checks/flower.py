"""The check of Flower, when it is configured: that it answers, and only to those who know its password."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ibutsu_tasks.doctor.codes import SKIPPED, code_of
from ibutsu_tasks.doctor.report import Finding, finding, reason_of, variable_of
from ibutsu_tasks.doctor.running import CALL_SECONDS

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from ibutsu_tasks.settings import Settings

HEALTHY = 200
PAGE_SHOWN = 200


def check_flower(settings: Settings) -> list[Finding]:
    """Ask for Flower's health, then for its front page without a password."""
    if settings.flower_url is None:
        return [finding(code_of("flower", SKIPPED), "Not checked: IBUTSU_TASKS_FLOWER_URL is not set.")]
    parts = urlsplit(settings.flower_url)
    place = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    try:
        health, page = _status(parts, "/healthcheck"), _status(parts, "/")
    except (OSError, HTTPException) as error:
        return [
            finding(
                "IBT-F01",
                f"Flower does not answer at {place}: {reason_of(error, settings)}.",
                f"Start it with `ibutsu-tasks flower`, or correct {variable_of(settings, 'flower_url')}.",
            )
        ]
    return [judge(health, page, place)]


def judge(health: int, page: int, place: str) -> Finding:
    """Give the finding about two HTTP statuses: of the health check, and of the page without password."""
    if health != HEALTHY:
        return finding(
            "IBT-F02",
            f"What answers at {place} is not a healthy Flower (status {health} of /healthcheck).",
            "Start it anew with `ibutsu-tasks flower`, or correct IBUTSU_TASKS_FLOWER_URL.",
        )
    if page == PAGE_SHOWN:
        return finding(
            "IBT-F03",
            f"Flower at {place} shows tasks and their arguments to everybody, without a password.",
            "Set FLOWER_BASIC_AUTH=user:password and start `ibutsu-tasks flower` anew.",
        )
    return finding("IBT-F00", f"Flower answers at {place} and asks for a password.")


def _status(parts: SplitResult, path: str) -> int:
    # Not urllib: it would follow redirects and the proxies of the environment.
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=CALL_SECONDS)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}{path}")
        return connection.getresponse().status
    finally:
        connection.close()
