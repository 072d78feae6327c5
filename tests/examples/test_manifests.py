"""Manifests of clusters: fit for three releases of Kubernetes, and for the command line they start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
from yamllint import linter
from yamllint.config import YamlLintConfig

from ibutsu_tasks import __version__
from ibutsu_tasks.cli import _WRONG_USAGE as WRONG_USAGE
from ibutsu_tasks.errors import UsageError
from tests.command_lines import read_command_line, read_environment
from tests.manifests import EXAMPLES, Document, Fleet, fleets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELEASES = ("1.33", "1.35", "1.37")
OTHERS = {"ScaledObject", "Route"}
"""Kinds that are no part of Kubernetes; their own tests look at them."""

SECRETS = {
    "CELERY_BROKER_URL": "redis://:s3cret@redis:6379/0",
    "POSTGRESQL_PASSWORD": "s3cret",
    "FLOWER_BASIC_AUTH": "operator:s3cret",
}
MOUNTED = "/run/secrets/ibutsu-tasks/"

YAML_RULES = """
extends: default
rules:
  document-start: disable
  line-length: {max: 125}
  truthy: {check-keys: false}
"""


@pytest.fixture(params=fleets())
def fleet(request: pytest.FixtureRequest) -> Fleet:
    return fleets()[request.param]


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.y*ml")), ids=lambda path: path.name)
def test_every_file_is_tidy(path: Path) -> None:
    assert not list(linter.run(path.read_text(encoding="utf-8"), YamlLintConfig(YAML_RULES)))


@pytest.mark.parametrize("release", RELEASES)
def test_every_document_follows_the_schema(fleet: Fleet, release: str) -> None:
    known = [one for one in fleet.documents if one["kind"] not in OTHERS]
    assert known
    for document in known:
        assert kubernetes_validate.validate(document, release, strict=True) == release


def test_a_wrong_document_is_refused() -> None:
    document = fleets()["small"].deployment("worker")
    wrong = {**document, "spec": {**document["spec"], "replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, RELEASES[0], strict=True)


def secret_files(pod: Document, container: Document) -> dict[str, str]:
    """The files of Secrets that a container can read, and in which key each stands."""
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    return {
        f"{mounts[volume['name']]}/{item['path']}": item["key"]
        for volume in pod["volumes"]
        if "secret" in volume and volume["name"] in mounts
        for item in volume["secret"]["items"]
    }


def test_secrets_come_from_the_secret_alone(fleet: Fleet) -> None:
    used, mounted = set(), set()
    for pod, container in fleet.containers():
        environment = fleet.environment(container)
        assert not SECRETS.keys() & environment.keys()
        named = {value for name, value in environment.items() if name.endswith("_FILE")}
        files = secret_files(pod, container).keys()
        assert named <= files
        used, mounted = used | named, mounted | files
    assert used == mounted
    assert not fleet.all("Secret")


def test_every_variable_is_a_setting_and_can_be_used(fleet: Fleet) -> None:
    for _, container in fleet.containers():
        environment = fleet.environment(container)
        for name in [name for name in environment if name.endswith("_FILE")]:
            assert environment.pop(name).startswith(MOUNTED)
            environment[name.removesuffix("_FILE")] = SECRETS[name.removesuffix("_FILE")]
        read_environment(environment)


def command_lines(fleet: Fleet) -> Iterator[list[str]]:
    for _, container in fleet.containers():
        assert "command" not in container, "the image has its entrypoint"
        yield container["args"]
        for hook in container.get("lifecycle", {}).values():
            program, *words = hook["exec"]["command"]
            assert program == "ibutsu-tasks"
            yield words


def test_every_command_line_can_be_read(fleet: Fleet) -> None:
    for words in command_lines(fleet):
        read_command_line(words)


@pytest.mark.parametrize("line", ["worker --graces 5", "drain --timeout soon", "beats", "drain now"])
def test_a_wrong_command_line_is_noticed(line: str) -> None:
    with pytest.raises((KeyError, UsageError, WRONG_USAGE)):
        read_command_line(line.split())


def test_the_secret_has_a_key_for_each_file() -> None:
    keys = {
        key
        for fleet in fleets().values()
        for pod, container in fleet.containers()
        for key in secret_files(pod, container).values()
    }
    assert keys == {"broker-url", "postgresql-password", "flower-basic-auth"}


def test_every_image_is_named_by_a_tag_that_never_moves() -> None:
    """A node that has a tag pulls it no more, and pods of two builds would run side by side."""
    pages = [path.read_text("utf-8", "ignore") for path in EXAMPLES.rglob("*") if path.is_file()]
    tags = [tag for page in pages for tag in re.findall(r'(?:/ibutsu-tasks:|newTag: ")([\w.]+)', page)]
    assert tags == [__version__] * 8
