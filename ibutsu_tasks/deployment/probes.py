"""The line about the probes: what workers say of themselves, and what the health ports named answer."""

from __future__ import annotations

from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ibutsu_tasks.deployment.fleet import named
from ibutsu_tasks.deployment.limited import side_by_side
from ibutsu_tasks.doctor.report import Finding, finding, reason_of
from ibutsu_tasks.health.pages import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.deployment.fleet import Fleet
    from ibutsu_tasks.settings import Settings

ANSWER_SECONDS = 3.0
TOTAL_SECONDS = 4.0
"""Of all URLs, and of one that drips its answer."""
MOST_BYTES = 1000
GOOD = 200


def check_probes(settings: Settings, fleet: Fleet, urls: tuple[str, ...]) -> Finding:
    """Ask the workers by control, and the health ports by HTTP, where URLs are given."""
    failing = [*_by_control(fleet), *_by_http(settings, urls)]
    if failing:
        return finding(
            "IBT-A41", " ".join(failing), "`ibutsu-tasks probe ready` on its host, and its log, say more."
        )
    unknown = sorted(worker.node for worker in fleet.workers if not worker.probes)
    told = [worker.node for worker in fleet.workers if worker.probes]
    if not told and not urls:
        return finding("IBT-A48", "Not checked: no worker tells, and no --probe names a health port.")
    parts = [f"Live, ready and started: {named(told) or 'none that tells'}"]
    parts += [f"health ports that answer: {', '.join(map(settings.mask, urls))}"] if urls else []
    parts += [f"not known: {named(unknown)}"] if unknown else []
    return finding("IBT-A40", f"{'; '.join(parts)}.")


def _by_control(fleet: Fleet) -> Iterator[str]:
    for worker in fleet.workers:
        for answer in worker.probes.values():
            if isinstance(answer, list) and not answer[0]:
                yield str(answer[1])


def _by_http(settings: Settings, urls: tuple[str, ...]) -> Iterator[str]:
    pages = [page for url in urls for page in _pages(url)]
    answers = side_by_side([partial(_why_not, settings, page) for page in pages], TOTAL_SECONDS)
    for page, answer in zip(pages, answers, strict=True):
        if answer is None:
            yield f"{settings.mask(page)} has not answered within {TOTAL_SECONDS:g} s."
        elif answer:
            yield answer


def _pages(url: str) -> list[str]:
    """Give the URL of each page; of all pages of a health port when the URL names none."""
    base = url.rstrip("/")
    return [url] if urlsplit(base).path else [f"{base}{page}" for page in PAGES]


def _why_not(settings: Settings, url: str) -> str:
    # Not urllib: it would follow redirects and the proxies of the environment.
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)
    shown = settings.mask(url)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        said = answer.read(MOST_BYTES).decode("utf-8", "replace").strip()
    except (OSError, HTTPException) as error:
        return f"{shown} does not answer: {reason_of(error, settings)}."
    finally:
        connection.close()
    return "" if answer.status == GOOD else f"{shown} answers {answer.status}: {settings.mask(said)}"
