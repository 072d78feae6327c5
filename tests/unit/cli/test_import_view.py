from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.imports.files import FileImport, result_of
from ibutsu_tasks.cli.imports.session import check_project, parse_ids, parse_metadata
from ibutsu_tasks.cli.output import Output
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.ibutsu.operations.imports.records import ImportOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

IMPORT_ID = UUID("11111111-1111-4111-8111-111111111111")
RUN_ID = UUID("22222222-2222-4222-8222-222222222222")
SUMMARY = {
    "tests": 123456,
    "passes": 123450,
    "failures": 1,
    "errors": 2,
    "skips": 3,
    "xfailures": 0,
    "xpasses": 0,
    "pass_percent": 99,
    "collected": 0,
    "not_run": 0,
}


def done(filename: str, warnings: tuple[str, ...] = ()) -> FileImport:
    outcome = ImportOutcome(
        filename,
        "done",
        warnings=warnings,
        run_id=RUN_ID,
        summary=SUMMARY,
        duration_seconds=8000.0,
    )
    return FileImport(filename, import_id=IMPORT_ID, outcome=outcome, took_seconds=321.0)


def failed(filename: str, sentence: str | None) -> FileImport:
    outcome = ImportOutcome(filename, "error", error=sentence)
    return FileImport(filename, import_id=IMPORT_ID, outcome=outcome, took_seconds=0.1)


def show(imports: Sequence[FileImport], *, width: int, json_wanted: bool = False) -> tuple[str, str]:
    output = Output(json_wanted=json_wanted)
    stdout, stderr = io.StringIO(), io.StringIO()
    output.stdout = Console(file=stdout, width=width, highlight=False)
    output.stderr = Console(file=stderr, width=width, highlight=False)
    output.render(result_of(imports, ExitCode.DONE))
    return stdout.getvalue(), stderr.getvalue()


@pytest.mark.parametrize("filename", ["a.xml", "pytest-ibutsu.tar.gz"])
def test_two_lines_per_run_fit_eighty_columns(filename: str) -> None:
    stdout, _ = show([done(filename), done("[b].xml")], width=80)
    lines = stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 6
    assert lines[0].split() == ["file", "run", "id"]
    assert lines[2].endswith(str(RUN_ID))
    assert lines[2].startswith(filename[:5])
    assert lines[3].split() == ["123456", "123450", "1", "2", "3", "0", "0", "99%", "2h13min", "5m21s"]
    assert [line.rindex("took") + 4 for line in lines[1:2]] == [len(lines[3])]
    assert lines[4].startswith("[b].xml")


def test_a_name_too_long_for_the_line_is_whole() -> None:
    filename = f"{'TEST-com.example.' * 9}Suite.xml"
    stdout, _ = show([done(filename), done("b.xml")], width=80)
    lines = stdout.splitlines()
    assert lines[2:4] == [filename, str(RUN_ID)]
    assert lines[5] == f"b.xml {RUN_ID}"


def test_one_line_per_run_where_there_is_room() -> None:
    stdout, _ = show([done("a.xml")], width=160)
    header, row = stdout.splitlines()
    assert header.split("  ")[0].strip() == "file"
    assert [cell.strip() for cell in row.split("  ") if cell.strip()] == [
        "a.xml",
        str(RUN_ID),
        *("123456", "123450", "1", "2", "3", "0", "0", "99 %", "2 h 13 min", "5 min 21 s"),
    ]


def test_what_was_not_imported_is_said_once_with_its_file() -> None:
    imports = [
        failed("a.xml", "a.xml is empty."),
        failed("b.xml", "The worker process importing this file was killed."),
        failed("c.xml", None),
        FileImport("d.xml", refusal="d.xml cannot be read: No such file or directory."),
    ]
    stdout, stderr = show(imports, width=200)
    assert stdout == ""
    assert stderr.splitlines() == [
        "Not imported: a.xml is empty.",
        "Not imported: b.xml: The worker process importing this file was killed.",
        "Not imported: c.xml: The import ended with the status error and without a reason.",
        "Not imported: d.xml cannot be read: No such file or directory.",
    ]


def test_a_few_warnings_are_said_and_the_rest_counted() -> None:
    _, stderr = show([done("a.xml", tuple(f"warning {number}" for number in range(9)))], width=200)
    assert stderr.splitlines()[0] == "Warning: a.xml: warning 0"
    assert stderr.splitlines()[-1] == "Warning: a.xml: and 6 more"


def test_json_has_every_fact_of_every_file() -> None:
    imports = [done("a.xml"), failed("b.xml", "bad"), FileImport("c.xml", refusal="worse")]
    stdout, _ = show(imports, width=80, json_wanted=True)
    document = json.loads(stdout)
    assert list(document) == ["version", "imports"]
    assert [list(one) for one in document["imports"]] == [
        [
            "file",
            "import_id",
            "task_id",
            "status",
            "error",
            "warnings",
            "partial",
            "run_id",
            *("tests", "passed", "failed", "errors", "skipped", "xfailed", "xpassed"),
            "pass_percent",
            "duration_seconds",
            "took_seconds",
        ]
    ] * 3
    assert [(one["status"], one["error"], one["run_id"]) for one in document["imports"]] == [
        ("done", None, str(RUN_ID)),
        ("error", "bad", None),
        ("refused", "worse", None),
    ]


def test_files_of_one_name_are_told_apart_by_what_was_asked_for() -> None:
    imports = [done("junit.xml", ("odd",)), failed("junit.xml", "junit.xml is empty."), done("b.xml")]
    for one, path in zip(imports, ("a1/junit.xml", "a2/junit.xml", "c/b.xml"), strict=True):
        one.path = path
    for width in (80, 160):
        stdout, stderr = show(imports, width=width)
        names = [line.split()[0] for line in stdout.splitlines() if str(RUN_ID) in line]
        assert names == ["a1/junit.xml", "b.xml"]
    assert stderr.splitlines() == [
        "Warning: a1/junit.xml: odd",
        "Not imported: a2/junit.xml: junit.xml is empty.",
    ]
    stdout, _ = show(imports, width=80, json_wanted=True)
    assert [one["file"] for one in json.loads(stdout)["imports"]] == [
        "a1/junit.xml",
        "a2/junit.xml",
        "c/b.xml",
    ]
    followed = [done("junit.xml"), done("junit.xml")]
    assert show(followed, width=160)[0].count(str(IMPORT_ID)) == 2


def test_an_import_that_is_gone_is_said_to_be() -> None:
    gone = FileImport(str(IMPORT_ID), import_id=IMPORT_ID, outcome=ImportOutcome("", None))
    _, stderr = show([gone], width=200)
    sentence = f"There is no import {IMPORT_ID}; its row does not exist (any more)."
    assert stderr == f"Not imported: {sentence}\n"


def test_names_and_sentences_cannot_steer_the_terminal() -> None:
    imports = [done("a\x1b[2J\n.xml", ("b\x1b[2J",)), failed("c\r.xml", "d\x07")]
    for width in (80, 160):
        stdout, stderr = show(imports, width=width)
        assert "\x1b" not in stdout + stderr
        assert r"a\x1b[2J\x0a.xml" in stdout
        assert stderr.splitlines() == [
            r"Warning: a\x1b[2J\x0a.xml: b\x1b[2J",
            r"Not imported: c\x0d.xml: d\x07",
        ]


def test_metadata_is_json_when_it_parses_and_text_otherwise() -> None:
    words = ["build=12", "tags=[1]", "version=1.2.3", "url=a=b", "dotted.key=x", "empty="]
    assert parse_metadata(words) == {
        "build": 12,
        "tags": [1],
        "version": "1.2.3",
        "url": "a=b",
        "dotted.key": "x",
        "empty": "",
    }


@given(st.text(), st.text())
def test_any_metadata_word_is_taken_or_refused(key: str, text: str) -> None:
    if key and "=" not in key:
        assert list(parse_metadata([f"{key}={text}"])) == [key]
        with pytest.raises(UsageError, match="is given twice"):
            parse_metadata([f"{key}={text}"] * 2)
    elif not key:
        with pytest.raises(UsageError, match="KEY=VALUE"):
            parse_metadata([f"{key}={text}"])


@pytest.mark.parametrize(
    ("name", "create"), [("", False), (" ", True), ("a\x1b[31m", True), ("a\nb", True), ("\udcff", False)]
)
def test_a_project_needs_a_name_that_can_be_read(name: str, create: bool) -> None:
    check_project("shop 1", create=True)
    # Somebody else may have made one.
    check_project("a\tb", create=False)
    with pytest.raises(UsageError, match="--project"):
        check_project(name, create=create)


def test_ids_to_follow_are_ids() -> None:
    assert parse_ids([str(RUN_ID)]) == [RUN_ID]
    with pytest.raises(UsageError, match="--follow"):
        parse_ids(["x"])
