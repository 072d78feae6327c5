"""The overlay of a system with eight queues: each group of them has workers that scale by them."""

from __future__ import annotations

import ast
import re

import pytest

from tests.manifests import EXAMPLES, Document, fleets

SUFFIXES = ("", "-steady", "-backups")
SHOP, ROOT = EXAMPLES / "shop", EXAMPLES.parent
PROGRAMS_OF_THE_CLIENT = {"pg_dump", "pg_restore", "pg_receivewal"}
"""What backups run of Debian's `postgresql-client-17`."""


def queues_of(suffix: str) -> list[str]:
    fleet = fleets()["shop"]
    (container,) = fleet.pod(f"worker{suffix}")["containers"]
    return fleet.environment(container)["CELERY_WORKER_QUEUES"].split(",")


def scaler_of(suffix: str) -> Document:
    return fleets()["shop"].one("HorizontalPodAutoscaler", f"ibutsu-tasks-worker{suffix}")["spec"]


def declared_queues() -> list[str]:
    """Read the queues of the package, which is not installed here."""
    tree = ast.parse((EXAMPLES / "shop/shop/package.py").read_text("utf-8"))
    (value,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "QUEUES"
    ]
    return list(ast.literal_eval(value))


def test_every_queue_is_in_one_group() -> None:
    queues = [queue for suffix in SUFFIXES for queue in queues_of(suffix)]
    assert sorted(queues) == sorted(declared_queues())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_group_scales_by_its_own_queues(suffix: str) -> None:
    spec = scaler_of(suffix)
    assert spec["scaleTargetRef"]["name"] == f"ibutsu-tasks-worker{suffix}"
    assert "replicas" not in fleets()["shop"].deployment(f"worker{suffix}")["spec"]
    (metric,) = spec["metrics"]
    assert metric["external"]["metric"] == {
        "name": "ibutsu_tasks_queue_messages",
        "selector": {"matchExpressions": [{"key": "queue", "operator": "In", "values": queues_of(suffix)}]},
    }
    # One message for each process of a worker.
    (container,) = fleets()["shop"].pod(f"worker{suffix}")["containers"]
    processes = fleets()["shop"].environment(container)["CELERY_WORKER_CONCURRENCY"]
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": processes}


def test_the_groups_grow_and_shrink_as_the_workers_of_production_do() -> None:
    (plain,) = fleets()["production"].all("ScaledObject")
    behaviour = plain["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert all(scaler_of(suffix)["behavior"] == behaviour for suffix in SUFFIXES)
    limits = [(scaler_of(suffix)["minReplicas"], scaler_of(suffix)["maxReplicas"]) for suffix in SUFFIXES]
    assert limits == [(3, 12), (2, 6), (1, 3)]


def test_no_pod_is_two_deployments_or_two_budgets() -> None:
    fleet = fleets()["shop"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        selectors = [one["spec"]["selector"]["matchLabels"] for one in fleet.all(kind)]
        for deployment in fleet.all("Deployment"):
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            fitting = [one for one in selectors if one.items() <= labels.items()]
            assert len(fitting) <= 1, (deployment["metadata"]["name"], kind)
        assert len(selectors) == (5 if kind == "Deployment" else 4)


def test_the_data_of_all_groups_lie_in_one_claim() -> None:
    fleet = fleets()["shop"]
    (claim,) = fleet.all("PersistentVolumeClaim")
    for suffix in SUFFIXES:
        pod = fleet.pod(f"worker{suffix}")
        (container,) = pod["containers"]
        assert {"name": "data", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in pod[
            "volumes"
        ]
        places = [value for name, value in fleet.environment(container).items() if name.endswith("_DIR")]
        mounted = tuple(mount["mountPath"] for mount in container["volumeMounts"])
        assert len(places) == 5
        assert all(place.startswith(mounted) for place in places)


def test_the_check_asks_for_the_queues_of_all_groups() -> None:
    fleet = fleets()["shop"]
    (metrics,) = fleet.pod("metrics")["containers"]
    asked = fleet.environment(metrics)["CELERY_WORKER_QUEUES"].split(",")
    assert asked == [queue for suffix in SUFFIXES for queue in queues_of(suffix)]


def test_the_containerfile_fits_what_it_is_made_of_and_for() -> None:
    """It is not built here: that takes the image it begins with, and Debian's packages."""
    text = (SHOP / "Containerfile").read_text("utf-8")
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    base = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Containerfile").read_text("utf-8"), re.MULTILINE)
    assert base is not None
    assert arguments == {"BASE": base[1], "IMAGE": image_of("production")}
    assert f"--tag {image_of('shop')} examples/shop" in text
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    allowed = re.findall(r"^!(.+)$", (SHOP / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert sorted(" ".join(copied).split()) == sorted(allowed)
    assert all((SHOP / name).exists() for name in allowed)


def test_the_image_has_every_program_that_backups_run() -> None:
    code = (SHOP / "shop/tasks/backups.py").read_text("utf-8")
    programs = set(re.findall(r'postgresql\.run\(\s*settings, "(\w+)"', code))
    text = (SHOP / "Containerfile").read_text("utf-8")
    others = set(re.findall(r"bin/(pg_\w+) ", text))
    assert "postgresql-client-17" in text
    assert programs == PROGRAMS_OF_THE_CLIENT | others


def image_of(overlay: str) -> str:
    (worker,) = fleets()[overlay].pod("worker")["containers"]
    return str(worker["image"])


def test_webhooks_and_rates_may_go_out() -> None:
    policy = fleets()["shop"].one("NetworkPolicy", "shop-outgoing")["spec"]
    (allowed,) = policy["podSelector"]["matchExpressions"]
    groups = {queue: f"worker{suffix}" for suffix in SUFFIXES for queue in queues_of(suffix)}
    assert allowed["values"] == [groups["webhooks"], groups["pricing"]]
    assert policy["egress"] == [{"ports": [{"port": 443}]}]
