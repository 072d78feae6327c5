"""What every importer produces: a run, and an iterator of its results with their artifacts.

Nothing here knows a database or Celery. Times are naive `datetime`s in UTC, durations are seconds. Readers of
task packages import their types from here; `archived` and what is named so is Ibutsu's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks.ibutsu.importers.values import derived_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from ibutsu_tasks.errors import InvalidImportError

CHUNK_BYTES = 1024 * 1024

MAX_ARTIFACT_BYTES = 500_000_000
"""PostgreSQL sends a `bytea` as text of twice its size, at most 1 GiB: more could never be read back."""


REPEATED_BYTES = 64 * 1024**2
REPEATED_PER_BYTE = 200
"""How much the rows of a file repeat of it: so much of any, and of a larger one so many times its bytes.

Surefire's suites have sixty properties, 10 KB of them, and cases of a hundred bytes.
"""


@dataclass(frozen=True, slots=True)
class Upload:
    """What is known of a file besides its bytes: the import row it came in.

    `metadata` and `source` are what the uploader gave along; `import_id` seeds every derived id,
    so that a second delivery of the same import writes the same rows again.
    """

    import_id: UUID
    filename: str
    metadata: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    keeps_partial: bool = False
    """Whether what is whole before a break is wanted, where else the file would be refused."""
    has_project: bool = False
    """Whether the uploader chose a project; what the file names is of no account then."""
    own_run_id: UUID | None = None
    """The run's id where what the file states belongs to others; the ids of all rows are derived from it."""

    @property
    def run_id(self) -> UUID:
        """The id of the run the file becomes, the same at every delivery, of a file that states none."""
        return self.own_run_id or derived_id(self.import_id, "run")

    def row_id(self, name: str) -> UUID:
        """Give the id of a result or an artifact by what no other row of the file has, such as its number."""
        return derived_id(self.run_id, name)


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """How much one file may unpack to before it is refused."""

    unpacked_bytes: int = 4 * 1024**3
    members: int = 500_000
    document_bytes: int = 16 * 1024**2
    """One `run.json` or `result.json`; pytest-ibutsu's are under 10 KB."""
    artifact_bytes: int = MAX_ARTIFACT_BYTES
    """A larger artifact is left out."""


@dataclass(frozen=True, slots=True)
class SpooledContent:
    """Bytes too large for memory: a stretch of an open temporary file."""

    file: IO[bytes]
    offset_bytes: int
    size_bytes: int

    def __len__(self) -> int:
        """Give the size in bytes, as `len` does for `bytes`."""
        return self.size_bytes

    def chunks(self) -> Iterator[bytes]:
        """Read the stretch in pieces of at most `CHUNK_BYTES`."""
        position, left = self.offset_bytes, self.size_bytes
        while left:
            self.file.seek(position)
            chunk = self.file.read(min(left, CHUNK_BYTES))
            if not chunk:
                message = "a temporary file ended early"
                raise EOFError(message)
            position += len(chunk)
            left -= len(chunk)
            yield chunk


Content = bytes | SpooledContent


class JsonText(str):
    """A JSON value in the database's own words, for a `jsonb` column to take as it is."""

    __slots__ = ()


class AnyNumber(float):
    """A number for a column to take as it is, NaN and infinities among them."""

    __slots__ = ()


Columns = Mapping[str, Any]
"""Columns of a row as the database held them when `prune` archived it, by name.

Times are naive UTC; JSON is an object, `JsonText` for anything else, or None for NULL. Where a row has them,
they are its columns; its other fields only describe it.
"""


@dataclass(slots=True)
class Stored:
    """Something a report says beyond rows and artifacts, and where it is stored."""

    what: str
    where: str
    line: int
    """Line of the file the first one is at, from 1."""
    count: int = 1


class ParsedArtifact(NamedTuple):
    """One file of a result, or of the run itself when `result_id` is None."""

    id: UUID
    result_id: UUID | None
    filename: str
    content: Content
    content_type: str
    archived: Columns | None = None
    """All but `content`, which is among them when it is NULL."""
    whole_filename: str | None = None
    """The name of the file where `filename` is a cut one."""


# A tuple takes a quarter of the time of a frozen dataclass, and there is one for every row.
class ParsedResult(NamedTuple):
    """One row of `results`, short of its run and project. `start_time` None means the run's.

    `result` is one of `error`, `failed`, `xpassed`, `xfailed`, `skipped` and `passed`; `data` and `params`
    are JSON objects.
    """

    id: UUID
    test_id: str
    result: str
    duration_seconds: float
    start_time: datetime | None
    data: dict[str, Any]
    params: dict[str, Any]
    source: str | None = None
    env: str | None = None
    component: str | None = None
    archived: Columns | None = None
    """All but `run_id`."""


@dataclass(frozen=True, slots=True)
class ArchivedRun:
    """The row of a run as `prune` archived it.

    `is_whole` says that the run itself was to be deleted, not only some of its results or artifacts.
    `results` is the number of results it had then, whether they are in the archive or not.
    """

    columns: Columns
    is_whole: bool
    results: int


@dataclass(frozen=True, slots=True)
class ParsedRun:
    """One row of `runs`, as far as the file was read, and what is to be said about the file.

    A file that states no `start_time` began when it is imported; without a `duration_seconds`, it took what
    its tests took together. `project` is a name or an id, and goes behind what the uploader chose.
    `claimed_summary` holds the counts that the file states about itself, by the keys of a run's summary; they
    stand in only when it has no results at all. `data` is a JSON object, with the metadata of the upload.
    """

    id: UUID
    start_time: datetime | None = None
    duration_seconds: float | None = None
    data: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    env: str | None = None
    component: str | None = None
    project: str | None = None
    claimed_summary: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    archived: ArchivedRun | None = None
    break_error: InvalidImportError | None = None
    """Where the file breaks, of an upload that `keeps_partial`; the rows before that may be kept."""


ParsedRow = ParsedResult | ParsedArtifact


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What a file becomes: its run as known at the beginning, the rows, and the run as known at the end.

    `rows` yields each `ParsedResult` before the `ParsedArtifact`s that name it, and the complete `ParsedRun`
    last. It may be consumed once, and may raise `InvalidImportError` at any point; for an upload that
    `keeps_partial` the run says where the file breaks instead.
    """

    beginning: ParsedRun
    rows: Iterator[ParsedRow | ParsedRun]


Reader = Callable[[IO[bytes], Upload, ImportLimits], ParsedFile]
"""Turns a seekable binary file of one format, at position 0, into a `ParsedFile`.

To readers of other packages a packed file comes unpacked, and reading it ends at the limit. Raises
`InvalidImportError` of `ibutsu_tasks.errors`, with one sentence naming the file, when it cannot be imported;
whatever else it raises ends the import with a sentence that says nothing of the file.
"""
