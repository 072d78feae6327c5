"""From the first commit of a pull request to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import shared_task

from environments.models import Environment, State
from environments.work import EnvironmentTask

if TYPE_CHECKING:
    from environments.cluster import Cluster


@shared_task(name="environments.provision_environment", bind=True, base=EnvironmentTask)
def provision_environment(self: EnvironmentTask, environment_id: str) -> str:
    """Make a namespace with labels and a quota, and tell the pull request; give the state."""

    def make(cluster: Cluster, environment: Environment) -> None:
        cluster.make_namespace(environment)
        cluster.set_quota(environment)

    return self.carry_out(environment_id, State.PROVISIONING, State.READY, make)


@shared_task(name="environments.update_environment", bind=True, base=EnvironmentTask)
def update_environment(self: EnvironmentTask, environment_id: str, commit: str | None = None) -> str:
    """Bring the namespace, which must be there, to another commit and the quota of today; give the state."""

    def change(cluster: Cluster, environment: Environment) -> None:
        cluster.label_namespace(environment)
        cluster.set_quota(environment)

    return self.carry_out(environment_id, State.UPDATING, State.READY, change, commit)


@shared_task(name="environments.destroy_environment", bind=True, base=EnvironmentTask)
def destroy_environment(self: EnvironmentTask, environment_id: str) -> str:
    """Delete the namespace and wait until it is gone; give the state."""

    def delete(cluster: Cluster, environment: Environment) -> None:
        cluster.delete_namespace(environment)

    return self.carry_out(environment_id, State.DESTROYING, State.DESTROYED, delete)
