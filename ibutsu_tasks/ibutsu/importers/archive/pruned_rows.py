"""Rows of the database in an archive: what `prune --archive` writes, and what an import reads back equal.

A run and a result lie in `run.json` and `result.json` as pytest-ibutsu writes them, which name nearly every
column. The rest stands in the PAX header of the member, as the record `comment`, which every other reader
of archives passes over: the row of an artifact, and values that JSON as Python reads it would change.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ibutsu_tasks.ibutsu.importers.indexed_values import fit_archived, long_columns
from ibutsu_tasks.ibutsu.importers.json_documents import BrokenDocumentError, json_object
from ibutsu_tasks.ibutsu.importers.parsed import (
    AnyNumber,
    ArchivedRun,
    Columns,
    JsonText,
    ParsedResult,
    Upload,
)
from ibutsu_tasks.ibutsu.importers.values import column_text, indexed, uuid_or_none

if TYPE_CHECKING:
    from ibutsu_tasks.ibutsu.importers.findings import Findings

_ARCHIVER = "ibutsu-tasks 1"
"""Says in the comment of `run.json` that every row of the archive is one of a database; 1 is the form's."""


_IDS = frozenset({"id", "project_id", "run_id", "result_id"})
_JSON = frozenset({"data", "params", "summary"})
_NUMBERS = frozenset({"duration"})
_TEXTS = frozenset({"test_id", "result", "filename", "env", "component", "source"})
_TIMES = frozenset({"start_time", "created", "upload_date"})
_SHARED_COLUMNS = ("id", "project_id", "data", "env", "component", "source", "start_time", "duration")
RUN_COLUMNS = (*_SHARED_COLUMNS, "summary", "created")
RESULT_COLUMNS = (*_SHARED_COLUMNS, "test_id", "result", "params")
ARTIFACT_COLUMNS = ("id", "result_id", "run_id", "filename", "data", "upload_date")
_KEYS = {"data": "metadata"}
"""What a column is called in a document, where that differs."""


def json_column(text: str | None) -> dict[str, Any] | JsonText | None:
    """Give a `jsonb` column, read as text, in a form that comes back equal from an archive."""
    if text is None:
        return None
    try:
        value = json_object(b'{"":{"":%b}}' % text.encode())[""][""]
    except BrokenDocumentError:
        return JsonText(text)
    return value if isinstance(value, dict) and _says(value, text) else JsonText(text)


def _says(value: dict[str, Any], text: str) -> bool:
    again = json.dumps(value, ensure_ascii=False)
    if again == text:
        return True
    # The database writes 0.0000001 for what Python writes as 1e-07, and keeps digits a float has no room for.
    return _exactly(again) == _exactly(text)


def _exactly(text: str) -> object:
    """Read JSON with every digit of its numbers."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def number_column(value: float | None) -> float | None:
    """Give a column of `double precision` in a form that comes back equal from an archive."""
    return value if value is None or math.isfinite(value) else AnyNumber(value)


def run_member(run: ArchivedRun) -> tuple[bytes, str]:
    """Give `run.json` and the comment beside it."""
    document, exact = _split(run.columns, RUN_COLUMNS)
    comment = {"archiver": _ARCHIVER, "whole": run.is_whole, "results": run.results}
    return _dump(document), _dump(comment | exact).decode()


def result_member(columns: Columns) -> tuple[bytes, str | None]:
    """Give `result.json` and the comment beside it, if it needs one."""
    document, exact = _split(columns, RESULT_COLUMNS)
    return _dump(document), _dump(exact).decode() if exact else None


def artifact_comment(columns: Columns) -> str:
    """Give the comment beside the content of an artifact."""
    document, exact = _split(columns, ARTIFACT_COLUMNS)
    null = {"content": None} if "content" in columns else {}
    return _dump({"row": document} | null | exact).decode()


def read_run(
    document: dict[str, Any], comment: str | None, upload: Upload, findings: Findings
) -> ArchivedRun | None:
    """Read a run as `prune` archived it; None for a file of anybody else's.

    Of this row and others, what is longer than an import puts into an index and was not so in the database
    is cut.
    """
    notes = _notes(comment)
    columns = _join(document, notes, RUN_COLUMNS)
    results = notes.get("results")
    if notes.get("archiver") != _ARCHIVER or columns is None or not isinstance(results, int):
        return None
    columns = fit_archived(_over(columns, upload), "run", findings, _long(notes))
    return ArchivedRun(columns, is_whole=bool(notes.get("whole")), results=results)


def read_result(
    document: dict[str, Any], comment: str | None, result_id: UUID, upload: Upload, findings: Findings
) -> ParsedResult | None:
    """Read a result of an archive whose run is one that `prune` archived; None when somebody changed it."""
    notes = _notes(comment)
    columns = _join(document, notes, RESULT_COLUMNS)
    if columns is None:
        return None
    columns = _over(columns | {"id": result_id}, upload)
    columns = fit_archived(columns, "test case", findings, _long(notes))
    return ParsedResult(
        id=result_id,
        test_id=columns["test_id"] or "",
        result=columns["result"] or "",
        duration_seconds=columns["duration"] or 0.0,
        start_time=columns["start_time"],
        data=columns["data"] if isinstance(columns["data"], dict) else {},
        params=columns["params"] if isinstance(columns["params"], dict) else {},
        source=columns["source"],
        env=columns["env"],
        component=columns["component"],
        archived=columns,
    )


def read_artifact(comment: str | None, findings: Findings) -> Columns | None:
    """Read the row of an artifact; None when there is none beside it."""
    notes = _notes(comment)
    row = notes.get("row")
    columns = _join(row, notes, ARTIFACT_COLUMNS) if isinstance(row, dict) else None
    if columns is None:
        return None
    columns = fit_archived(columns, "file", findings, _long(notes))
    return columns | {"content": None} if "content" in notes else columns


def _split(columns: Columns, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the columns by the names of a document, and apart from them what JSON would change."""
    document: dict[str, Any] = {}
    exact: dict[str, Any] = {}
    for name in names:
        value, key = columns[name], _KEYS.get(name, name)
        if name in _JSON and not isinstance(value, dict):
            # Whoever else reads the archive expects an object.
            document[key], exact[name] = {}, value
        elif isinstance(value, AnyNumber):
            document[key], exact[name] = None, str(float(value))
        elif isinstance(value, datetime):
            document[key] = value.isoformat()
        else:
            document[key] = str(value) if isinstance(value, UUID) else value
    long = long_columns(columns)
    return document, ({"exact": exact} if exact else {}) | ({"long": long} if long else {})


def _join(document: dict[str, Any], notes: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any] | None:
    """Give back what `_split` took apart; None when a value is missing or of a wrong type."""
    exact = notes.get("exact", {})
    try:
        columns = {
            name: _exact(name, exact[name])
            if name in exact
            else _plain(name, document[_KEYS.get(name, name)])
            for name in names
        }
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return columns if columns["id"] else None


def _exact(name: str, value: object) -> JsonText | AnyNumber | None:
    if name in _JSON and (value is None or isinstance(value, str)):
        return None if value is None else JsonText(value)
    if name in _NUMBERS and isinstance(value, str):
        return AnyNumber(value)
    raise TypeError(name)


def _plain(name: str, value: Any) -> Any:
    if name in _TIMES and (moment := datetime.fromisoformat(value)).tzinfo is None:
        return moment
    if name in _JSON and isinstance(value, dict):
        return value
    if value is None and name not in _JSON:
        return None
    if name in _IDS and (identifier := uuid_or_none(value)):
        return identifier
    if name in _NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if name in _TEXTS and isinstance(value, str):
        return value
    raise TypeError(name)


def _over(columns: dict[str, Any], upload: Upload) -> dict[str, Any]:
    """Lay what the uploader gave along over a row."""
    if not (upload.metadata or upload.source):
        return columns
    data = columns["data"]
    given = {name: _column(upload.metadata.get(name)) for name in ("env", "component")}
    given["source"] = _column(upload.source)
    return (
        columns
        | {name: text for name, text in given.items() if text}
        | {"data": data | upload.metadata if isinstance(data, dict) else data}
    )


def _column(value: Any) -> str | None:
    text = column_text(value)
    return text and indexed(text)


def _long(notes: dict[str, Any]) -> list[Any]:
    long = notes.get("long")
    return long if isinstance(long, list) else []


def _notes(comment: str | None) -> dict[str, Any]:
    if comment is None:
        return {}
    try:
        return json_object(comment.encode("utf-8", "surrogateescape"))
    except BrokenDocumentError:
        return {}


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
