"""What `ibutsu-tasks doctor` looks at: the cluster, GitHub, and environments that need a look."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from environments.cluster import Cluster, ClusterError
from environments.github import GitHub, GitHubError
from environments.models import AT_WORK, Environment, State
from environments.settings import GITHUB_TOKEN
from environments.tasks.cleanup import STUCK_AFTER
from ibutsu_tasks.clock import utc_now
from ibutsu_tasks.doctor.checks.database import open_engine
from ibutsu_tasks.doctor.report import Finding, advice, unreachable, well, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.settings import Settings

RIGHTS = (
    *(("namespaces", verb) for verb in ("create", "get", "list", "patch", "delete")),
    *(("resourcequotas", verb) for verb in ("create", "patch")),
)

ANSWER_SECONDS = 1.5
"""The doctor gives a check three seconds."""

FEW_REQUESTS = 100
UNAUTHORIZED = 401


@contextmanager
def _session(settings: Settings) -> Iterator[Session]:
    engine = open_engine(settings)
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


def check_cluster(settings: Settings) -> list[Finding]:
    """See that the cluster answers, and that we may do what we have to."""
    try:
        with Cluster(settings, ANSWER_SECONDS) as cluster:
            missing = [f"{verb} {kind}" for kind, verb in RIGHTS if not cluster.may(verb, kind)]
    except ClusterError as error:
        hint = "Check ENVIRONMENTS_KUBECONFIG, or the service account of the pod, and the way to the cluster."
        return [(wrong if error.status else unreachable)("ENV-K01", str(error), hint)]
    if missing:
        seen = f"The cluster does not let us {', '.join(missing)}."
        return [wrong("ENV-K02", seen, "Bind a ClusterRole with these rights to our account.")]
    return [well("ENV-K00", "The cluster answers and lets us do all we have to.")]


def check_github(settings: Settings) -> list[Finding]:
    """See that the token works."""
    if settings.value(GITHUB_TOKEN) is None:
        return [advice("ENV-G11", "GitHub is told nothing.", "Set ENVIRONMENTS_GITHUB_TOKEN.")]
    try:
        with GitHub(settings, ANSWER_SECONDS) as github:
            left = github.requests_left()
    except GitHubError as error:
        if error.status == UNAUTHORIZED:
            hint = "Put one that is valid into ENVIRONMENTS_GITHUB_TOKEN."
            return [wrong("ENV-G02", "GitHub does not know the token.", hint)]
        hint = "Check ENVIRONMENTS_GITHUB_URL, and the way to it."
        return [(wrong if error.status else unreachable)("ENV-G01", str(error), hint)]
    seen = f"The token works; {left} requests are left within this hour."
    hint = "Give the package a token of its own."
    return [advice("ENV-G10", seen, hint) if left < FEW_REQUESTS else well("ENV-G00", seen)]


def check_environments(settings: Settings) -> list[Finding]:
    """See that none is stuck, has failed, or is unknown to its pull request."""
    count = select(func.count()).select_from(Environment)
    is_late = Environment.changed_at < utc_now() - STUCK_AFTER
    with _session(settings) as session:
        stuck = session.scalar(count.where(Environment.state.in_({State.PENDING, *AT_WORK}), is_late)) or 0
        failed = session.scalar(count.where(Environment.state == State.FAILED)) or 0
        untold = session.scalar(count.where(Environment.github_fault.is_not(None))) or 0
    found = []
    if stuck:
        hint = "Run beat, and workers for the queues environment and cleanup; see `ibutsu-tasks dead list`."
        found.append(wrong("ENV-E01", f"Environments that wait or are at work for too long: {stuck}.", hint))
    if failed:
        hint = "Their `reason` says why; provision_environment tries one again, destroy_environment ends it."
        found.append(advice("ENV-E10", f"Environments that failed: {failed}.", hint))
    if untold:
        hint = "Their `github_fault` says why; provision_environment tells it again."
        found.append(advice("ENV-E11", f"Environments whose state GitHub does not know: {untold}.", hint))
    return found or [well("ENV-E00", "No environment is stuck or has failed.")]
