"""Files changed at random: each is refused with a sentence, or becomes rows that every table takes."""

from __future__ import annotations

import io
import json
import math
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers import detect_format, reader_of
from ibutsu_tasks.ibutsu.importers.linting import lint
from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, ParsedArtifact, ParsedResult, ParsedRun, Upload
from ibutsu_tasks.ibutsu.importers.statuses import WORST_FIRST
from tests.fuzz.fuzzing import corpus, fuzz, limited

if TYPE_CHECKING:
    from ibutsu_tasks.ibutsu.importers.parsed import ParsedRow

SAMPLES = Path(__file__).parents[1] / "data" / "junit"
IMPORT_ID = UUID("11111111-2222-4333-8444-555555555555")
RUN = "aaaaaaaa-0000-4000-8000-000000000001"
RESULT = "bbbbbbbb-0000-4000-8000-000000000001"
LIMITS = ImportLimits(unpacked_bytes=10_000_000, document_bytes=100_000)
FORMATS = {"": "", "junit": "report.xml", "archive": "run.tar.gz"}

MARKUP = (
    b"<testcase name='a'/>", b"<testsuite>", b"</testsuite>", b"<failure>", b"<skipped/>", b"<error/>",
    b"<property name='env' value='x'/>", b"<system-out>", b"<![CDATA[", b"]]>", b"<!--", b"-->",
    b"<?pi", b"?>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"&#0;", b"&#xd800;", b"&amp;", b"\x00",
    b"\x1b[31m", b"\xff\xfe", b"\xef\xbb\xbf", b"encoding='utf-16'", b"encoding='x'",
    b" status='failed'", b" result='nope'", b" time=''", b" timestamp='yesterday'", b"[[ATTACHMENT|a]]",
    b"\xed\xa0\x80", b"]]", b"xmlns:a='b'", b"a:", b"\r",
)  # fmt: skip
JSON = (
    b"null", b"true", b"[]", b"{}", b'""', b"[[[[[[", b'"\\u0000"', b'"\\ud800"', b"NaN", b"Infinity",
    b'"id":', b'"result":"failed"', b'"start_time":1e300', b'"duration":-1',
    b'"metadata":{"project":"a"}', b",", b"}", b"]", b'"summary":[]', b'"test_id":null', b"\x00",
    b"\xff", b'"run_id":"x"', RUN.encode(), RESULT.encode(), b"../",
)  # fmt: skip


def outcome_of(kind: str, data: bytes) -> str:
    """Read a file as an import does; say what came of it, with the numbers left out."""
    verdict = lint(io.BytesIO(data), FORMATS[kind], len(data), LIMITS)
    refused = None
    try:
        found = detect_format(io.BytesIO(data), FORMATS[kind])
        rows = list(reader_of(found)(io.BytesIO(data), Upload(IMPORT_ID, FORMATS[kind]), LIMITS).rows)
    except InvalidImportError as refusal:
        refused = str(refusal)
    assert verdict.error == refused
    if refused is not None:
        return "".join(one for one in refused if not one.isdigit())[:200]
    run = rows[-1]
    assert isinstance(run, ParsedRun)
    assert verdict.warnings == run.warnings
    for row in rows:
        assert_storable(row)
    statuses = {row.result for row in rows if isinstance(row, ParsedResult)}
    assert found == "archive" or statuses <= {*WORST_FIRST}
    return " ".join([*sorted(statuses), *(warning[-25:] for warning in run.warnings)])


def assert_storable(row: ParsedRow | ParsedRun) -> None:
    """Hold a row against what the columns of its table take."""
    texts: list[Any] = [] if isinstance(row, ParsedArtifact) else [row.source, row.env, row.component]
    if isinstance(row, ParsedArtifact):
        texts += [row.filename, row.content_type]
    else:
        texts.append(json.dumps(row.data, allow_nan=False, ensure_ascii=False).replace("\\u0000", "\0"))
    if isinstance(row, ParsedResult):
        texts += [row.test_id, json.dumps(row.params, allow_nan=False, ensure_ascii=False)]
        assert row.test_id
        # An archive's own word is kept, and named in a warning.
        assert row.result
        assert math.isfinite(row.duration_seconds) or row.archived is not None
    for text in texts:
        if text is not None:
            assert "\0" not in text
            text.encode()


def tar(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, data in members:
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def packed_documents(data: bytes) -> bytes:
    """Make an archive of what is left of two documents."""
    run, _, result = data.partition(b"\n")
    return tar(
        (f"{RUN}/run.json", run), (f"{RUN}/{RESULT}/result.json", result), (f"{RUN}/{RESULT}/a.log", b"a")
    )


def documents() -> bytes:
    run = {
        "id": RUN,
        "metadata": {"project": "p", "a": 1},
        "start_time": "2026-01-02T03:04:05",
        "summary": {},
    }
    result = {"id": RESULT, "test_id": "a.b", "result": "passed", "duration": 1.5, "metadata": {"run": RUN}}
    return json.dumps(run | {"summary": {}}).encode() + b"\n" + json.dumps(result | {"params": {}}).encode()


def test_junit() -> None:
    seeds = [path.read_bytes()[:20_000] for path in sorted(SAMPLES.glob("*.xml"))]
    assert fuzz("junit", seeds, MARKUP, lambda data: outcome_of("junit", data)) > 10


def test_the_bytes_of_an_archive() -> None:
    seeds = [packed_documents(documents())]
    assert (
        fuzz("archive", seeds, (*JSON, b"ustar", b"\0" * 512), lambda data: outcome_of("archive", data)) > 10
    )


def test_the_documents_of_an_archive() -> None:
    def check(data: bytes) -> str:
        return outcome_of("archive", packed_documents(data))

    assert fuzz("documents", [documents()], JSON, check) > 10


@pytest.mark.parametrize("path", [*corpus("junit"), *corpus("archive")], ids=lambda path: path.name)
def test_what_failed_once(path: Path) -> None:
    limited(lambda data: outcome_of(path.parent.name, data), path.read_bytes())


@pytest.mark.parametrize("path", corpus("documents"), ids=lambda path: path.name)
def test_what_failed_once_as_documents(path: Path) -> None:
    limited(lambda data: outcome_of("archive", packed_documents(data)), path.read_bytes())
