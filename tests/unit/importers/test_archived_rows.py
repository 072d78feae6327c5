"""Rows that `prune` archived, as they were, and after somebody changed the archive."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers.archive.pruned_rows import (
    artifact_comment,
    json_column,
    number_column,
    result_member,
    run_member,
)
from ibutsu_tasks.ibutsu.importers.parsed import ArchivedRun, JsonText
from ibutsu_tasks.ibutsu.importers.values import indexed

if TYPE_CHECKING:
    from collections.abc import Callable

RUN, RESULT, ARTIFACT = (UUID(int=number) for number in (1, 2, 3))
MOMENT = datetime(2026, 11, 21, 6, 9, 29, 950940)  # noqa: DTZ001 - columns hold naive UTC
TEXTS = {"env": "", "component": None, "source": "local"}
RUN_ROW = ArchivedRun(
    {
        "id": RUN,
        "project_id": None,
        "data": {"a": 1},
        "summary": None,
        "duration": 1.5,
        "start_time": MOMENT,
        "created": MOMENT,
        **TEXTS,
    },
    is_whole=True,
    results=1,
)
RESULT_ROW = {
    "id": RESULT,
    "project_id": RUN,
    "test_id": None,
    "result": "odd",
    "data": JsonText("[1]"),
    "params": {},
    "duration": number_column(float("inf")),
    "start_time": MOMENT,
    **TEXTS,
}
ARTIFACT_ROW = {
    "id": ARTIFACT,
    "result_id": RESULT,
    "run_id": None,
    "filename": "../x",
    "data": None,
    "upload_date": MOMENT,
    "content": None,
}
RESULT_FOLDER = f"{RUN}/{RESULT}"
MEMBERS: list[tuple[str, bytes, str | None]] = [
    (f"{RUN}/run.json", *run_member(RUN_ROW)),
    (f"{RESULT_FOLDER}/result.json", *result_member(RESULT_ROW)),
    (f"{RESULT_FOLDER}/artifact", b"", artifact_comment(ARTIFACT_ROW)),
]


def pack(members: list[tuple[str, bytes, str | None]]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for path, data, comment in members:
            info = tarfile.TarInfo(path)
            info.size = len(data)
            info.pax_headers = {} if comment is None else {"comment": comment}
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def test_rows_come_back_as_they_were(read: Callable[..., Any]) -> None:
    got = read(pack(MEMBERS), "archive")
    assert got.run.archived == RUN_ROW
    assert [row.archived for row in got.rows] == [RESULT_ROW, ARTIFACT_ROW]
    assert got.run.warnings == []


def test_results_changed_behind_the_summary_are_told(read: Callable[..., Any]) -> None:
    summary = {"tests": 3, "passes": 2, "failures": 0, "errors": 1, "skips": 0, "xfailures": 0, "xpasses": 0}
    run = ArchivedRun({**RUN_ROW.columns, "summary": summary}, is_whole=True, results=1)

    def warnings_with(result: str) -> list[str]:
        row = {**RESULT_ROW, "result": result}
        members = [
            (f"{RUN}/run.json", *run_member(run)),
            (f"{RESULT_FOLDER}/result.json", *result_member(row)),
        ]
        found: list[str] = read(pack(members), "archive").run.warnings
        return found

    # Two results were deleted before the run was archived.
    assert warnings_with("passed") == warnings_with("error") == []
    (warning,) = warnings_with("failed")
    assert warning.startswith("The archive's summary states 0 failures and its results show 1; ")
    assert warning.endswith(f"`ibutsu-tasks enqueue update_run run_id={RUN}` counts anew.")


def test_a_number_no_column_holds_makes_it_an_archive_of_anybody(read: Callable[..., Any]) -> None:
    path, document, comment = MEMBERS[0]
    huge = json.dumps(json.loads(document) | {"duration": 10**400}).encode()
    got = read(pack([(path, huge, comment), *MEMBERS[1:]]), "archive")
    assert (got.run.archived, got.run.duration_seconds) == (None, None)


def test_what_the_uploader_says_lies_over_the_rows(read: Callable[..., Any]) -> None:
    got = read(pack(MEMBERS), "archive", metadata={"env": "stage", "b": 2}, source="ci")
    run, result = got.run.archived.columns, got.results[0].archived
    assert (run["data"], run["env"], run["source"]) == ({"a": 1, "env": "stage", "b": 2}, "stage", "ci")
    assert (result["data"], result["env"], result["source"]) == (JsonText("[1]"), "stage", "ci")


VALUES = st.sampled_from(
    [None, "", "x", -1, 1e400, 10**400, True, [], ["exact"], {}, {"a": []}, str(RUN), "9999999-01-01"]
)


@given(st.data())
def test_changed_archives_are_read_or_refused(read: Callable[..., Any], data: st.DataObject) -> None:
    members = list(MEMBERS)
    place = data.draw(st.integers(0, 2))
    path, content, comment = members[place]
    if content and data.draw(st.booleans()):
        content = _with_another_value(content.decode(), data).encode()
    else:
        comment = _with_another_value(comment or "{}", data)
    members[place] = (path, content, comment)
    try:
        got = read(pack(members), "archive")
    except InvalidImportError:
        return
    # The id of the run in its place is a valid id, too.
    assert [row.id for row in got.results] in ([RESULT], [RUN]) or got.run.warnings
    assert len(got.artifacts) <= 1


def _with_another_value(document: str, data: st.DataObject) -> str:
    """Change, add or take away one value of a document, at any depth, or cut it off."""
    if data.draw(st.integers(0, 9)) == 0:
        return document[: data.draw(st.integers(0, len(document)))]
    whole = json.loads(document)
    inner = whole
    while True:
        key = data.draw(st.sampled_from([*inner, "exact", "row"]))
        if not isinstance(inner.get(key), dict) or data.draw(st.booleans()):
            break
        inner = inner[key]
    if data.draw(st.booleans()):
        inner[key] = data.draw(VALUES)
    else:
        inner.pop(key, None)
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("text", "comes_back"),
    [
        ('{"a": 1.5, "b": [null, true, "\\u001f\\n\\"é"]}', True),
        ('{"a": 0.0000001, "b": 1.10, "c": 1000000000000000000000000000000}', True),
        ('{"a": 0.12345678901234567890123}', False),
        (f'{{"a": 1{"0" * 5000}}}', False),
        (f'{{"a": {"[" * 200}{"]" * 200}}}', False),
        ("[1]", False),
        ("null", False),
        ('"text"', False),
    ],
)
def test_json_that_python_would_change_stays_text(text: str, comes_back: bool) -> None:
    column = json_column(text)
    assert isinstance(column, dict) is comes_back
    if not comes_back:
        assert column == JsonText(text)


def edited(member: tuple[str, bytes, str | None], **values: Any) -> tuple[str, bytes, str | None]:
    path, document, comment = member
    return path, json.dumps(json.loads(document) | values).encode(), comment


def test_values_that_somebody_made_too_long_are_cut_and_kept_whole(read: Callable[..., Any]) -> None:
    noise = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(2000))
    run, result, _ = MEMBERS
    file = artifact_comment({**ARTIFACT_ROW, "filename": "x"}).replace('"x"', json.dumps(noise))
    got = read(
        pack([edited(run, env=noise), edited(result, test_id=noise), (f"{RESULT_FOLDER}/f", b"f", file)]),
        "archive",
    )
    first, second = (row.archived for row in got.rows)
    for name, row in (("env", got.run.archived.columns), ("test_id", first), ("filename", second)):
        assert row[name] == indexed(noise)
        assert row["data"][f"{name}_whole"] == noise
        assert any(f" has more in {name} than an index takes" in one for one in got.run.warnings)
    assert first["id"] == RESULT_ROW["id"]
    assert got.run.archived.is_whole == RUN_ROW.is_whole


def test_values_that_were_as_long_in_the_database_come_back_as_they_were(read: Callable[..., Any]) -> None:
    long = "long " * 1000
    run = ArchivedRun({**RUN_ROW.columns, "source": long}, is_whole=True, results=1)
    row = {**RESULT_ROW, "test_id": long, "data": {"assignee": long, "jenkins": {"job_name": long}}}
    file = {**ARTIFACT_ROW, "filename": long}
    members = [
        (f"{RUN}/run.json", *run_member(run)),
        (f"{RESULT_FOLDER}/result.json", *result_member(row)),
        (f"{RESULT_FOLDER}/artifact", b"", artifact_comment(file)),
    ]
    got = read(pack(members), "archive")
    assert got.run.archived == run
    assert [one.archived for one in got.rows] == [row, file]
    assert got.run.warnings == []
