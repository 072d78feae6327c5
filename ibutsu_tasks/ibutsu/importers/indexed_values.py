"""What the database keeps in an index, cut to what an index entry takes; the whole of it stays in data."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.ibutsu.importers.findings import Findings, shown
from ibutsu_tasks.ibutsu.importers.parsed import JsonText
from ibutsu_tasks.ibutsu.importers.values import INDEXED_BYTES, free_key, indexed

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from ibutsu_tasks.ibutsu.importers.parsed import Columns, ParsedResult, ParsedRun

# Three of a result's values share one entry with its status, so these take half of what a column takes.
INDEXED_DATA_BYTES = INDEXED_BYTES // 2
INDEXED_DATA = ("assignee", "classification", "exception_name", "SatelliteVersion", "SnapVersion")
"""Keys of data that are indexed as text."""
INDEXED_IN = {"jenkins": ("job_name", "build_number")}
"""Keys of objects in data that are indexed as text, by the key of the object."""

_INDEXED_KEYS = frozenset(INDEXED_DATA) | INDEXED_IN.keys()
_RESULT_COLUMNS = ("test_id", "result", "source", "env", "component")
_RUN_COLUMNS = ("source", "env", "component")
_ALL_COLUMNS = (*_RESULT_COLUMNS, "filename")


def fit_result(result: ParsedResult, findings: Findings) -> ParsedResult:
    """Cut the values of a result that an index does not take; its data get the whole ones."""
    fitting = _Fitting("test case", result.test_id, result.data, findings)
    cut = fitting.cut(partial(getattr, result), _RESULT_COLUMNS)
    return result._replace(**cut) if cut else result


def fit_run(run: ParsedRun, findings: Findings) -> ParsedRun:
    """Cut the values of a run that an index does not take; its data get the whole ones."""
    cut = _Fitting("run", None, run.data, findings).cut(partial(getattr, run), _RUN_COLUMNS)
    return replace(run, **cut) if cut else run


def fit_archived(
    columns: Columns, what: str, findings: Findings, as_it_was: Container[str] = ()
) -> dict[str, Any]:
    """Cut the values of an archived row that were not so long in the database; its data get the whole ones.

    `what` is its kind; `as_it_was` names the columns that were, `data` for values in it.
    """
    data = _object_of(columns["data"])
    before = dict(data)
    names = [name for name in _ALL_COLUMNS if name in columns and name not in as_it_was]
    name = columns.get("test_id") or columns.get("filename")
    fitting = _Fitting(what, name, data, findings, fits_data="data" not in as_it_was)
    cut = fitting.cut(columns.get, names)
    return {**columns, **cut, "data": data} if cut or data != before else {**columns}


def long_columns(columns: Columns) -> list[str]:
    """Name the columns of a row of the database that have more than an import puts into them."""
    fitted = fit_archived(columns, "row", Findings())
    return [name for name in columns if fitted[name] is not columns[name]]


def _object_of(data: Any) -> dict[str, Any]:
    try:
        value = json.loads(data) if isinstance(data, JsonText) else data
    except (ValueError, RecursionError):
        value = None
    return dict(value) if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class _Fitting:
    """Cuts values of one row, and puts the whole ones into its data."""

    what: str
    name: str | None
    data: dict[str, Any]
    findings: Findings
    fits_data: bool = True

    def cut(self, get: Callable[[str], Any], columns: Iterable[str]) -> dict[str, Any]:
        """Give the columns that had to be cut."""
        cut: dict[str, Any] = {}
        for name in columns:
            value = get(name)
            if value is not None and (text := indexed(value)) is not value:
                cut[name] = text
                self._keep_whole(self.data, name, value)
        if self.fits_data and not _INDEXED_KEYS.isdisjoint(self.data):
            self._fit_data()
        return cut

    def _fit_data(self) -> None:
        self._fit_keys(self.data, INDEXED_DATA)
        for key, names in INDEXED_IN.items():
            if isinstance(inner := self.data.get(key), dict):
                # One object of the upload may be in many rows.
                self.data[key] = dict(inner)
                self._fit_keys(self.data[key], names)

    def _fit_keys(self, data: dict[str, Any], names: tuple[str, ...]) -> None:
        for name in names:
            value = data.get(name)
            if value is None or isinstance(value, bool | int | float):
                continue
            # The index has anything but text in its JSON form.
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            if (cut := indexed(text, INDEXED_DATA_BYTES)) is not text:
                data[name] = cut
                self._keep_whole(data, name, value)

    def _keep_whole(self, data: dict[str, Any], name: str, value: Any) -> None:
        key = free_key(data, f"{name}_whole")
        data[key] = value
        what = f"the {self.what}" if self.name is None else f"{self.what} {shown(self.name)}"
        self.findings.note(
            f"index {name} of {self.what}",
            f"{what} has more in {name} than an index takes; it was cut, and is whole in data.{key}",
        )
