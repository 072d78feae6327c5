"""The manifests in `examples/` as a cluster gets them: rendered, parameters filled in."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[1] / "examples"
KUBERNETES = EXAMPLES / "kubernetes"
KUBECTL = str(Path(sys.executable).with_name("kubectl"))

OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())

Document = dict[str, Any]


@dataclass(frozen=True)
class Fleet:
    """The documents of one installation."""

    documents: tuple[Document, ...]

    def all(self, kind: str) -> list[Document]:
        return [one for one in self.documents if one["kind"] == kind]

    def one(self, kind: str, name: str) -> Document:
        (found,) = [one for one in self.all(kind) if one["metadata"]["name"] == name]
        return found

    def deployment(self, role: str) -> Document:
        return self.one("Deployment", f"ibutsu-tasks-{role}")

    def pod(self, role: str) -> Document:
        return dict(self.deployment(role)["spec"]["template"]["spec"])

    def containers(self) -> Iterator[tuple[Document, Document]]:
        """Each pod with each of its containers."""
        for deployment in self.all("Deployment"):
            pod = deployment["spec"]["template"]["spec"]
            yield from ((pod, container) for container in pod["containers"])

    def environment(self, container: Document) -> dict[str, str]:
        """The variables of a container, those of its ConfigMaps first."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            found |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {one["name"]: one["value"] for one in container["env"]}


def container_of(pod: Document, name: str) -> Document:
    (found,) = [one for one in pod["containers"] if one["name"] == name]
    return dict(found)


@cache
def kustomized(overlay: str) -> Fleet:
    """What `kubectl apply -k` sends for an overlay."""
    command = (KUBECTL, "kustomize", str(KUBERNETES / "overlays" / overlay))
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr
    return Fleet(tuple(yaml.safe_load_all(done.stdout)))


@cache
def processed(**given: str) -> Fleet:
    """What `oc process` makes of the Template with some parameters, and the defaults of all others."""
    template = yaml.safe_load((EXAMPLES / "openshift" / "template.yaml").read_text(encoding="utf-8"))
    values = {one["name"]: one.get("value", "given") for one in template["parameters"]} | given
    return Fleet(tuple(_filled(one, values) for one in template["objects"]))


def _filled(value: Any, values: dict[str, str]) -> Any:
    """Fill in `${NAME}`, and `${{NAME}}`, which gives what the text is in JSON."""
    if isinstance(value, dict):
        return {name: _filled(one, values) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, values) for one in value]
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"\$\{\{(\w+)\}\}", value):
        return yaml.safe_load(values[whole[1]])
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], value)


def fleets() -> dict[str, Fleet]:
    return {**{name: kustomized(name) for name in OVERLAYS}, "openshift": processed()}
