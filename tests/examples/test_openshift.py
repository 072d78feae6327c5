"""`examples/openshift`: what is OpenShift's own; the objects are held to the same as those of Kubernetes."""

from __future__ import annotations

import re

import jsonschema
import yaml

from ibutsu_tasks.deployment import updates
from tests.manifests import EXAMPLES, processed

PATH = EXAMPLES / "openshift" / "template.yaml"

TEMPLATE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "parameters", "objects"],
    "properties": {
        "apiVersion": {"const": "template.openshift.io/v1"},
        "kind": {"const": "Template"},
        "metadata": {"type": "object", "required": ["name", "annotations"]},
        "message": {"type": "string"},
        "labels": {"type": "object"},
        "parameters": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "description"],
                "properties": {
                    "name": {"type": "string", "pattern": "^[A-Z_]+$"},
                    "displayName": {"type": "string"},
                    "description": {"type": "string"},
                    "value": {"type": "string"},
                    "required": {"type": "boolean"},
                },
            },
        },
        "objects": {"type": "array", "minItems": 1},
    },
}
ROUTE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["to", "port", "tls"],
    "properties": {
        "to": {"type": "object", "required": ["kind", "name"]},
        "port": {"type": "object", "required": ["targetPort"]},
        "tls": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "termination": {"enum": ["edge", "passthrough", "reencrypt"]},
                "insecureEdgeTerminationPolicy": {"enum": ["None", "Allow", "Redirect"]},
            },
        },
    },
}


def test_it_is_a_template_and_uses_each_parameter() -> None:
    text = PATH.read_text(encoding="utf-8")
    template = yaml.safe_load(text)
    jsonschema.validate(template, TEMPLATE)
    names = [one["name"] for one in template["parameters"]]
    assert sorted(set(re.findall(r"\$\{\{?(\w+)", text))) == sorted(names)
    assert [one["name"] for one in template["parameters"] if one.get("required")] == ["IMAGE"]
    assert processed().deployment("worker")["spec"]["replicas"] == 3


def test_one_worker_alone_goes_when_the_next_one_is_there() -> None:
    fleet = processed(WORKER_REPLICAS="1", WORKER_MAX_UNAVAILABLE="0")
    assert updates._fault(updates._read(fleet.deployment("worker")), 25) is None
    at_once = processed(WORKER_REPLICAS="1").deployment("worker")
    found = updates._fault(updates._read(at_once), 25)
    assert found is not None
    assert found.code == "IBT-A92"


def test_the_cluster_chooses_the_user() -> None:
    for pod, _ in processed().containers():
        assert pod["securityContext"].keys() == {"runAsNonRoot", "seccompProfile"}


def test_flower_is_reached_by_tls_alone() -> None:
    (route,) = processed().all("Route")
    jsonschema.validate(route["spec"], ROUTE)
    service = processed().one("Service", route["spec"]["to"]["name"])
    assert route["spec"]["port"]["targetPort"] in [port["name"] for port in service["spec"]["ports"]]
    assert route["spec"]["tls"] == {"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"}
