"""`examples/kubernetes/deploy.sh`, with a real kubectl against an API that writes down what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.command_lines import read_command_line
from tests.manifests import KUBERNETES, kustomized
from tests.recording_cluster import Cluster, running

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = str(KUBERNETES / "deploy.sh")
BINARIES = Path(sys.executable).parent
NAMESPACE = "/api/v1/namespaces/ibutsu"
SECRET = f"{NAMESPACE}/secrets/ibutsu-tasks"
SECRET_VALUE = "c2VjcmV0"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster()
    keys = ("broker-url", "postgresql-password", "flower-basic-auth")
    metadata = {"name": "ibutsu-tasks", "namespace": "ibutsu"}
    cluster.objects = {
        NAMESPACE: {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "ibutsu"}},
        SECRET: {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": metadata,
            "data": dict.fromkeys(keys, SECRET_VALUE),
        },
    }
    with running(cluster, tmp_path / "config"):
        yield cluster


def deploy(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {"KUBECONFIG": str(home / "config"), "KUBECACHEDIR": str(home / "cache"), "HOME": str(home)}
    path = f"{BINARIES}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [SCRIPT, *words],
        env={**os.environ, "PATH": path, **own, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_shellcheck_has_nothing_to_say() -> None:
    command = [str(BINARIES / "shellcheck"), SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_finds_what_lies_beside_it_from_wherever_it_is_called() -> None:
    folder = KUBERNETES.parent
    done = subprocess.run(
        ["kubernetes/deploy.sh", "huge"],
        env={**os.environ, "CDPATH": str(folder), "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert f"there is no overlay huge in {KUBERNETES}/overlays." in done.stderr


def test_an_overlay_is_applied_awaited_and_checked(cluster: Cluster, tmp_path: Path) -> None:
    done = deploy(tmp_path, "production", "--", "--workers", "3", "--failover")
    assert done.returncode == 0, done.stderr
    expected = kustomized("production").documents
    assert [one["metadata"]["name"] for one in cluster.applied] == [
        one["metadata"]["name"] for one in expected
    ]
    assert_all_awaited("production", done.stdout)
    ((program, *words),) = cluster.commands
    assert (program, words) == ("ibutsu-tasks", ["deploy", "check", "--workers", "3", "--failover"])
    read_command_line(words)
    assert done.stdout.endswith("checked\n")
    assert SECRET_VALUE not in done.stdout + done.stderr


def assert_all_awaited(overlay: str, said: str) -> None:
    for deployment in kustomized(overlay).all("Deployment"):
        assert f'"{deployment["metadata"]["name"]}" successfully rolled out' in said


def test_all_groups_of_workers_are_awaited(cluster: Cluster, tmp_path: Path) -> None:
    objects = cluster.objects.items()
    cluster.objects = {path.replace("namespaces/ibutsu", "namespaces/shop"): one for path, one in objects}
    done = deploy(tmp_path, "shop", "--", "--workers", "6")
    assert done.returncode == 0, done.stderr
    assert_all_awaited("shop", done.stdout)


def test_it_ends_as_the_check_does(cluster: Cluster, tmp_path: Path) -> None:
    cluster.exit_code = 4
    assert deploy(tmp_path).returncode == 4
    assert cluster.commands == [["ibutsu-tasks", "deploy", "check"]]


def test_what_does_not_roll_out_is_not_checked(cluster: Cluster, tmp_path: Path) -> None:
    cluster.is_stuck = True
    done = deploy(tmp_path, "small", ROLLOUT_TIMEOUT="1s")
    assert (done.returncode, cluster.commands) == (1, [])
    assert "timed out" in done.stderr


@pytest.mark.parametrize(
    ("words", "lost", "sentence"),
    [
        (["huge"], "", "there is no overlay huge"),
        ([], NAMESPACE, "kubectl create namespace ibutsu"),
        ([], SECRET, "there is no secret ibutsu-tasks in ibutsu"),
        ([], "flower-basic-auth", "has no key flower-basic-auth"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_applied(
    cluster: Cluster, tmp_path: Path, words: list[str], lost: str, sentence: str
) -> None:
    cluster.objects.pop(lost, None)
    cluster.objects.get(SECRET, {"data": {}})["data"].pop(lost, None)
    done = deploy(tmp_path, *words)
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]
    assert not cluster.applied
