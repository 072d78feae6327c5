"""What every task on an environment does: its row says what is done before it is, and what came of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded

from environments.cluster import MOST_CHARACTERS, Cluster, ClusterError
from environments.github import GitHub, GitHubError
from environments.models import AT_WORK, Environment, State
from environments.package import LIFECYCLE
from ibutsu_tasks.errors import BusyError, RefusedError
from ibutsu_tasks.sending.messages import explain_failure
from ibutsu_tasks.tasks import DatabaseTask, Policy
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.orm import Session

    from ibutsu_tasks.resources import Resources

logger = logging.getLogger(__name__)

SOFT_MINUTES, HARD_MINUTES = 25, 30

# Nothing is tried again by itself, not even what its worker was lost over.
ONCE = Policy(
    soft_time_limit_seconds=SOFT_MINUTES * 60, time_limit_seconds=HARD_MINUTES * 60, retries=0, most_losses=1
)

TELLING_SECONDS = 120
"""For how long one that tells GitHub keeps others from it, if it never comes back."""

BEGINS_FROM = {
    State.PROVISIONING: {State.PENDING, State.FAILED},
    State.UPDATING: {State.READY, State.FAILED},
    State.DESTROYING: {State.PENDING, State.READY, State.FAILED},
}


class EnvironmentTask(DatabaseTask):
    """A task on one environment, whose id is its first argument."""

    abstract = True
    policy = ONCE

    def carry_out(
        self,
        environment_id: str,
        doing: State,
        done: State,
        step: Callable[[Cluster, Environment], None],
        commit: str | None = None,
    ) -> str:
        """Write down that it is done, do it, write down what came of it, and tell GitHub; give the state.

        Where there is nothing to do, as for a message that comes again, GitHub alone is told once more.
        Raises BusyError, which is temporary, while another message has the environment; RefusedError for an
        id that is none; and what went wrong, when that is written down.
        """
        environment = self._begin(environment_id, doing, commit)
        if environment.state == doing:
            try:
                with Cluster(self.resources.settings) as cluster:
                    step(cluster, environment)
            except Exception as error:
                reason = _reason_of(error)
                self._settle(environment, State.FAILED, reason)
                self._tell_github(environment.id)
                if isinstance(error, ClusterError):
                    # Who waits for the result may not know the package's own classes.
                    raise RefusedError(reason, error.hint) from error
                raise
            environment = self._settle(environment, done)
        self._tell_github(environment.id)
        return environment.state

    def _begin(self, environment_id: str, doing: State, commit: str | None) -> Environment:
        with self.session() as session:
            environment = _locked(session, environment_id)
            if environment is None:
                raise RefusedError(f"There is no environment {environment_id}.")
            is_own = environment.task_id == self.request.id
            if environment.state in AT_WORK and not is_own:
                raise BusyError(f"Another task has the environment: it is {environment.state}.")
            if environment.state == State.FAILED and is_own:
                raise RefusedError(environment.reason or "It failed.")
            if doing is State.DESTROYING:
                environment.is_wanted = False
            elif environment.is_wanted and commit:
                environment.commit = commit
            may_begin = environment.is_wanted or doing is State.DESTROYING
            # It is at work where this very message was interrupted: as its worker was told to stop, say.
            if environment.state in AT_WORK or (may_begin and environment.state in BEGINS_FROM[doing]):
                environment.enter(doing)
                environment.task_id = self.request.id
        return environment

    def _settle(self, environment: Environment, state: State, reason: str | None = None) -> Environment:
        with self.session() as session:
            environment = session.get_one(Environment, environment.id, with_for_update=True)
            # Else another message took it over, from a task that was taken for lost.
            if environment.task_id == self.request.id:
                environment.enter(state, reason)
        return environment

    def _tell_github(self, environment_id: UUID) -> None:
        """Tell GitHub where it is by now. Whatever goes wrong with that is noted and changes nothing else."""
        name = f"environments:github:{environment_id}"
        # Two that tell at once would both find no comment, and each write one.
        with self.resources.redis.lock(name, timeout=TELLING_SECONDS, raise_on_release_error=False):
            with self.session() as session:
                environment = session.get_one(Environment, environment_id)
            # Who has it tells what comes of it.
            if environment.state in AT_WORK or environment.state == State.PENDING:
                return
            comment_id, fault = environment.comment_id, None
            try:
                with GitHub(self.resources.settings) as github:
                    comment_id = github.comment(environment)
                    github.set_status(environment)
            except Exception as error:  # noqa: BLE001 - the environment is what it is
                fault = str(error) if isinstance(error, GitHubError) else f"GitHub: {type(error).__name__}."
                logger.warning("Environment %s is %s: %s", environment.id, environment.state, fault)
            with self.session() as session:
                now = session.get_one(Environment, environment_id, with_for_update=True)
                now.comment_id = comment_id
                if now.changed_at == environment.changed_at:
                    now.github_fault = fault

    def gave_up(self, session: Session, args: Sequence[Any], kwargs: Mapping[str, Any], reason: str) -> None:
        """Write down what the task could not: it was killed, its worker was lost, or it never began."""
        environment = _locked(session, next(iter((*args, *kwargs.values()))))
        if environment is not None and environment.state in {State.PENDING, *AT_WORK}:
            environment.enter(State.FAILED, reason)


def reopen(resources: Resources, task: str | None, environment_id: str | None) -> str | None:
    """Let a message that was set aside begin once more, before it is sent; say what is in the way."""
    if task not in LIFECYCLE or environment_id is None:
        return None
    with resources.session() as session:
        environment = _locked(session, environment_id)
        if environment is None:
            return "its environment was removed meanwhile"
        environment.task_id = None
    return None


def _locked(session: Session, environment_id: str) -> Environment | None:
    try:
        return session.get(Environment, UUID(environment_id), with_for_update=True)
    except ValueError:
        return None


def _reason_of(error: Exception) -> str:
    if isinstance(error, SoftTimeLimitExceeded):
        return "It took longer than its time limit."
    return cut(explain_failure(error), MOST_CHARACTERS)
