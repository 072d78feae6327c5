"""What the manifests of clusters promise, sentence by sentence: an altered number fails here."""

from __future__ import annotations

import pytest

from ibutsu_tasks.deployment import updates
from tests.manifests import Document, Fleet, container_of, fleets

WORKER_RESOURCES = {
    "requests": {"cpu": "300m", "memory": "512Mi"},
    "limits": {"cpu": "800m", "memory": "1Gi"},
}
METRICS_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"cpu": "500m", "memory": "256Mi"},
}
BEAT_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "500m", "memory": "512Mi"},
}

PROBES = {
    # Path, pause, and how long an answer may take; start-up is looked at for 300 s altogether.
    "startupProbe": ("/startupz", 5, 3),
    "livenessProbe": ("/livez", 15, 5),
    "readinessProbe": ("/readyz", 10, 3),
}
STARTUP_SECONDS = 300
OWN_USER = {"runAsUser": 1001, "runAsGroup": 0, "fsGroup": 1001}
"""Of the image; OpenShift chooses others."""


@pytest.fixture(params=fleets())
def fleet(request: pytest.FixtureRequest) -> Fleet:
    return fleets()[request.param]


def grace_seconds(fleet: Fleet) -> int:
    return int(fleet.environment(fleet.pod("worker")["containers"][0])["IBUTSU_TASKS_GRACE_SECONDS"])


def pod_labels(fleet: Fleet, role: str) -> dict[str, str]:
    return dict(fleet.deployment(role)["spec"]["template"]["metadata"]["labels"])


def port_number(container: Document, name: str) -> int:
    return next(port["containerPort"] for port in container["ports"] if port["name"] == name)


def test_a_worker_consumes_several_queues_with_several_processes(fleet: Fleet) -> None:
    (worker,) = fleet.pod("worker")["containers"]
    assert worker["args"] == ["worker"]
    environment = fleet.environment(worker)
    assert len(environment["CELERY_WORKER_QUEUES"].split(",")) > 1
    assert int(environment["CELERY_WORKER_CONCURRENCY"]) >= 1
    assert worker["resources"] == WORKER_RESOURCES


def test_of_production_there_are_three_workers_of_four_processes() -> None:
    fleet = fleets()["production"]
    # The scaler says how many; a number here would be set again by every `apply`.
    assert "replicas" not in fleet.deployment("worker")["spec"]
    (scaler,) = fleet.all("ScaledObject")
    assert scaler["spec"]["minReplicaCount"] == 3
    assert fleet.environment(fleet.pod("worker")["containers"][0])["CELERY_WORKER_CONCURRENCY"] == "4"
    assert fleets()["small"].deployment("worker")["spec"]["replicas"] == 1


def least_replicas(fleet: Fleet, deployment: Document) -> int:
    """How many there are at least: what its scaler says, else what it says itself."""
    specs = [one["spec"] for kind in ("ScaledObject", "HorizontalPodAutoscaler") for one in fleet.all(kind)]
    (least,) = [
        spec.get("minReplicaCount") or spec["minReplicas"]
        for spec in specs
        if spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    ] or [deployment["spec"]["replicas"]]
    return int(least)


def test_workers_are_rolled_one_by_one_and_never_all_at_once(fleet: Fleet) -> None:
    workers = [one for one in fleet.all("Deployment") if updates.is_of_workers(one)]
    assert fleet.deployment("worker") in workers
    for deployment in workers:
        least, strategy = least_replicas(fleet, deployment), deployment["spec"]["strategy"]
        rolling = {"maxSurge": 1, "maxUnavailable": 0 if least == 1 else 1}
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": rolling}
        # As `deploy check` judges it once the scaler has set its number.
        running = {**deployment, "spec": {"replicas": least, **deployment["spec"]}}
        assert updates._fault(updates._read(running), grace_seconds(fleet)) is None


def test_a_worker_is_drained_and_then_has_its_grace(fleet: Fleet) -> None:
    pod = fleet.pod("worker")
    (worker,) = pod["containers"]
    program, command, option, drain_seconds = worker["lifecycle"]["preStop"]["exec"]["command"]
    assert (program, command, option) == ("ibutsu-tasks", "drain", "--timeout")
    assert int(drain_seconds) >= 600
    spare = pod["terminationGracePeriodSeconds"] - int(drain_seconds) - grace_seconds(fleet)
    # To start the commands, and to end what runs; more would only delay a node that is to go.
    assert spare == 30


@pytest.mark.parametrize("role", ["worker", "scheduler"])
def test_pods_are_spread_and_not_all_gone_at_once(fleet: Fleet, role: str) -> None:
    labels = fleet.deployment(role)["spec"]["selector"]["matchLabels"]
    # The component alone may be that of somebody else's pods.
    assert labels == {"app.kubernetes.io/name": "ibutsu-tasks", "app.kubernetes.io/component": role}
    assert labels.items() <= fleet.deployment(role)["spec"]["template"]["metadata"]["labels"].items()
    (rule,) = fleet.pod(role)["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert rule["weight"] == 100
    assert rule["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert rule["podAffinityTerm"]["labelSelector"]["matchLabels"] == labels
    budget = fleet.one("PodDisruptionBudget", f"ibutsu-tasks-{role}")["spec"]
    assert (budget["maxUnavailable"], budget["selector"]["matchLabels"]) == (1, labels)


def test_two_beats_stand_beside_flower(fleet: Fleet) -> None:
    spec = fleet.deployment("scheduler")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    beat, flower = spec["template"]["spec"]["containers"]
    assert (beat["args"], flower["args"]) == (["beat"], ["flower"])
    assert beat["resources"] == flower["resources"] == BEAT_RESOURCES
    ports = [port["containerPort"] for one in (beat, flower) for port in one["ports"]]
    assert ports == [8000, 5555, 8001]


def test_flower_is_open_and_behind_its_password(fleet: Fleet) -> None:
    flower = container_of(fleet.pod("scheduler"), "flower")
    environment = fleet.environment(flower)
    assert environment["FLOWER_ADDRESS"] == "0.0.0.0"  # noqa: S104
    assert environment["FLOWER_BASIC_AUTH_FILE"].endswith("/flower-basic-auth")
    (port,) = fleet.one("Service", "ibutsu-tasks-flower")["spec"]["ports"]
    assert port_number(flower, port["targetPort"]) == 5555


@pytest.mark.parametrize(
    ("role", "name"), [("worker", "worker"), ("scheduler", "beat"), ("scheduler", "flower")]
)
def test_probes_ask_the_health_port(fleet: Fleet, role: str, name: str) -> None:
    container = container_of(fleet.pod(role), name)
    health_port = int(fleet.environment(container)["IBUTSU_TASKS_HEALTH_PORT"])
    for probe, expected in PROBES.items():
        asked = container[probe]
        assert (asked["httpGet"]["path"], asked["periodSeconds"], asked["timeoutSeconds"]) == expected
        assert port_number(container, asked["httpGet"]["port"]) == health_port
    assert container["startupProbe"]["failureThreshold"] * PROBES["startupProbe"][1] == STARTUP_SECONDS


def test_one_exporter_serves_the_numbers(fleet: Fleet) -> None:
    spec = fleet.deployment("metrics")["spec"]
    (metrics,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], metrics["args"]) == (1, ["metrics", "--port", "8000"])
    (port,) = fleet.one("Service", "ibutsu-tasks-metrics")["spec"]["ports"]
    assert (port["port"], port_number(metrics, port["targetPort"])) == (8000, 8000)
    for probe in ("startupProbe", "livenessProbe"):
        asked = metrics[probe]
        assert asked["httpGet"] == {"path": "/livez", "port": port["targetPort"]}
        assert (asked["periodSeconds"], asked["timeoutSeconds"]) == PROBES[probe][1:]
    startup = metrics["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == STARTUP_SECONDS
    assert metrics["resources"] == METRICS_RESOURCES


def test_prometheus_finds_every_pod(fleet: Fleet) -> None:
    for deployment in fleet.all("Deployment"):
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]
        port = int(annotations["prometheus.io/port"])
        assert (annotations["prometheus.io/scrape"], annotations["prometheus.io/path"]) == (
            "true",
            "/metrics",
        )
        containers = deployment["spec"]["template"]["spec"]["containers"]
        assert port in [one["containerPort"] for container in containers for one in container["ports"]]


def test_no_process_may_more_than_it_needs(fleet: Fleet) -> None:
    for pod, container in fleet.containers():
        common = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert pod["securityContext"] in (common, common | OWN_USER)
        assert pod["enableServiceLinks"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        scratch = fleet.environment(container)["IBUTSU_TASKS_SCRATCH_DIR"]
        claims = {one["name"] for one in pod["volumes"] if "persistentVolumeClaim" in one}
        own = [one for one in container["volumeMounts"] if one["name"] not in claims]
        (mount,) = [one for one in own if not one.get("readOnly")]
        assert mount["mountPath"] == scratch == "/scratch"
        (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
        assert volume["emptyDir"] == {"sizeLimit": "8Gi" if container["name"] == "worker" else "64Mi"}
        # Readable for the group of the process, and for nobody else.
        assert [one["secret"]["defaultMode"] for one in pod["volumes"] if "secret" in one] == [0o440]


def test_only_the_check_may_read_the_cluster(fleet: Fleet) -> None:
    for deployment in fleet.all("Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        account = pod.get("serviceAccountName")
        assert (pod.get("automountServiceAccountToken") is False) == (account is None)
    (role,) = fleet.all("Role")
    assert role["rules"] == [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}]
    (binding,), name = fleet.all("RoleBinding"), role["metadata"]["name"]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    (subject,), (account,) = binding["subjects"], fleet.all("ServiceAccount")
    assert (subject["kind"], subject["name"]) == ("ServiceAccount", account["metadata"]["name"])
    assert fleet.pod("metrics")["serviceAccountName"] == subject["name"]


def test_the_network_is_closed_but_for_what_is_needed(fleet: Fleet) -> None:
    policy = fleet.one("NetworkPolicy", "ibutsu-tasks")["spec"]
    labels = policy["podSelector"]["matchLabels"]
    assert labels, "an empty selector would be that of every pod in the namespace"
    for deployment in fleet.all("Deployment"):
        assert labels.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    open_in = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    open_out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert open_in == {8000, 8001, 5555}
    assert open_out == {53, 5353, 5432, 6379}
    numbers, flower = policy["ingress"]
    # Where Prometheus and KEDA are is not known; who visits Flower comes from here, or by the cluster's door.
    assert numbers["from"] == [{"namespaceSelector": {}}]
    assert [port["port"] for port in flower["ports"]] == [5555]
    assert flower["from"][0] == {"podSelector": {}}
    doors = [one["namespaceSelector"]["matchLabels"] for one in flower["from"][1:]]
    assert doors == [{"policy-group.network.openshift.io/ingress": ""}] * len(fleet.all("Route"))
    check = fleet.one("NetworkPolicy", "ibutsu-tasks-check")["spec"]
    assert check["podSelector"]["matchLabels"].items() <= pod_labels(fleet, "metrics").items()
    own, cluster = [{port["port"] for port in rule["ports"]} for rule in check["egress"]]
    assert (own, cluster) == (open_in, {443, 6443})
