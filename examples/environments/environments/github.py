"""What GitHub is told, over its REST API; each call has a time limit, and a fault is one sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import httpx

from environments.models import State
from environments.settings import GITHUB_TOKEN, GITHUB_URL, HTTP_TIMEOUT_SECONDS
from ibutsu_tasks.errors import IbutsuTasksError
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from environments.models import Environment
    from ibutsu_tasks.settings import Settings

CONTEXT = "preview-environment"
"""The name of the commit status."""

STATUSES = {State.READY: "success", State.FAILED: "failure", State.DESTROYED: "success"}
MOST_CHARACTERS = 140
"""GitHub takes no longer description of a status."""

GONE = 404


class GitHubError(IbutsuTasksError):
    """GitHub did not do it."""

    hint = "Run `ibutsu-tasks doctor --only github`."
    status = 0


class GitHub:
    """GitHub, as a context manager. Everything raises GitHubError."""

    def __init__(self, settings: Settings, timeout_seconds: float | None = None) -> None:
        token = settings.value(GITHUB_TOKEN)
        if token is None:
            raise GitHubError("GitHub is told nothing while ENVIRONMENTS_GITHUB_TOKEN is not set.")
        self._client = httpx.Client(
            base_url=settings.value(GITHUB_URL),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
            timeout=timeout_seconds or settings.value(HTTP_TIMEOUT_SECONDS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def comment(self, environment: Environment) -> int:
        """Write its comment on the pull request, or the one there is anew; give the comment's id."""
        mark = f"<!-- environment {environment.id} -->"
        text = {"body": f"{mark}\n{sentence_of(environment)}"}
        comments = f"/repos/{environment.repository}/issues/{environment.pull_request}/comments"
        # One that was written by a task that died then is known to GitHub alone.
        known = environment.comment_id or self._find_comment(comments, mark)
        if known is not None:
            try:
                self._ask("PATCH", f"/repos/{environment.repository}/issues/comments/{known}", text)
            except GitHubError as error:
                # Somebody deleted it.
                if error.status != GONE:
                    raise
            else:
                return known
        return int(self._ask("POST", comments, text).json()["id"])

    def set_status(self, environment: Environment) -> None:
        """Set the status of its commit."""
        status = {
            "state": STATUSES[State(environment.state)],
            "context": CONTEXT,
            "description": cut(sentence_of(environment), MOST_CHARACTERS),
        }
        self._ask("POST", f"/repos/{environment.repository}/statuses/{environment.commit}", status)

    def requests_left(self) -> int:
        """Give how many requests the token may make within this hour."""
        return int(self._ask("GET", "/rate_limit").json()["resources"]["core"]["remaining"])

    def _find_comment(self, comments: str, mark: str) -> int | None:
        found = (one["id"] for one in self._pages(f"{comments}?per_page=100") if mark in (one["body"] or ""))
        return next(found, None)

    def _pages(self, url: str | None) -> Iterator[dict[str, Any]]:
        while url is not None:
            answer = self._ask("GET", url)
            yield from answer.json()
            url = answer.links.get("next", {}).get("url")

    def _ask(self, method: str, url: str, body: object = None) -> httpx.Response:
        # What the libraries say may hold the headers, with the token among them.
        try:
            answer = self._client.request(method, url, json=body)
        except httpx.HTTPError as error:
            raise GitHubError(f"GitHub could not be reached ({type(error).__name__}).") from None
        if not answer.is_success:
            problem = GitHubError(_refusal(answer))
            problem.status = answer.status_code
            raise problem
        return answer


def sentence_of(environment: Environment) -> str:
    """Say of an environment what GitHub shows."""
    commit = environment.commit[:10]
    return {
        State.READY: f"The preview environment of {commit} is ready: namespace {environment.namespace}.",
        State.FAILED: f"The preview environment of {commit} failed: {environment.reason}",
        State.DESTROYED: "The preview environment was destroyed.",
    }[State(environment.state)]


def _refusal(answer: httpx.Response) -> str:
    headers = answer.headers
    if answer.status_code in {403, 429} and (
        "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    ):
        return f"GitHub's rate limit is reached{_until(headers)}."
    return f"GitHub refused {answer.request.method} {answer.request.url.path} ({answer.status_code})."


def _until(headers: httpx.Headers) -> str:
    if "retry-after" in headers:
        return f" for {cut(headers['retry-after'], 10)} s"
    reset = headers.get("x-ratelimit-reset", "")
    return f" until {datetime.fromtimestamp(int(reset), UTC):%H:%M} UTC" if reset.isdecimal() else ""
