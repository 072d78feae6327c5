"""What the database keeps in an index, cut to what an index entry takes; the whole of it stays in data."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.importers.values import INDEXED_BYTES, free_key, indexed

if TYPE_CHECKING:
    from ibutsu_tasks.importers.findings import Findings
    from ibutsu_tasks.importers.parsed import ParsedResult, ParsedRun

# Three of a result's values share one entry with its status, so these take half of what a column takes.
INDEXED_DATA_BYTES = INDEXED_BYTES // 2
INDEXED_DATA = ("assignee", "classification", "exception_name", "SatelliteVersion", "SnapVersion")
"""Keys of data that are indexed as text."""
INDEXED_IN = {"jenkins": ("job_name", "build_number")}
"""Keys of objects in data that are indexed as text, by the key of the object."""

_INDEXED_KEYS = frozenset(INDEXED_DATA) | INDEXED_IN.keys()
_RESULT_COLUMNS = ("test_id", "result", "source", "env", "component")
_RUN_COLUMNS = ("source", "env", "component")


def fit_result(result: ParsedResult, findings: Findings) -> ParsedResult:
    """Cut the values of a result that an index does not take; its data get the whole ones."""
    cut = _fit(result, _RESULT_COLUMNS, result.data, result.test_id, findings)
    return result._replace(**cut) if cut else result


def fit_run(run: ParsedRun, findings: Findings) -> ParsedRun:
    """Cut the values of a run that an index does not take; its data get the whole ones."""
    cut = _fit(run, _RUN_COLUMNS, run.data, None, findings)
    return replace(run, **cut) if cut else run


def _fit(
    row: ParsedResult | ParsedRun,
    columns: tuple[str, ...],
    data: dict[str, Any],
    test_id: str | None,
    findings: Findings,
) -> dict[str, Any]:
    cut: dict[str, Any] = {}
    for name in columns:
        value = getattr(row, name)
        if value is not None and (text := indexed(value)) is not value:
            cut[name] = text
            _keep_whole(data, name, value, test_id, findings)
    if not _INDEXED_KEYS.isdisjoint(data):
        _fit_data(data, test_id, findings)
    return cut


def _fit_data(data: dict[str, Any], test_id: str | None, findings: Findings) -> None:
    _fit_keys(data, INDEXED_DATA, test_id, findings)
    for key, names in INDEXED_IN.items():
        if isinstance(inner := data.get(key), dict):
            # One object of the upload may be in many rows.
            data[key] = dict(inner)
            _fit_keys(data[key], names, test_id, findings)


def _fit_keys(data: dict[str, Any], names: tuple[str, ...], test_id: str | None, findings: Findings) -> None:
    for name in names:
        value = data.get(name)
        if value is None or isinstance(value, bool | int | float):
            continue
        # The index has anything but text in its JSON form.
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if (cut := indexed(text, INDEXED_DATA_BYTES)) is not text:
            data[name] = cut
            _keep_whole(data, name, value, test_id, findings)


def _keep_whole(data: dict[str, Any], name: str, value: Any, test_id: str | None, findings: Findings) -> None:
    key = free_key(data, f"{name}_whole")
    data[key] = value
    what = "the run" if test_id is None else f"test case {shown(test_id)}"
    findings.note(
        f"index {name} of run" if test_id is None else f"index {name}",
        f"{what} has more in {name} than an index takes; it was cut, and is whole in data.{key}",
    )
