"""A file that breaks: with `partial` in its import's data the test cases before the break are kept."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.database.models import Artifact, Import, ImportFile, Result, Run
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits
from ibutsu_tasks.ibutsu.operations.imports.records import mark_failed, start
from ibutsu_tasks.ibutsu.operations.imports.run_import import ImportSummary, run_import
from tests.factories import make_import
from tests.sample_files import ARCHIVE, JUNIT, RUN_ID, archive, result_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

CASE = b'<testcase classname="a.B" name="test_%d" time="1"><system-out>printed</system-out></testcase>\n'
HEAD = b'<testsuites timestamp="2026-11-21T10:00:00" tests="9000">\n<testsuite name="s">\n'
# More than one piece of the file, so that the break is not in the first.
MANY = 3000


def cases(number: int) -> bytes:
    return b"".join(CASE % index for index in range(number))


BROKEN: dict[str, tuple[bytes, int, str]] = {
    "cut in a tag": (HEAD + cases(3) + b"<testcase name=", 3, "line 6: the file ends too early"),
    "cut in a case": (
        HEAD + cases(2) + b'<testcase name="open"><system-out>half',
        2,
        "line 5: the file ends too early",
    ),
    "cut behind a case": (HEAD + cases(1), 1, "line 4: the file ends too early"),
    "bad in the middle": (HEAD + cases(2) + b"<system-out></other>" + cases(5), 2, "line 5: a tag is closed"),
    "late": (HEAD + cases(MANY) + b"<testcase", MANY, f"line {MANY + 3}: the file ends too early"),
    "refused": (HEAD + cases(2) + b"<testcase>" + b"<x>" * 100, 2, "line 5: elements are nested deeper"),
    "behind the end": (JUNIT + b"<more/>", 3, "line 9: something follows"),
}


def import_now(session: Session, row: Import) -> ImportSummary:
    start(session, row.id)
    summary = run_import(session, row.id, "junit", ImportLimits())
    session.commit()
    return summary


def names(session: Session) -> list[str | None]:
    return list(session.scalars(select(Result.test_id).order_by(Result.test_id)))


@pytest.mark.parametrize("name", BROKEN)
def test_test_cases_before_the_break_are_kept(session: Session, name: str) -> None:
    content, kept, where = BROKEN[name]
    row = make_import(session, content, data={"partial": True})
    summary = import_now(session, row)
    told = "The one test case before that was" if kept == 1 else f"The {kept:,} test cases before that were"
    sentence = summary.partial or ""
    assert sentence.startswith(f"a.xml, {where}"), sentence
    assert sentence.endswith(f" {told} kept.")

    run = session.scalars(select(Run)).one()
    assert (row.status, row.data) == ("done", {"partial": sentence, "run_id": [str(run.id)]})
    assert run.data is not None
    assert run.summary is not None
    assert (run.data["partial"], run.summary["tests"]) == (sentence, kept)
    assert len(names(session)) == summary.results == kept
    assert summary.as_json()["partial"] == sentence
    assert session.scalars(select(ImportFile.content)).all() == [None]
    again = import_now(session, row)
    assert (again.already_done, again.partial, again.run_id) == (True, sentence, run.id)


def test_twice_is_once(session: Session) -> None:
    content = HEAD + cases(4) + b"<testcase"
    row = make_import(session, content, data={"partial": True})
    import_now(session, row)
    first = (row.data, session.scalars(select(Run.data)).all(), names(session))
    session.scalars(select(ImportFile)).one().content = content
    import_now(session, row)
    assert (row.data, session.scalars(select(Run.data)).all(), names(session)) == first
    assert len(session.scalars(select(Artifact.id)).all()) == 4


def test_unasked_a_broken_file_imports_nothing(session: Session) -> None:
    for data in (None, {}, {"partial": None}, {"partial": False}, {"partial": ""}):
        row = make_import(session, BROKEN["late"][0], data=data)
        session.commit()
        with pytest.raises(InvalidImportError, match=rf"line {MANY + 3:d}: the file ends too early"):
            import_now(session, row)
        session.rollback()
        assert session.scalars(select(Run.id)).all() == []


def test_file_without_a_whole_case_stays_an_error_and_asks_again(session: Session) -> None:
    texts_alone = b"<testsuite><system-out>words</system-out><testcase"
    for content in (HEAD, HEAD + b"<testcase name='open'>", texts_alone, b"<html></html>"):
        row = make_import(session, content, data={"partial": True})
        session.commit()
        with pytest.raises(InvalidImportError) as raised:
            import_now(session, row)
        session.rollback()
        mark_failed(session, row.id, str(raised.value))
        assert (row.status, row.data) == ("error", {"partial": True, "error": str(raised.value)})
        session.commit()
    stored = session.scalars(select(ImportFile).where(ImportFile.import_id == row.id)).one()
    stored.content = HEAD + cases(1)
    assert import_now(session, row).results == 1
    assert row.data is not None
    assert "error" not in row.data


@pytest.mark.parametrize("content", [JUNIT, ARCHIVE])
def test_whole_file_is_whole(session: Session, content: bytes) -> None:
    row = make_import(session, content, data={"partial": True})
    summary = import_now(session, row)
    assert (summary.partial, summary.results) == (None, 3)
    assert row.data == {"run_id": [str(summary.run_id)]}
    assert "partial" not in (session.scalars(select(Run.data)).one() or {})


@pytest.mark.parametrize("whole", [JUNIT, ARCHIVE])
def test_whole_file_for_the_same_run_ends_what_was_partial(session: Session, whole: bytes) -> None:
    for content in (HEAD + cases(1), whole):
        import_now(session, make_import(session, content, filename=f"{RUN_ID}.xml", data={"partial": True}))
    run = session.scalars(select(Run).execution_options(populate_existing=True)).one()
    assert run.id == RUN_ID
    assert "partial" not in (run.data or {})


def test_suite_cut_in_the_middle_keeps_what_it_said_so_far(session: Session) -> None:
    head = b'<testsuites><testsuite name="s" hostname="h"><property name="p" value="1"/>'
    late = b'<property name="late" value="2"/>'
    import_now(session, make_import(session, head + cases(2) + late + CASE[:20], data={"partial": True}))
    run = session.scalars(select(Run)).one()
    assert run.data is not None
    assert [list(entry) for entry in run.data["suites"]] == [["path", "attributes"], ["path", "properties"]]
    assert run.data["suites"][1]["properties"] == {"late": "2"}
    assert {(data or {})["p"] for data in session.scalars(select(Result.data))} == {"1"}


def noise(number: int) -> str:
    """Make what gzip leaves half as long as it is, so that the archive is cut about where it says."""
    return random.Random(number).randbytes(8_000).hex()  # noqa: S311 - no secret


def large_archive() -> bytes:
    """Three results, and an artifact of the first behind them all."""
    results = [result_json(number, metadata={"noise": noise(number)}) for number in range(3)]
    return archive({"id": str(RUN_ID), "start_time": "2026-11-21T08:00:00"}, results, late=noise(9).encode())


def damaged(content: bytes) -> bytes:
    at = len(content) * 6 // 10
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 200]) + content[at + 200 :]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda content: content[: len(content) * 6 // 10], "cut off"),
        (damaged, "(damaged|cut off)"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-20_000]), "cut off"),
    ],
    ids=["cut", "damaged", "tar cut"],
)
def test_archive_keeps_the_results_before_the_break(
    session: Session, damage: Callable[[bytes], bytes], what: str
) -> None:
    content = damage(large_archive())
    plain = make_import(session, content, filename="a.tar.gz")
    session.commit()
    with pytest.raises(InvalidImportError, match=f"^a.tar.gz: the archive is .*{what} at byte"):
        import_now(session, plain)
    session.rollback()
    assert names(session) == []

    summary = import_now(session, make_import(session, content, filename="a.tar.gz", data={"partial": True}))
    assert 1 <= summary.results <= 3
    assert names(session) == [f"test_{number}" for number in range(summary.results)]
    run = session.scalars(select(Run)).one()
    assert run.id == RUN_ID
    assert run.data is not None
    assert run.data["partial"] == summary.partial
    assert f" {summary.results:,} test case" in f"{summary.partial}".replace("one", "1")


def test_archive_with_files_before_their_results_keeps_both(session: Session) -> None:
    """Such an archive is read once more for the files, also when it breaks."""
    whole = archive(None, [result_json(0)], first=b"log")
    blocks = gzip.decompress(whole)
    # A member is a header and one block here; the file of the first result goes to the front.
    swapped = blocks[2048 - 1024 :][:1024] + blocks[:1024]
    row = make_import(session, gzip.compress(swapped), filename="a.tar.gz", data={"partial": True})
    summary = import_now(session, row)
    assert (summary.results, summary.artifacts) == (1, 1)
    assert summary.partial is None

    row = make_import(session, gzip.compress(swapped)[:-8], filename="b.tar.gz", data={"partial": True})
    summary = import_now(session, row)
    assert (summary.results, summary.artifacts) == (1, 1)
    assert summary.partial is not None


def test_archive_without_a_whole_result_stays_an_error(session: Session) -> None:
    row = make_import(session, ARCHIVE[:150], filename="a.tar.gz", data={"partial": True})
    with pytest.raises(InvalidImportError, match="cut off at byte"):
        import_now(session, row)
