"""The image, built for real and run as clusters run it: `pytest -m image -n 0` as root."""

from __future__ import annotations

import json
import time
from importlib.metadata import distributions
from typing import TYPE_CHECKING

import psutil
import pytest
from packaging.utils import canonicalize_name

from ibutsu_tasks import __version__
from ibutsu_tasks.broker.connection import build_client
from tests.commands import until
from tests.doors import dead_port
from tests.factories import make_import
from tests.held_imports import held_artifacts
from tests.image.building import pinned_versions
from tests.worker_system import System, import_message

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from tests.image.building import Store
    from tests.image.containers import Container, Image

pytestmark = pytest.mark.image

OWN, FOREIGN = 1001, 1_000_650_000
"""The user of the image, and one as OpenShift makes them up."""

GRACE_SECONDS = 2.0

PROBE = ("ibutsu-tasks", "probe", "ready")

# Its output goes to a file in the scratch directory, and from there to the database.
LARGE = "<testsuite name='s'><testcase name='a'><system-out>{}</system-out></testcase></testsuite>".format(
    "lines of output\n" * 100_000
)


def test_it_holds_what_is_needed_and_nothing_else(image: Image) -> None:
    (site,) = image.files.glob("opt/ibutsu-tasks/lib/python3*/site-packages")
    found = distributions(path=[str(site)])
    installed = {canonicalize_name(one.metadata["Name"]): one.version for one in found}
    assert installed == {"ibutsu-tasks": __version__, **pinned_versions()}
    for needless in ("pip*", "gcc*", "cc", "make"):
        assert not [*image.files.glob(f"usr/bin/{needless}"), *image.files.glob(f"usr/local/bin/{needless}")]
    assert len(list(site.rglob("*.pyc"))) == len(list(site.rglob("*.py"))) > 1000


def test_it_says_how_it_wants_to_be_run(image: Image) -> None:
    config = image.config
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["ibutsu-tasks"], ["--help"], "1001:0")
    assert config["Healthcheck"]["Test"] == ["CMD", "ibutsu-tasks", "probe", "live"]
    assert (list(config["Volumes"]), list(config["ExposedPorts"])) == (["/scratch"], ["8000/tcp"])
    assert {"IBUTSU_TASKS_SCRATCH_DIR=/scratch", "IBUTSU_TASKS_HEALTH_PORT=8000"} <= set(config["Env"])
    assert (image.files / "scratch").stat().st_mode & 0o7777 == 0o770
    assert config["Labels"]["org.opencontainers.image.version"] == __version__


@pytest.mark.parametrize("arguments", ["", "worker --help", "beat --help", "flower --help"])
def test_every_role_shows_its_help(image: Image, arguments: str) -> None:
    done = image.run(*arguments.split(), uid=OWN)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: ibutsu-tasks {arguments.partition(' ')[0]}".rstrip())


def test_the_doctor_says_what_is_missing(image: Image) -> None:
    done = image.run("doctor", uid=FOREIGN)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "CELERY_BROKER_URL" in done.stdout


@pytest.mark.parametrize("uid", [OWN, FOREIGN])
def test_a_worker_imports_a_file(
    image: Image, env: dict[str, str], uid: int, say: Callable[[str], None]
) -> None:
    env |= {"HOME": "/"} if uid == FOREIGN else {}
    began = time.monotonic()
    with image.running("worker", uid=uid, **env) as worker:
        worker.process.wait_for("ready.")
        say(f"a worker is ready after {time.monotonic() - began:.1f} s")
        wait_until_ready(worker)
        done = image.run("import", "-", uid=uid, stdin=LARGE, **env)
        assert done.returncode == 0, done.stderr + worker.process.output
        assert worker.process.stop() == 0
    assert "Traceback" not in worker.process.output


@pytest.mark.parametrize("name", ["beat", "flower"])
def test_beat_and_flower_are_ready_and_end(image: Image, env: dict[str, str], name: str) -> None:
    with image.running(name, uid=FOREIGN, **env, FLOWER_PORT=str(dead_port())) as role:
        wait_until_ready(role)
        assert role.process.stop() == 0
    assert "Traceback" not in role.process.output


def test_a_worker_that_is_told_to_stop_gives_its_task_to_another(
    image: Image, env: dict[str, str], engine: Engine, session: Session
) -> None:
    client = build_client(env["CELERY_BROKER_URL"])
    grace = ("worker", "--grace", str(GRACE_SECONDS))
    with image.running(*grace, uid=OWN, **env) as worker, held_artifacts(engine) as is_held:
        worker.process.wait_for("ready.")
        system = System(client, session, worker.process)
        row = make_import(session, LARGE.encode())
        session.commit()
        task_id = system.publish("importers.run_junit_import", import_message(row))
        until(is_held)
        began = time.monotonic()
        assert worker.process.stop() == 0
        assert time.monotonic() - began < GRACE_SECONDS + 10  # of a busy machine
        assert client.llen("celery") == 1
    with image.running("worker", uid=FOREIGN, **env):
        assert system.outcome(task_id)["status"] == "SUCCESS"
    client.close()


def test_a_killed_process_of_the_pool_leaves_no_zombie(image: Image, env: dict[str, str]) -> None:
    with image.running("worker", uid=OWN, **env) as worker:
        worker.process.wait_for("ready.")
        first = psutil.Process(worker.pid())
        until(first.children)
        (killed,) = first.children()
        killed.kill()
        until(lambda: killed not in first.children() and first.children())
        assert [one.status() for one in first.children()] != [psutil.STATUS_ZOMBIE]
        assert killed not in first.children()


def test_a_command_that_waits_for_ever_ends_at_once(image: Image, env: dict[str, str]) -> None:
    """The first process of a container gets no signal that it does not handle itself."""
    words = ("enqueue", "sync_aborted_runs", "--wait", "600")
    with image.running(*words, uid=OWN, **env) as command, build_client(env["CELERY_BROKER_URL"]) as client:
        until(lambda: client.llen("celery"))
        assert command.process.stop(timeout_seconds=30) == 143


@pytest.mark.soak
def test_whoever_builds_it_anew_gets_the_same_layers(image: Image, store: Store) -> None:
    store.build()
    assert json.loads(store.describe()["Manifest"])["layers"] == image.layers


def wait_until_ready(role: Container) -> None:
    until(lambda: role.enter(*PROBE).returncode == 0 or role.process.process.poll() is not None)
    assert "is ready" in role.enter(*PROBE).stdout, role.process.output
