"""A package that brings a format: TAP is imported, linted and sent again as JUnit and archives are."""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from ibutsu_tasks.ibutsu.database.models import Artifact, Import, Result, create_tables
from ibutsu_tasks.ibutsu.importers.reading import UNFORESEEN
from ibutsu_tasks.ibutsu.operations.imports.content import reopen_message
from ibutsu_tasks.local.servers.shared import LocalServers
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.settings import load_settings
from tests.commands import role, run, run_here, services, until
from tests.conftest import discard
from tests.held_imports import held_artifacts
from tests.packaged import INSTALLED, declare, named, write_module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from sqlalchemy import Engine

FAULTY = """
def is_faulty(head):
    return head.startswith(b"FAULTY")

def read(content, upload, limits):
    run = ParsedRun(upload.run_id)
    what = {"status": "ok", "crash": None}[content.read().split()[1].decode()]
    result = ParsedResult(upload.row_id("1"), "t", what or 1 / 0, 0.0, None, {}, {})
    return ParsedFile(run, iter([result]))

@shared_task(name="faulty.import", bind=True, base=ImportTask)
def import_faulty(self, import_):
    return self.import_file(import_)
"""
"""A package of which nothing holds."""

TAP = b"""TAP version 14
1..5
ok 1 - the door opens
not ok 2 - the door closes
  ---
  message: it sticks
  ...
not ok 3 - the window opens # TODO buy a window
ok 4 - the roof holds # SKIP it does not rain
ok 5
"""
STATUSES = ["passed", "failed", "xfailed", "skipped", "passed"]
NO_STATUS = "the test t as 'ok', which is none of error, failed, xpassed, xfailed, skipped, passed."
EXPECTED = "expected JUnit XML, an archive written by pytest-ibutsu, TAP or faulty."


def write_faulty(directory: Path) -> None:
    imports = (
        "from celery import shared_task\nfrom ibutsu_tasks.ibutsu.tasks.imports import ImportTask\n"
        "from ibutsu_tasks.ibutsu.importers.parsed import ParsedFile, ParsedResult, ParsedRun\n"
    )
    write_module(directory, "faulty.tasks", imports + FAULTY)
    importer = 'Importer("faulty", "faulty.import", "faulty.tasks:is_faulty", "faulty.tasks:read")'
    declare(directory, "faulty", f"tasks=('faulty.tasks',), importers=({importer},)")


class House:
    """A worker of Ibutsu and of the package, and the files that are sent to it."""

    def __init__(self, env: dict[str, str], engine: Engine, files: Path) -> None:
        self.env, self.engine, self.files = env, engine, files

    def file(self, content: bytes, name: str = "house.tap") -> str:
        path = self.files / name
        path.write_bytes(content)
        return str(path)

    def imported(self, *arguments: str) -> dict[str, Any]:
        return self.document("imports", "import", *arguments)

    def linted(self, path: str) -> dict[str, Any]:
        return self.document("files", "lint", path, run=run_here)

    def document(self, part: str, *command: str, run: Any = run) -> dict[str, Any]:
        done = run(*command, "--json", env=self.env)
        assert done.returncode in {0, 1}, done.stderr
        (found,) = json.loads(done.stdout)[part]
        return dict(found)

    def command(self, *arguments: str) -> CompletedProcess[str]:
        return run(*arguments, env=self.env)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data_dir = Path(tempfile.mkdtemp(prefix="ibutsu-tasks-test-"))
    try:
        with LocalServers(data_dir) as servers, pytest.MonkeyPatch.context() as monkeypatch:
            engine = create_engine(servers.database_url)
            create_tables(engine)
            write_faulty(data_dir)
            monkeypatch.setattr(sys, "path", [*sys.path, str(INSTALLED), str(data_dir)])
            env = services(servers.broker_url, servers.database_url) | named(data_dir, "tap", "faulty")
            with role("worker", "--concurrency", "1", env=env | {"CELERY_TASK_TIME_LIMIT": "5"}) as worker:
                worker.wait_for("ready.")
                yield House(env, engine, tmp_path_factory.mktemp("files"))
                print(worker.output)  # noqa: T201 - shown when a test fails
            engine.dispose()
    finally:
        discard(data_dir)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_becomes_a_run_as_lint_says(house: House, pack: Any) -> None:
    path = house.file(pack(TAP))
    told, found = house.imported(path), house.linted(path)
    assert (told["status"], told["error"], told["warnings"]) == ("done", None, [])
    assert (found["format"], found["dialect"], found["tests"], found["error"]) == ("tap", "TAP", 5, None)
    assert found["statuses"] == {status: STATUSES.count(status) for status in STATUSES}
    with Session(house.engine) as session:
        results = session.scalars(select(Result).where(Result.run_id == told["run_id"])).all()
        assert sorted(one.result or "" for one in results) == sorted(STATUSES)
        (failed,) = (one for one in results if one.result == "failed")
        (details,) = session.scalars(select(Artifact).where(Artifact.result_id == failed.id))
        assert (failed.test_id, details.content) == ("the door closes", b"  message: it sticks\n")


def test_the_same_message_twice_is_one_run(house: House) -> None:
    told = house.imported(house.file(TAP))
    message = json.dumps({"id": told["import_id"]})
    again = house.command("enqueue", "tap.import", f"import_={message}", "--wait", "60")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["run_id"] == told["run_id"]
    with Session(house.engine) as session:
        results = session.scalars(select(Result.id).where(Result.run_id == told["run_id"])).all()
    assert len(results) == 5


BROKEN = {
    "plan.tap": (TAP.replace(b"1..5", b"1..6"), "plan.tap has a plan of 6, and 5 tests."),
    "bail.tap": (TAP + b"Bail out! Fire\n", "bail.tap ends in: Bail out! Fire."),
    "crash": (b"FAULTY crash", UNFORESEEN),
    "status": (b"FAULTY status", f"status cannot be imported: faulty.tasks:read gives {NO_STATUS}"),
    "text.tap": (b"nothing of that", f"text.tap looks like plain text; {EXPECTED}"),
    "gzip.tap": (gzip.compress(TAP)[:-9], "gzip.tap is cut off in its packed form."),
}


def test_a_broken_file_ends_in_one_sentence_and_lint_says_the_same(house: House) -> None:
    paths = {name: house.file(content, name) for name, (content, _) in BROKEN.items()}
    imported = json.loads(house.command("import", *paths.values(), "--json").stdout)["imports"]
    linted = json.loads(run_here("lint", *paths.values(), "--json", env=house.env).stdout)["files"]
    for (name, (_, sentence)), told, found in zip(BROKEN.items(), imported, linted, strict=True):
        assert (told["status"], told["error"]) == ("error", sentence)
        assert found["error"] == sentence.replace(name, paths[name])


def test_what_a_broken_file_has_before_can_be_kept(house: House) -> None:
    told = house.imported(house.file(TAP.replace(b"1..5", b"1..6")), "--partial")
    assert (told["status"], told["tests"]) == ("done", 5)


def test_what_was_killed_is_an_error_and_can_be_sent_again(house: House) -> None:
    with held_artifacts(house.engine):
        told = house.imported(house.file(TAP))
    assert told["error"] == "The import took longer than its time limit and was stopped."
    settings = load_settings(environ=house.env)
    with closing(Resources(settings, "test")) as resources:
        assert reopen_message(resources, "tap.import", told["import_id"]) is None
    with Session(house.engine) as session:
        row = session.get_one(Import, told["import_id"])
        assert (row.status, (row.data or {}).get("error")) == ("pending", None)
    decided = house.document("imports", "imports", "requeue", told["import_id"])
    assert decided["fate"] == "sent again", decided
    with Session(house.engine) as session:
        query = select(Import.status).where(Import.id == told["import_id"])
        until(lambda: session.rollback() or session.scalar(query) == "done")
        assert session.scalar(query) == "done"


def test_packages_shows_the_format(house: House) -> None:
    listed = run_here("packages", "--json", env=house.env)
    assert listed.returncode == 0, listed.stdout
    brought = {one["name"]: one["importers"] for one in json.loads(listed.stdout)["packages"]}
    assert brought["tap"] == ["tap → tap.import"]
    assert [one.partition(" ")[0] for one in brought["ibutsu"]] == ["junit", "archive"]


def test_without_ibutsu_the_format_is_linted_still(house: House) -> None:
    alone = house.env | {"IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu"}
    assert run_here("lint", house.file(TAP), env=alone).returncode == 0
    refused = run_here("lint", house.file(b"<testsuite/>"), env=alone)
    assert "looks like XML; expected TAP or faulty." in " ".join(refused.stdout.split())


def test_without_any_format_a_sentence_says_so(house: House) -> None:
    nothing = house.env | {"IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu,tap,faulty"}
    path = house.file(TAP)
    for command in (("lint", path), ("import", path), ("imports", "requeue", "--stuck")):
        refused = run_here(*command, env=nothing)
        assert refused.returncode == 2
        assert "No task package that is loaded brings a format to import." in refused.stderr
