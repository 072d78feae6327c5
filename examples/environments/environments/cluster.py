"""What is asked of Kubernetes; each call has a time limit, and whatever goes wrong is one sentence."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from kubernetes import config
from kubernetes.client import (
    ApiClient,
    AuthorizationV1Api,
    Configuration,
    CoreV1Api,
    V1Namespace,
    V1ObjectMeta,
    V1ResourceAttributes,
    V1ResourceQuota,
    V1ResourceQuotaSpec,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
)
from kubernetes.client.exceptions import ApiException
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from environments.settings import CPU, HTTP_TIMEOUT_SECONDS, KUBECONFIG, MEMORY, PODS
from ibutsu_tasks.errors import IbutsuTasksError
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from environments.models import Environment
    from ibutsu_tasks.settings import Settings

MANAGED = {"app.kubernetes.io/managed-by": "environments"}
ID_LABEL = "environments/id"
QUOTA = "environment"

POLL_SECONDS = 1.0
MOST_CHARACTERS = 500
"""What is kept of an error."""

# A cluster that is asked too much did nothing, and says for how long to wait: any call may be made again.
PATIENCE = Retry(
    total=3,
    connect=False,
    read=False,
    status_forcelist=[429],
    allowed_methods=None,
    backoff_factor=1,
    retry_after_max=60,
    raise_on_status=False,
)
GONE, CONFLICT = 404, 409


class ClusterError(IbutsuTasksError):
    """The cluster did not do it. `status` is what it answered with, 0 for no answer."""

    hint = "Run `ibutsu-tasks doctor --only cluster`."

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def _trying_to(do: str) -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise ClusterError(f"The cluster refused to {do}: {_told_by(error)}.", error.status or 0) from error
    except HTTPError as error:
        raise ClusterError(
            f"The cluster did not answer who asked to {do} ({type(error).__name__})."
        ) from error


def _told_by(error: ApiException) -> str:
    try:
        message = str(json.loads(error.body or "")["message"])
    except (ValueError, LookupError, TypeError):
        message = str(error.reason)
    return f"{cut(' '.join(message.split()), 300).rstrip('.')} ({error.status})"


class Cluster:
    """The cluster, as a context manager. Everything raises ClusterError."""

    def __init__(self, settings: Settings, timeout_seconds: float | None = None) -> None:
        self._settings = settings
        self._limit: dict[str, Any] = {
            "_request_timeout": timeout_seconds or settings.value(HTTP_TIMEOUT_SECONDS)
        }
        configuration = Configuration()
        try:
            if (kubeconfig := settings.value(KUBECONFIG)) is None:
                config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            else:
                config.load_kube_config(str(kubeconfig), None, configuration, persist_config=False)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise ClusterError(f"It is not known where the cluster is: {error}") from error
        configuration.retries = PATIENCE
        self._client = ApiClient(configuration)
        self._core = CoreV1Api(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.rest_client.pool_manager.clear()

    def make_namespace(self, environment: Environment) -> None:
        """Make its namespace, or label the one it has."""
        name, metadata = environment.namespace, _metadata_of(environment)
        try:
            with _trying_to(f"make the namespace {name}"):
                self._core.create_namespace(V1Namespace(metadata=metadata), **self._limit)
        except ClusterError as error:
            if error.status != CONFLICT:
                raise
            self.label_namespace(environment)

    def label_namespace(self, environment: Environment) -> None:
        """Give its namespace, which must be there, the labels of today."""
        name, metadata = environment.namespace, _metadata_of(environment)
        if self._own(environment) is None:
            raise ClusterError(f"The namespace {name} is gone.", GONE)
        with _trying_to(f"label the namespace {name}"):
            self._core.patch_namespace(name, V1Namespace(metadata=metadata), **self._limit)

    def set_quota(self, environment: Environment) -> None:
        """Have its resource quota as the settings say."""
        value, name = self._settings.value, environment.namespace
        hard = {"limits.cpu": value(CPU), "limits.memory": value(MEMORY), "pods": str(value(PODS))}
        quota = V1ResourceQuota(
            metadata=V1ObjectMeta(name=QUOTA, labels=MANAGED),
            spec=V1ResourceQuotaSpec(hard=hard),
        )
        try:
            with _trying_to(f"set the quota of {name}"):
                self._core.create_namespaced_resource_quota(name, quota, **self._limit)
        except ClusterError as error:
            if error.status != CONFLICT:
                raise
            with _trying_to(f"change the quota of {name}"):
                self._core.patch_namespaced_resource_quota(QUOTA, name, quota, **self._limit)

    def delete_namespace(self, environment: Environment) -> None:
        """Delete its namespace and all that is in it, and wait until it is gone."""
        found = self._own(environment, may_end=True)
        if found is not None and found.deletion_timestamp is None:
            try:
                with _trying_to(f"delete the namespace {environment.namespace}"):
                    self._core.delete_namespace(environment.namespace, **self._limit)
            except ClusterError as error:
                # Somebody else has it deleted.
                if error.status not in {GONE, CONFLICT}:
                    raise
        while self._own(environment, may_end=True) is not None:
            time.sleep(POLL_SECONDS)

    def namespaces(self) -> frozenset[str]:
        """Name those of all environments."""
        selector = ",".join(f"{name}={value}" for name, value in MANAGED.items())
        with _trying_to("list namespaces"):
            found = self._core.list_namespace(label_selector=selector, **self._limit)
        return frozenset(str(one.metadata.name) for one in found.items if one.metadata)

    def may(self, verb: str, resource: str) -> bool:
        """Say whether we may do this in all namespaces."""
        attributes = V1ResourceAttributes(verb=verb, resource=resource)
        review = V1SelfSubjectAccessReview(spec=V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
        with _trying_to("say what we may do"):
            answer = AuthorizationV1Api(self._client).create_self_subject_access_review(review, **self._limit)
        return bool(answer.status and answer.status.allowed)

    def _own(self, environment: Environment, *, may_end: bool = False) -> Any:
        """Give the metadata of its namespace, None without; it must be ours, and stay unless it `may_end`."""
        name = environment.namespace
        try:
            with _trying_to(f"show the namespace {name}"):
                found: Any = self._core.read_namespace(name, **self._limit).metadata
        except ClusterError as error:
            if error.status == GONE:
                return None
            raise
        if (found.labels or {}).get(ID_LABEL) != str(environment.id):
            raise ClusterError(f"The namespace {name} is somebody else's.", CONFLICT)
        if found.deletion_timestamp is not None and not may_end:
            raise ClusterError(f"The namespace {name} is being deleted.", CONFLICT)
        return found


def _metadata_of(environment: Environment) -> V1ObjectMeta:
    # Values of labels are 63 characters at most, without slashes.
    return V1ObjectMeta(
        name=environment.namespace,
        labels={
            **MANAGED,
            ID_LABEL: str(environment.id),
            "environments/pull-request": str(environment.pull_request),
        },
        annotations={
            "environments/repository": environment.repository,
            "environments/commit": environment.commit,
        },
    )
