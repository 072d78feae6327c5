"""What `run.json` and `result.json` of an archive mean. Values of a wrong type are told of, never fatal."""

from __future__ import annotations

import mimetypes
import re
from functools import lru_cache
from types import NoneType
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.ibutsu.importers.findings import Findings, shown
from ibutsu_tasks.ibutsu.importers.indexed_values import fit_result
from ibutsu_tasks.ibutsu.importers.parsed import ParsedResult, Upload
from ibutsu_tasks.ibutsu.importers.statuses import RED, red_claim, status_of_word
from ibutsu_tasks.ibutsu.importers.summary_counts import SUMMARY_COUNTS
from ibutsu_tasks.ibutsu.importers.values import column_text, count, free_key, seconds, utc_time, uuid_or_none

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

STATUSES = frozenset({"passed", "failed", "error", "skipped", "xfailed", "xpassed", "manual", "blocked"})
_OBJECT, _TEXT = (dict, NoneType), (str, int, float, NoneType)
_TAKEN: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("metadata", "params", "summary"), _OBJECT),
    **dict.fromkeys(("component", "env", "source"), _TEXT),
    **dict.fromkeys(("id", "test_id", "result", "duration", "start_time"), (object,)),
    # Of rows of the database; an import gives its own.
    **dict.fromkeys(("run_id", "project_id", "created"), (object,)),
}
"""The keys of a row that are read, and the types of their values that are; those of any type are told of
where they are read."""
# The types built into Python, not those of the machine, so that every worker guesses the same.
_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("text/plain", ".log")
_TYPES.add_type("text/plain", ".out")
_TYPES.add_type("text/plain", ".err")
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
UNKNOWN_TYPE = "application/octet-stream"
# The guesser takes a name for a URL when it looks like one.
_NO_URL = re.compile(r"[^\w.]")
# A name may be long, and would be kept.
_END_CHARACTERS = 100


def content_type_of(filename: str) -> str:
    """Guess a MIME type from a name, such as `text/plain` for `traceback.log`."""
    return _type_by_end(filename[-_END_CHARACTERS:])


@lru_cache(maxsize=256)
def _type_by_end(filename: str) -> str:
    guessed, encoding = _TYPES.guess_type(_NO_URL.sub("_", filename))
    if encoding:
        return _COMPRESSED.get(encoding, UNKNOWN_TYPE)
    return guessed or UNKNOWN_TYPE


def id_of(document: dict[str, Any], folder: UUID, what: str, findings: Findings) -> UUID:
    """Give the id a row states, or that of its folder when it states none."""
    stated = uuid_or_none(document.get("id"))
    if stated is None:
        findings.note("id", f"{shown(what)} states no valid id; that of its folder was taken")
    return stated or folder


def data_of(document: dict[str, Any], upload: Upload) -> dict[str, Any]:
    """Give the data of a row: its metadata, `user_properties` lifted, the upload's metadata on top."""
    metadata = document.get("metadata")
    data = dict(metadata) if isinstance(metadata, dict) else {}
    if "user_properties" in data and (lifted := _pairs(data["user_properties"])) is not None:
        del data["user_properties"]
        data |= lifted
    return data | upload.metadata


def keep_rest(data: dict[str, Any], document: dict[str, Any], what: str, findings: Findings) -> None:
    """Put into the data of a row what its document says that nothing else takes."""
    rest = {key: value for key, value in document.items() if not isinstance(value, _TAKEN.get(key, ()))}
    if not rest:
        return
    where = free_key(data, "fields")
    data[where] = rest
    for key in rest:
        # One kind for all keys that are not known: there may be any number.
        is_known = key in _TAKEN
        why = "in a form that no column takes" if is_known else "which no column takes"
        sentence = f"{what} states {shown(key)}, {why}; it is in data.{where}"
        findings.note(f"odd {key}" if is_known else "unknown key", sentence)


def red_claim_of(document: dict[str, Any], data: dict[str, Any], upload: Upload) -> str | None:
    """Give what a row says red beside its result, such as `status="failed"` in its metadata."""
    own = {key: value for key, value in data.items() if key not in upload.metadata}
    stated = document | {"result": None} | own
    return red_claim({key: str(value) for key, value in stated.items() if isinstance(value, str | bool)})


def _pairs(value: Any) -> dict[str, Any] | None:
    """Read an object, or the list of pairs that pytest keeps; None when it is neither."""
    if isinstance(value, dict):
        return value
    try:
        return {str(key): item for key, item in value} if isinstance(value, list) else None
    except (TypeError, ValueError):
        return None


def result_row(
    document: dict[str, Any], result_id: UUID, run_id: UUID, upload: Upload, findings: Findings
) -> ParsedResult:
    """Make the row of one `result.json`."""
    data = data_of(document, upload)
    status = _status(document, result_id, findings)
    if status not in RED and (claim := red_claim_of(document, data, upload)):
        what = f"result {result_id} has {shown(claim)} and ended as {shown(status)}, which was taken"
        findings.note("red word", what)
    keep_rest(data, document, f"result {result_id}", findings)
    data["run"] = str(run_id)
    params = document.get("params")
    result = ParsedResult(
        id=result_id,
        test_id=_test_id(document, result_id, findings),
        result=status,
        duration_seconds=_duration(document, result_id, findings),
        start_time=_start_time(document, result_id, findings),
        data=data,
        params=params if isinstance(params, dict) else {},
        source=column_text(upload.source or document.get("source")),
        env=column_text(data.get("env")) or column_text(document.get("env")),
        component=column_text(data.get("component")) or column_text(document.get("component")),
    )
    return fit_result(result, findings)


def summary_of(document: dict[str, Any]) -> dict[str, int]:
    """Give the counts that `run.json` states."""
    summary = document.get("summary")
    if not isinstance(summary, dict):
        return {}
    numbers = ((one.key, count(summary.get(one.key))) for one in SUMMARY_COUNTS)
    return {key: number for key, number in numbers if number is not None}


def _test_id(document: dict[str, Any], result_id: UUID, findings: Findings) -> str:
    test_id = document.get("test_id")
    if isinstance(test_id, str) and test_id:
        return test_id
    findings.note("test_id", f"result {result_id} has no test_id; its id was taken")
    return column_text(test_id) or str(result_id)


def _status(document: dict[str, Any], result_id: UUID, findings: Findings) -> str:
    status = document.get("result")
    if not isinstance(status, str) or not status:
        findings.note("no status", f"result {result_id} does not say how the test ended; error was taken")
        return "error"
    if status in STATUSES:
        return status
    if known := status_of_word(status):
        return known
    sentence = f"result {result_id} ended as {shown(status)}, which is no known outcome; it counts as passed"
    findings.note("status", sentence)
    return status


def _duration(document: dict[str, Any], result_id: UUID, findings: Findings) -> float:
    stated = document.get("duration")
    duration = seconds(stated)
    if duration is None and stated is not None:
        findings.note("duration", f"result {result_id} has a duration that is none; 0 was taken")
    return duration or 0.0


def _start_time(document: dict[str, Any], result_id: UUID, findings: Findings) -> datetime | None:
    start_time = utc_time(document.get("start_time"))
    if start_time is None:
        findings.note("start_time", f"result {result_id} has no valid start_time; the run's was taken")
    return start_time
