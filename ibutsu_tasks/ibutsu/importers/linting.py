"""What an import of a file would store, and where, found by the importer itself; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from ibutsu_tasks.errors import IbutsuTasksError, InvalidImportError
from ibutsu_tasks.ibutsu.importers.detection import detect_format
from ibutsu_tasks.ibutsu.importers.findings import SHOWN_CHARACTERS, shown
from ibutsu_tasks.ibutsu.importers.formats import ARCHIVE, JUNIT, formats
from ibutsu_tasks.ibutsu.importers.junit import dialects
from ibutsu_tasks.ibutsu.importers.parsed import (
    ImportLimits,
    ParsedArtifact,
    ParsedFile,
    ParsedRun,
    Stored,
    Upload,
)
from ibutsu_tasks.ibutsu.importers.reading import UNFORESEEN, read_file, refuse_large_upload
from ibutsu_tasks.ibutsu.importers.values import MAX_DURATION_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NAMES = 200
PROGRESS_RESULTS = 1_000
OTHERS = "(others)"
_IMPORT_ID = uuid5(NAMESPACE_OID, "ibutsu-tasks lint")


@dataclass(slots=True)
class ArtifactCount:
    """Artifacts of one name."""

    count: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class Lint:
    """What was found in one file. `error` is the sentence its import would end with."""

    filename: str
    size_bytes: int
    format: str | None = None
    dialect: str | None = None
    error: str | None = None
    hint: str = ""
    run: dict[str, Any] | None = None
    """The run the file would become; `id` is None when each import gets its own, `data` holds the keys."""
    tests: int = 0
    added_seconds: float = 0.0
    """What the tests took together."""
    statuses: dict[str, int] = field(default_factory=dict)
    result_artifacts: dict[str, ArtifactCount] = field(default_factory=dict)
    run_artifacts: dict[str, ArtifactCount] = field(default_factory=dict)
    data: dict[str, int] = field(default_factory=dict)
    """How many results have each key in their data."""
    kept: list[Stored] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def lint(
    content: IO[bytes],
    filename: str,
    size_bytes: int,
    limits: ImportLimits,
    on_progress: Callable[[int], None] | None = None,
) -> Lint:
    """Read a file as an import would, in memory that does not grow with it; never raises for its content.

    `content` is a seekable binary file at position 0; `on_progress` takes the number of results so far.
    """
    found = Lint(filename, size_bytes)
    run: ParsedRun | None = None
    error: IbutsuTasksError | None
    try:
        refuse_large_upload(filename, size_bytes)
        found.format = detect_format(content, filename)
        found.dialect = _dialect_of(found.format, content, filename)
        upload = Upload(_IMPORT_ID, filename, keeps_partial=True)
        run = _count_rows(found, read_file(found.format, content, upload, limits), on_progress)
        found.kept, found.warnings = run.stored, list(run.warnings)
        error = run.break_error
    except IbutsuTasksError as refusal:
        error = refusal
    except Exception as unforeseen:
        if isinstance(unforeseen, OSError) and found.format in {None, JUNIT, ARCHIVE}:
            raise  # the file itself cannot be read
        error = _explain(unforeseen)
    if error is not None:
        found.error, found.hint = str(error), error.hint
        if found.tests and run is not None:
            found.hint += (
                f" Or import it with --partial, which stores what is before that (tests: {found.tests:,})."
            )
    elif run is not None:
        found.run = _run_of(run, found.added_seconds)
    return found


def _dialect_of(format_name: str, content: IO[bytes], filename: str) -> str:
    if format_name == ARCHIVE:
        return dialects.ARCHIVE
    return dialects.dialect_of(content, filename) if format_name == JUNIT else str(formats()[format_name])


def _explain(error: Exception) -> InvalidImportError:
    what = shown(f"{type(error).__name__}: {error}")
    return InvalidImportError(UNFORESEEN, f"Repair what reads it: {what}.")


def _count_rows(found: Lint, file: ParsedFile, on_progress: Callable[[int], None] | None) -> ParsedRun:
    run = file.beginning
    for row in file.rows:
        if isinstance(row, ParsedRun):
            run = row
        elif isinstance(row, ParsedArtifact):
            _count_artifact(found, row)
        else:
            found.tests += 1
            if row.duration_seconds <= MAX_DURATION_SECONDS:
                found.added_seconds += row.duration_seconds
            _count(found.statuses, row.result)
            for key in row.data:
                _count(found.data, key)
            if on_progress is not None and found.tests % PROGRESS_RESULTS == 0:
                on_progress(found.tests)
    return run


def _count_artifact(found: Lint, artifact: ParsedArtifact) -> None:
    names = found.run_artifacts if artifact.result_id is None else found.result_artifacts
    counted = names.setdefault(_bounded(names, artifact.filename), ArtifactCount())
    counted.count += 1
    counted.size_bytes += len(artifact.content)


def _count(counts: dict[str, int], name: str) -> None:
    name = _bounded(counts, name)
    counts[name] = counts.get(name, 0) + 1


def _bounded(names: dict[str, int] | dict[str, ArtifactCount], name: str) -> str:
    # Most names are told at once: a case may have ten thousand, and each is looked up here.
    if name in names:
        return name
    if len(names) >= MAX_NAMES and len(name) <= SHOWN_CHARACTERS and name.isprintable():
        return OTHERS
    name = shown(name)
    return name if name in names or len(names) < MAX_NAMES else OTHERS


def _run_of(run: ParsedRun, added_seconds: float) -> dict[str, Any]:
    """Give the run as an import would have it: without a duration of its own, its tests took so long."""
    own = None if run.id == uuid5(_IMPORT_ID, "run") else run.id
    columns = ("start_time", "duration_seconds", "env", "component", "source", "project")
    facts = {name: getattr(run, name) for name in columns}
    if run.archived is None:
        facts["duration_seconds"] = run.duration_seconds or added_seconds
    return {"id": own, **facts, "data": list(dict.fromkeys(map(shown, run.data)))}
