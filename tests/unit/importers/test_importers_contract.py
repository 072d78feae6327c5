"""What holds for every importer, whatever its format."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ibutsu_tasks.errors import InvalidImportError
from ibutsu_tasks.ibutsu.importers import detect_format
from ibutsu_tasks.ibutsu.importers.formats import formats
from ibutsu_tasks.ibutsu.importers.parsed import ParsedResult

if TYPE_CHECKING:
    from uuid import UUID

EXAMPLES = Path(__file__).parents[3] / "examples" / "results"
COUNTS = {
    "node-nested.xml": {"passed": 3, "failed": 1, "skipped": 1},
    "pytest-ibutsu.tar.gz": {"passed": 2, "failed": 2, "error": 1, "skipped": 1, "xfailed": 1, "xpassed": 1},
    "pytest-junit.xml": {"passed": 3, "failed": 2, "error": 1, "skipped": 2},
    "pytest-properties.xml": {"passed": 2, "failed": 1},
}
Reader = Callable[..., Any]


@pytest.fixture(params=sorted(COUNTS))
def example(request: pytest.FixtureRequest) -> Path:
    return EXAMPLES / str(request.param)


@pytest.fixture
def kind(example: Path) -> str:
    with example.open("rb") as content:
        return detect_format(content, example.name)


def test_every_example_is_listed_and_every_format_has_one() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == COUNTS.keys()
    kinds = {detect_format(io.BytesIO(path.read_bytes()), path.name) for path in EXAMPLES.iterdir()}
    assert kinds == formats().keys()


def test_examples_give_their_tests_without_a_warning(read: Reader, example: Path, kind: str) -> None:
    got = read(example.read_bytes(), kind)
    outcomes = [result.result for result in got.results]
    assert {outcome: outcomes.count(outcome) for outcome in outcomes} == COUNTS[example.name]
    assert got.run.warnings == []


def test_the_same_file_gives_the_same_rows(read: Reader, example: Path, kind: str) -> None:
    first, second = read(example.read_bytes(), kind), read(example.read_bytes(), kind)
    assert (first.run.id, first.rows) == (second.run.id, second.rows)
    assert len({row.id for row in first.rows}) == len(first.rows)


def test_artifacts_follow_the_result_they_name(read: Reader, example: Path, kind: str) -> None:
    seen: set[UUID | None] = {None}
    for row in read(example.read_bytes(), kind).rows:
        if isinstance(row, ParsedResult):
            seen.add(row.id)
        else:
            assert row.result_id in seen
            assert "/" not in row.filename


def test_what_the_uploader_says_wins(read: Reader, example: Path, kind: str) -> None:
    metadata = {"env": "mine", "component": "c", "project": "p", "source": "no"}
    got = read(example.read_bytes(), kind, metadata=metadata, source="s")
    assert (got.run.env, got.run.component, got.run.project, got.run.source) == ("mine", "c", "p", "s")
    assert {(r.env, r.component, r.source) for r in got.results} == {("mine", "c", "s")}


def test_rows_fit_a_json_column(read: Reader, example: Path, kind: str) -> None:
    got = read(example.read_bytes(), kind)
    told = json.dumps([got.run.data, [(row.data, row.params) for row in got.results]], allow_nan=False)
    assert "\\u0000" not in told
    assert {row.data["run"] for row in got.results} == {str(got.run.id)}
    for time in (got.run.start_time, *(row.start_time for row in got.results)):
        assert time is None or time.tzinfo is None


def test_a_file_cut_anywhere_is_refused_by_its_name(read: Reader, example: Path, kind: str) -> None:
    data = example.read_bytes().rstrip()
    for length in range(0, len(data) - 1, 37):
        with pytest.raises(InvalidImportError, match=r"^cut-off\.file") as refusal:
            read(data[:length], kind, filename="cut-off.file")
        assert refusal.value.hint
