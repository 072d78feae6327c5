"""Formats that task packages bring: which file is whose, and what is said of a reader that does not hold."""

from __future__ import annotations

import gzip
import io
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest

from ibutsu_tasks.errors import InvalidImportError, UsageError
from ibutsu_tasks.ibutsu.importers import detect_format
from ibutsu_tasks.ibutsu.importers.checking import checked
from ibutsu_tasks.ibutsu.importers.linting import Lint, lint
from ibutsu_tasks.ibutsu.importers.packed import whole
from ibutsu_tasks.ibutsu.importers.parsed import (
    ImportLimits,
    ParsedArtifact,
    ParsedFile,
    ParsedResult,
    ParsedRun,
    Upload,
)
from ibutsu_tasks.ibutsu.importers.reading import UNFORESEEN
from ibutsu_tasks.ibutsu.operations.imports.content import WatchedContent
from ibutsu_tasks.packages import choose
from ibutsu_tasks.settings import setting_rows
from tests.packaged import declare, write_module

if TYPE_CHECKING:
    from pathlib import Path

UPLOAD = Upload(UUID(int=1), "a.x", keeps_partial=True)
RUN = ParsedRun(UPLOAD.run_id)
RESULT = ParsedResult(UPLOAD.row_id("1"), "t", "passed", 1.0, None, {}, {})
ARTIFACT = ParsedArtifact(UPLOAD.row_id("log"), RESULT.id, "log", b"", "text/plain")
_numbers = itertools.count(1)

Bring = Callable[..., None]


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Have a package with one format whose functions are given as text."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(recognizes: str, reads: str = "", *without: str, reader: str | None = None) -> None:
        name = f"bringer{next(_numbers)}"
        functions = f"{name}.functions"
        text = f"import sys\ndef is_x(head):\n    {recognizes}\ndef read(*a):\n    {reads or 'pass'}\n"
        write_module(tmp_path, functions, text)
        reads_of = reader or f"{functions}:read"
        declare(
            tmp_path,
            name,
            f'importers=(Importer("x", "x.import", "{functions}:is_x", "{reads_of}", help="X"),)',
        )
        choose((f"{name}.package",), without, setting_rows().values())

    return write


def linted(content: bytes = b"x") -> Lint:
    return lint(io.BytesIO(content), "a.x", len(content), ImportLimits())


def test_what_begins_as_a_junit_report_or_is_a_tar_is_never_another_s(
    bring: Bring, tar: Callable[..., bytes]
) -> None:
    bring("return True")
    report, archive = (
        b'\xef\xbb\xbf<?xml version="1.0"?><!-- a --><t:testsuites/>',
        tar(("a/run.json", {}), compress=False),
    )
    for content, kind in ((report, "junit"), (archive, "archive"), (b"<testsuite>", "junit")):
        for packed in (content, gzip.compress(content)):
            assert detect_format(io.BytesIO(packed), "a") == kind


@pytest.mark.parametrize(
    "content",
    [b"<TestRun/>", b"<!DOCTYPE html><html>", b'{"a": 1}', b"a text\n<testsuite>", b"PK\3\4", b" \n\0"],
)
def test_all_else_that_a_package_recognizes_is_its_own(bring: Bring, content: bytes) -> None:
    bring("return True")
    for packed in (content, gzip.compress(content)):
        assert detect_format(io.BytesIO(packed), "a") == "x"


def test_what_no_package_recognizes_stays_what_it_was(bring: Bring) -> None:
    bring("return False")
    for content, kind in (
        (b"<TestRun/>", "junit"),
        (b"text\n<testsuite>", "junit"),
        (gzip.compress(b"text"), "archive"),
    ):
        assert detect_format(io.BytesIO(content), "a") == kind
    with pytest.raises(InvalidImportError) as refusal:
        detect_format(io.BytesIO(b"text"), "a")
    assert str(refusal.value).endswith("; expected JUnit XML, an archive written by pytest-ibutsu or X.")


def test_nobody_is_asked_about_nothing(bring: Bring) -> None:
    bring("raise RuntimeError")
    assert detect_format(io.BytesIO(gzip.compress(b"x" * 9000)[:20]), "a") == "archive"
    with pytest.raises(InvalidImportError, match="is empty"):
        detect_format(io.BytesIO(b" \n"), "a")


def test_a_package_that_raises_is_no_hindrance_to_the_formats_of_others(bring: Bring) -> None:
    bring("return 1 / 0")
    assert detect_format(io.BytesIO(b"text\n<testsuite>"), "a") == "junit"
    with pytest.raises(ZeroDivisionError):
        detect_format(io.BytesIO(b"text"), "a")


def test_without_any_format_a_sentence_says_so() -> None:
    choose((), ("ibutsu",), setting_rows().values())
    with pytest.raises(UsageError, match=r"^No task package that is loaded brings a format to import\.$"):
        detect_format(io.BytesIO(b"<testsuite/>"), "a")


def test_a_reader_that_finds_no_other_file_does_not_speak_of_this_one(bring: Bring) -> None:
    bring("return True", "return open('/nothing/there')")
    assert linted().error == UNFORESEEN


@pytest.mark.parametrize(
    ("what", "told"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("sys.exit(3)", "ExitError: sys.exit(3)")],
)
@pytest.mark.parametrize(
    "reads", [None, "return {0}", "return ParsedFile(ParsedRun(a[1].run_id), ({0} for _ in 'a'))"]
)
def test_a_function_that_raises_or_exits_is_told_of_as_the_import_does(
    bring: Bring, reads: str | None, what: str, told: str
) -> None:
    parsed = "from ibutsu_tasks.ibutsu.importers.parsed import ParsedFile, ParsedRun; "
    if reads is None:
        bring(f"return {what}")
    else:
        bring("return True", parsed + reads.format(what))
    found = linted()
    assert found.error == UNFORESEEN
    assert found.hint == f"Repair what reads it: {told}."


def test_a_reader_whose_module_exits_is_told_of_as_the_import_does(bring: Bring, tmp_path: Path) -> None:
    write_module(tmp_path, "leaving", "import sys\nsys.exit(3)\n")
    bring("return True", reader="leaving:read")
    assert linted().hint == "Repair what reads it: ExitError: sys.exit(3)."


def test_a_signal_ends_a_process_of_a_pool_though_a_reader_is_at_work(bring: Bring) -> None:
    bring("return True", "return sys.exit(-241)")
    with pytest.raises(SystemExit):
        linted()


FAULTS: list[tuple[list[Any], str]] = [
    ([RESULT._replace(result="ok")], "the test t as 'ok', which is none of error, failed, xpassed, xfailed"),
    ([RESULT._replace(result=None)], "the test t as None, which is none of error"),  # type: ignore[arg-type]
    (
        [RESULT._replace(duration_seconds="3")],
        "a ParsedResult whose duration_seconds is '3' and not int | float",
    ),  # type: ignore[arg-type]
    ([RESULT._replace(test_id=None)], "a ParsedResult whose test_id is None and not str"),  # type: ignore[arg-type]
    ([RESULT._replace(start_time=datetime.now(UTC))], "a ParsedResult whose start_time has a time zone"),
    ([RESULT._replace(data={"a": {1}})], "a ParsedResult whose data is no JSON: Object of type set"),
    (
        [RESULT._replace(duration_seconds=math.nan)],
        "a ParsedResult whose duration_seconds is no finite number",
    ),
    ([replace(RUN, duration_seconds=10**400)], "a ParsedRun whose duration_seconds is no finite number"),
    (
        [RESULT._replace(duration_seconds=-1.0)],
        "a ParsedResult whose duration_seconds is no finite number from 0 on",
    ),
    ([replace(RUN, warnings=[{1}])], "a ParsedRun whose warnings is no list of str"),  # type: ignore[list-item]
    ([replace(RUN, stored=["odd"])], "a ParsedRun whose stored is no list of Stored"),  # type: ignore[list-item]
    ([replace(RUN, stored=7)], "a ParsedRun whose stored is 7 and not list"),  # type: ignore[arg-type]
    (
        [replace(RUN, claimed_summary={"tests": "many"})],  # type: ignore[dict-item]
        "a ParsedRun whose claimed_summary has what is no number of tests",
    ),
    ([RESULT._replace(data={1: 2})], "a ParsedResult whose data has a key that is no text"),  # type: ignore[dict-item]
    ([RESULT, RESULT], f"the id {RESULT.id} twice; row_id of the upload makes one"),
    ([ARTIFACT], "the artifact log before its result"),
    ([RESULT, ARTIFACT._replace(content="text")], "a ParsedArtifact whose content is 'text' and not bytes"),  # type: ignore[arg-type]
    ([{"test": "t"}], "a dict, which is no row"),
    ([replace(RUN, id=UUID(int=2))], "two runs in one file"),
    ([replace(RUN, warnings="odd")], "a ParsedRun whose warnings is 'odd' and not list"),  # type: ignore[arg-type]
]


def rows_of(*rows: Any, beginning: Any = RUN) -> list[Any]:
    return list(checked(ParsedFile(beginning, iter(rows)), "shop:read", "a.x").rows)


@pytest.mark.parametrize(("rows", "fault"), FAULTS)
def test_a_row_that_is_none_ends_the_import_in_a_sentence(rows: list[Any], fault: str) -> None:
    with pytest.raises(InvalidImportError) as refusal:
        rows_of(*rows)
    assert str(refusal.value).startswith(f"a.x cannot be imported: shop:read gives {fault}")
    assert refusal.value.hint == "Repair shop:read."


def test_what_is_no_file_ends_in_a_sentence(bring: Bring) -> None:
    bring("return True", "return []")
    assert (linted().error or "").endswith(":read gives a list in place of a ParsedFile.")


def test_rows_that_hold_come_as_they_are_and_the_run_behind_them() -> None:
    told = replace(RUN, warnings=["odd"])
    assert rows_of(RESULT, ARTIFACT, told) == [RESULT, ARTIFACT, told]
    assert rows_of(RESULT, ARTIFACT) == [RESULT, ARTIFACT, RUN]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_a_reader_is_given_is_a_whole_file_of_what_is_in_it(pack: Callable[[bytes], bytes]) -> None:
    text = b"".join(b"line %d\n" % number for number in range(50_000))
    content = WatchedContent(io.BytesIO(pack(text)), lambda *_: None)
    file = whole(cast("IO[bytes]", content), "a.x", ImportLimits())
    assert (file.readline(), file.seek(0), list(file)[-1]) == (b"line 0\n", 0, b"line 49999\n")
    assert (file.seek(-12, io.SEEK_END), file.read()) == (len(text) - 12, b"\nline 49999\n")
    assert (file.seek(5), file.seek(1, io.SEEK_CUR), file.tell()) == (5, 6, 6)
    lines = io.TextIOWrapper(file, "utf-8")
    assert (lines.seek(0), next(lines)) == (0, "line 0\n")


def test_a_reader_meets_the_limit_of_what_is_packed() -> None:
    file = whole(io.BytesIO(gzip.compress(bytes(5_000_000))), "a.x", ImportLimits(unpacked_bytes=2_000_000))
    for ask in (lambda: file.seek(0, io.SEEK_END), file.read):
        with pytest.raises(InvalidImportError, match=r"a\.x unpacks to more than 2,000,000 bytes"):
            ask()


@pytest.mark.parametrize("year", [1, 1999, 9999])
def test_a_time_that_no_test_can_have_is_left_out_and_told_of(year: int) -> None:
    moment = datetime(year, 1, 1)  # noqa: DTZ001 - as readers give it
    dated = replace(RUN, start_time=moment)
    result, run = rows_of(RESULT._replace(start_time=moment), dated, beginning=dated)
    assert (result.start_time, run.start_time) == (None, None)
    told = f"the run has the start_time {moment}, which no test can have; left out (3 in all)."
    assert run.warnings == [told]


def test_what_no_index_takes_is_cut_and_told_of() -> None:
    long = "x" * 3000
    result, artifact, run = rows_of(RESULT._replace(test_id=long), ARTIFACT._replace(filename=long))
    assert (len(result.test_id.encode()), result.data["test_id_whole"]) == (1200, long)
    assert (len(artifact.filename.encode()), artifact.whole_filename) == (1200, long)
    assert ["more in test_id than an index takes" in one for one in run.warnings] == [True]
    assert RESULT.data == {}
