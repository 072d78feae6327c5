"""The Test Anything Protocol, versions 12 to 14, without its subtests."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.parsed import ParsedArtifact, ParsedFile, ParsedResult, ParsedRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.ibutsu.importers.parsed import ImportLimits, Upload

PLAN = re.compile(r"1\.\.(\d+)")
TEST = re.compile(r"(not )?ok\b\s*(\d+)?\s*(?:- )?([^#\n]*)(?:#\s*(\w+)?(.*))?")
STATUSES = {
    ("TODO", True): "xpassed",
    ("TODO", False): "xfailed",
    ("SKIP", True): "skipped",
    ("SKIP", False): "skipped",
}


def is_tap(head: bytes) -> bool:
    return re.match(rb"\s*(?:TAP version \d|1\.\.\d|(?:not )?ok\b)", head) is not None


def read_tap(content: IO[bytes], upload: Upload, _: ImportLimits) -> ParsedFile:
    run = ParsedRun(upload.run_id, data=dict(upload.metadata), source=upload.source)
    return ParsedFile(run, _rows(io.TextIOWrapper(content, "utf-8", errors="replace"), upload, run))


def _rows(
    lines: Iterator[str], upload: Upload, run: ParsedRun
) -> Iterator[ParsedResult | ParsedArtifact | ParsedRun]:
    planned, number = None, 0
    for line in lines:
        if line.startswith("Bail out!"):
            raise InvalidImportError(f"{upload.filename} ends in: {line.strip()}.")
        if plan := PLAN.match(line):
            planned = int(plan[1])
        elif test := TEST.match(line):
            number += 1
            yield _result(test, number, upload)
        elif line.strip() == "---" and number:
            yield _details(lines, number, upload)
    problem = None
    if planned != number:
        told = "no plan" if planned is None else f"a plan of {planned}"
        problem = InvalidImportError(f"{upload.filename} has {told}, and {number} tests.")
    yield replace(run, break_error=problem)


def _result(test: re.Match[str], number: int, upload: Upload) -> ParsedResult:
    has_failed, _, name, directive, reason = test.groups()
    status = STATUSES.get(((directive or "").upper(), not has_failed), "failed" if has_failed else "passed")
    return ParsedResult(
        id=upload.row_id(f"test {number}"),
        test_id=name.strip() or f"test {number}",
        result=status,
        duration_seconds=0.0,
        start_time=None,
        data={"reason": reason.strip()} if directive else {},
        params={},
        source=upload.source,
    )


def _details(lines: Iterator[str], number: int, upload: Upload) -> ParsedArtifact:
    block = io.StringIO()
    for line in lines:
        if line.strip() == "...":
            break
        block.write(line)
    return ParsedArtifact(
        id=upload.row_id(f"details {number}"),
        result_id=upload.row_id(f"test {number}"),
        filename="details.yaml",
        content=block.getvalue().encode(),
        content_type="application/yaml",
    )
