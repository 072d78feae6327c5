"""`lint` and the import give the same verdict of any file: what one warns of or refuses, the other does."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.database.models import Artifact, Run
from ibutsu_tasks.ibutsu.importers.linting import lint
from ibutsu_tasks.ibutsu.importers.packed import zstd
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.ibutsu.importers.reading import MAX_CONTENT_BYTES
from ibutsu_tasks.ibutsu.operations.imports.records import PARTIAL, mark_failed, start
from ibutsu_tasks.ibutsu.operations.imports.run_import import run_import
from tests.factories import make_import, make_project
from tests.sample_files import JUNIT, RESULT_IDS, RUN_ID, archive, result_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from ibutsu_tasks.ibutsu.importers.linting import Lint

ROOT = Path(__file__).parents[4]
FOLDERS = ("tests/data/reports", "tests/data/junit", "examples/results")
SAMPLES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).iterdir() if not path.name.endswith(".md")
)
LIMITS = ImportLimits(artifact_bytes=100)
NOISE = "".join(chr(0x4E00 + (number * 7919) % 20000) for number in range(2000))
OUTPUT = f"<system-out>{'x' * 101}</system-out>"
MADE_UP = {
    "large-output.xml": b'<testsuites><testsuite name="a">%b<testcase name="b">%b</testcase></testsuite>'
    b"</testsuites>" % (OUTPUT.encode(), OUTPUT.encode()),
    "large-file.tar.gz": archive({"id": str(RUN_ID)}, [result_json(0)], large=b"x" * 101, other=b"y" * 102),
    "long-filename.tar.gz": archive({"id": str(RUN_ID)}, [result_json(0)], **{NOISE: b"text"}),
    "long-suite.xml": f'<testsuite name="{NOISE}"><system-out>a</system-out><testcase name="b"/>'
    "</testsuite>".encode(),
    "odd-values.tar.gz": archive(
        {"id": "none", "start_time": 5, "summary": {"tests": 9}},
        [result_json(0, result=NOISE, duration="x", start_time=1), result_json(1, test_id="", metadata=1)],
    ),
    "words.xml": JUNIT.replace(b'line="7"', b'status="odd" result="words" line="7"'),
}


def verdicts(
    session: Session, content: bytes, filename: str, data: dict[str, Any] | None = None
) -> tuple[Lint, dict[str, Any]]:
    """Give what `lint` finds, and what the import leaves in its row."""
    row = make_import(session, content, filename=filename, data=data or {})
    start(session, row.id)
    session.commit()
    try:
        run_import(session, row.id, "junit", LIMITS)
        kept = dict(row.data or {})
    except InvalidImportError as error:
        session.rollback()
        mark_failed(session, row.id, str(error), error.warnings)
        kept = dict(row.data or {})
    return lint(io.BytesIO(content), filename, len(content), LIMITS), kept


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_of_samples(session: Session, path: Path) -> None:
    make_project(session, name="demo")
    found, data = verdicts(session, path.read_bytes(), path.name)
    assert (found.error, found.warnings) == (None, data.get("warnings", []))
    run = session.scalars(select(Run)).one()
    assert found.run is not None
    assert (found.tests, found.run["duration_seconds"]) == (run.summary["tests"], pytest.approx(run.duration))
    counted = [*found.result_artifacts.values(), *found.run_artifacts.values()]
    assert sum(one.count for one in counted) == session.scalar(select(func.count()).select_from(Artifact))


@pytest.mark.parametrize("name", MADE_UP)
def test_of_files_with_much_to_warn_of(session: Session, name: str) -> None:
    found, data = verdicts(session, MADE_UP[name], name)
    assert found.warnings
    assert (found.error, found.warnings) == (None, data["warnings"])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_of_files_in_any_packing(session: Session, pack: Callable[[bytes], bytes]) -> None:
    for content in (JUNIT, gzip.decompress(archive({"id": str(RUN_ID)}, [result_json(0)]))):
        found, data = verdicts(session, pack(content), "packed")
        assert (found.error, data.get("error")) == (None, None)
        assert found.warnings == data.get("warnings", [])


@pytest.mark.parametrize("path", SAMPLES[::4], ids=lambda path: path.name)
@pytest.mark.parametrize("is_partial", [True, False])
def test_of_files_that_are_cut_off(session: Session, path: Path, is_partial: bool) -> None:
    make_project(session, name="demo")
    content = path.read_bytes()
    found, data = verdicts(session, content[: len(content) * 3 // 4], path.name, {PARTIAL: is_partial})
    assert found.warnings == data.get("warnings", [])
    if "error" in data:
        assert found.error == data["error"]
    else:
        assert (found.error or "") in data.get(PARTIAL, "")


@pytest.mark.parametrize("is_partial", [True, False])
@pytest.mark.parametrize(
    ("content", "filename"),
    [
        (JUNIT.replace(b'line="7"', b'status="odd"')[:-20], "a.xml"),
        (MADE_UP["odd-values.tar.gz"][:-20], "a.tar.gz"),
    ],
)
def test_of_files_that_are_cut_off_behind_a_warning(
    session: Session, content: bytes, filename: str, is_partial: bool
) -> None:
    found, data = verdicts(session, content, filename, {PARTIAL: is_partial})
    assert found.warnings
    assert found.warnings == data["warnings"]
    assert is_partial or data["error"] == found.error


def test_artifacts_that_could_not_be_read_back_are_left_out_and_named(session: Session) -> None:
    found, _ = verdicts(session, MADE_UP["large-file.tar.gz"], "a.tar.gz")
    assert session.scalars(select(Artifact.filename)).all() == ["session.txt"]
    assert [one for one in found.warnings if "left out" in one] == [
        "The file large.log of 101 bytes was left out; 100 are the limit.",
        "The file other.log of 102 bytes was left out; 100 are the limit.",
    ]


def test_a_name_that_an_index_does_not_take_is_whole_beside_it(session: Session) -> None:
    verdicts(session, MADE_UP["long-filename.tar.gz"], "a.tar.gz")
    file = session.scalars(select(Artifact).where(Artifact.result_id == RESULT_IDS[0])).one()
    assert file.filename != f"{NOISE}.log"
    assert file.data["filename_whole"] == f"{NOISE}.log"
    assert file.data["contentType"] == "text/plain"


def test_a_file_that_no_upload_may_hold_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.xml"
    with path.open("wb") as file:
        file.truncate(MAX_CONTENT_BYTES + 1)
    with path.open("rb") as file:
        found = lint(file, "huge.xml", MAX_CONTENT_BYTES + 1, ImportLimits())
        assert file.tell() == 0
    assert found.error == "huge.xml has 1,000,000,001 bytes; an upload may have 1,000,000,000."
