"""Scaling by the load, with KEDA or without: the same numbers, and one drained worker after the other."""

from __future__ import annotations

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.manifests import KUBERNETES, Document, fleets

FOLDER = KUBERNETES / "overlays" / "production"
METRIC = "ibutsu_tasks_load"

# What the ScaledObject of KEDA 2.15 has; what it passes on to the autoscaler is compared with the plain one.
SCALED_OBJECT = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "kind": {"const": "ScaledObject"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["scaleTargetRef", "triggers"],
            "properties": {
                "scaleTargetRef": {"type": "object", "required": ["name"]},
                "minReplicaCount": {"type": "integer", "minimum": 0},
                "maxReplicaCount": {"type": "integer", "minimum": 1},
                "pollingInterval": {"type": "integer", "minimum": 1},
                "cooldownPeriod": {"type": "integer", "minimum": 0},
                "fallback": {"type": "object"},
                "advanced": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "restoreToOriginalReplicaCount": {"type": "boolean"},
                        "horizontalPodAutoscalerConfig": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"name": {"type": "string"}, "behavior": {"type": "object"}},
                        },
                    },
                },
                "triggers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["type", "metadata"],
                        "properties": {
                            "type": {"const": "metrics-api"},
                            "metricType": {"enum": ["Value", "AverageValue"]},
                            "metadata": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["url", "valueLocation", "targetValue"],
                                "properties": {
                                    "url": {"type": "string"},
                                    "format": {"enum": ["json", "xml", "yaml", "prometheus"]},
                                    "valueLocation": {"type": "string"},
                                    "targetValue": {"type": "string", "pattern": r"^\d+(\.\d+)?$"},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def scaled_object() -> Document:
    (found,) = fleets()["production"].all("ScaledObject")
    return found


@pytest.fixture
def autoscaler() -> Document:
    return dict(yaml.safe_load((FOLDER / "scaling-hpa.yaml").read_text(encoding="utf-8")))


def test_both_follow_their_schemas(scaled_object: Document, autoscaler: Document) -> None:
    jsonschema.validate(scaled_object, SCALED_OBJECT)
    kubernetes_validate.validate(autoscaler, "1.33", strict=True)


def test_both_scale_the_worker_by_the_load(scaled_object: Document, autoscaler: Document) -> None:
    name = fleets()["production"].deployment("worker")["metadata"]["name"]
    assert scaled_object["spec"]["scaleTargetRef"]["name"] == name
    assert autoscaler["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": name,
    }
    (trigger,), (metric,) = scaled_object["spec"]["triggers"], autoscaler["spec"]["metrics"]
    assert trigger["metadata"]["valueLocation"] == metric["external"]["metric"]["name"] == METRIC
    target = metric["external"]["target"]
    # One message per slot; the number is that of the fleet, not of each pod.
    assert (trigger["metricType"], trigger["metadata"]["targetValue"]) == ("Value", "1")
    assert target == {"type": "Value", "value": "1"}


def test_keda_asks_the_exporter_of_the_same_namespace(scaled_object: Document) -> None:
    service = fleets()["production"].one("Service", "ibutsu-tasks-metrics")
    metadata, (port,) = service["metadata"], service["spec"]["ports"]
    host = f"{metadata['name']}.{metadata['namespace']}.svc.cluster.local"
    (trigger,) = scaled_object["spec"]["triggers"]
    assert trigger["metadata"]["url"] == f"http://{host}:{port['port']}/metrics"


def test_one_worker_after_the_other_is_drained(scaled_object: Document, autoscaler: Document) -> None:
    behaviour = autoscaler["spec"]["behavior"]
    assert scaled_object["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == behaviour
    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert behaviour["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]
    assert behaviour["scaleUp"]["policies"] == [{"type": "Percent", "value": 100, "periodSeconds": 60}]
    limits = (scaled_object["spec"]["minReplicaCount"], scaled_object["spec"]["maxReplicaCount"])
    assert (autoscaler["spec"]["minReplicas"], autoscaler["spec"]["maxReplicas"]) == limits == (3, 12)
