"""`lint`: what an import would store, and where, with no service and nothing written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import PROGRAM, environment, run, run_here
from tests.sample_files import ARCHIVE, JUNIT, RUN_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLES = Path(__file__).parents[1] / "data" / "junit"


def lint_json(*files: Path) -> list[dict[str, Any]]:
    done = run_here("lint", "--json", *map(str, files))
    found: list[dict[str, Any]] = json.loads(done.stdout)["files"]
    assert done.returncode == (0 if all(one["importable"] for one in found) else 1), done.stderr
    return found


def test_a_report_is_shown_within_80_columns() -> None:
    done = run("lint", *map(str, sorted(SAMPLES.glob("*.xml"))))
    assert (done.returncode, done.stderr) == (0, "")
    assert "surefire.xml: Surefire, 2." in done.stdout
    assert (
        "5 tests: 2 passed, 1 failed, 1 error, 1 skipped; took 17 min 4 s; started 2026-11-21" in done.stdout
    )
    table = [line for line in done.stdout.splitlines() if line.startswith(" ") and not line.startswith("  ")]
    assert max(map(len, table)) <= 80
    (attempts,) = (line.split() for line in table if line.startswith(" <flakyFailure>"))
    assert attempts == ["<flakyFailure>", "data.attempts", "1", "12"]


def test_json_of_a_report(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_bytes(JUNIT.replace(b"<testsuites", b'<testsuites tests="7"'))
    (found,) = lint_json(path)
    assert (found["format"], found["dialect"], found["tests"]) == ("junit", "JUnit XML", 3)
    assert found["statuses"] == {"passed": 1, "failed": 1, "skipped": 1}
    assert found["result_artifacts"]["traceback.log"] == {"count": 1, "size_bytes": 5}
    assert found["data"]["skip_reason"] == 1
    assert found["run"]["start_time"] == "2026-11-21T09:00:00+00:00"
    assert (found["run"]["id"], found["run"]["env"]) == (None, "stage")
    assert {"what": "timestamp of a suite", "where": "run: data.suites", "line": 1, "count": 1} in found[
        "kept"
    ]
    assert found["warnings"] == ["The file states 7 tests and holds 3; what it holds counts."]


def test_json_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "run.tar.gz"
    path.write_bytes(ARCHIVE)
    (found,) = lint_json(path)
    assert (found["dialect"], found["tests"], found["run"]["id"]) == ("pytest-ibutsu", 3, str(RUN_ID))
    assert found["run_artifacts"] == {"session.txt": {"count": 1, "size_bytes": 10}}


def test_counts_without_cases_are_told(tmp_path: Path) -> None:
    path = tmp_path / "counts.xml"
    path.write_text('<testsuites tests="5" failures="1"/>', encoding="utf-8")
    (found,) = lint_json(path)
    assert found["warnings"] == ["There are no test cases; the counts that the file states are taken."]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is empty"),
        (b"<html></html>", "is an HTML page"),
        (b"<testsuite>\n<testcase name='a'/>\n<testcase", "line 3: the file ends too early"),
        (b"<results/>", "line 1: the root element is <results>"),
        (ARCHIVE[:200], "the archive is cut off"),
    ],
)
def test_a_file_that_would_not_import(tmp_path: Path, content: bytes, error: str) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good.xml"
    bad.write_bytes(content)
    good.write_bytes(JUNIT)
    first, second = lint_json(bad, good)
    assert error in first["error"]
    assert ("import it with --partial" in first["hint"]) == (first["tests"] == 1)
    assert second["importable"]
    done = run_here("lint", str(bad), str(good))
    assert done.returncode == 1
    assert "Would not import:" in done.stdout
    assert "good.xml: JUnit XML" in done.stdout


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    directory, missing, long = lint_json(tmp_path, tmp_path / "nowhere.xml", tmp_path / ("n" * 300))
    assert long["error"].endswith("nnn cannot be read: File name too long.")
    assert directory["error"] == f"{tmp_path} is a directory."
    assert missing["error"] == f"{tmp_path / 'nowhere.xml'} cannot be read: No such file or directory."
    assert run("lint").returncode == 2


def test_limits_are_those_of_an_import(tmp_path: Path) -> None:
    path = tmp_path / "run.tar.gz"
    path.write_bytes(ARCHIVE)
    done = run("lint", str(path), env={"IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES": "100"})
    assert done.returncode == 1
    assert "IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES" in done.stdout


def write_report(path: Path, body: Iterable[bytes]) -> Path:
    with path.open("wb") as report:
        report.write(b'<testsuite name="s">')
        report.writelines(body)
        report.write(b"</testsuite>")
    return path


def peak_bytes(path: Path) -> int:
    """Give the largest memory `lint` takes for a file."""
    process = subprocess.Popen([PROGRAM, "lint", str(path)], env=environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


@pytest.mark.soak
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small = peak_bytes(write_report(tmp_path / "small.xml", [b'<testcase name="t"/>']))
    cases = (b'<testcase name="t%d" odd="%d"><more/></testcase>\n' % (n, n) for n in range(100_000))
    text = [b'<testcase name="t"><system-out>', *([b"x" * 1_000_000] * 64), b"</system-out></testcase>"]
    for path in (
        write_report(tmp_path / "cases.xml", cases),
        write_report(tmp_path / "text.xml", text),
    ):
        assert peak_bytes(path) - small < 16_000_000


def test_the_bar_obeys_no_file_name(tmp_path: Path) -> None:
    report = tmp_path / "a\x1b]0;title\x07\x1b[2J.xml"
    report.write_text("<testsuite><testcase/></testsuite>")
    done = run("lint", str(report), env={"FORCE_COLOR": "1"})
    assert done.returncode == 0
    assert r"a\x1b]0;title\x07\x1b[2J.xml" in done.stderr
    assert "\x1b]0" not in done.stdout + done.stderr
    assert "\x1b[2J" not in done.stdout + done.stderr
