"""The files of a job: written in a directory of the run's own, and there whole or not at all."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID


class Workplace:
    """Where a run writes. What is not published is gone when the block ends; so is what killed runs left."""

    def __init__(self, output: Path, job_id: UUID, run: UUID) -> None:
        self._drafts, self._published = output / ".runs" / str(job_id), output / str(job_id)
        self.directory, self.temporary = (self._drafts / str(run) / name for name in ("files", "tmp"))

    def __enter__(self) -> Self:
        remove(self._drafts, self._published)
        self.directory.mkdir(parents=True)
        self.temporary.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        remove(self.directory.parent)
        # Unless another run of the job is there.
        with suppress(OSError):
            self._drafts.rmdir()

    def publish(self) -> list[dict[str, Any]]:
        """Put the files where they are looked for; give their names and sizes."""
        self.directory.rename(self._published)
        paths = sorted(
            path for path in self._published.rglob("*") if path.is_file() and not path.is_symlink()
        )
        return [
            {"name": str(path.relative_to(self._published)), "bytes": path.stat().st_size} for path in paths
        ]


def remove(*directories: Path) -> None:
    """Remove directories with all that is in them, where they are there."""
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def remove_of(output: Path, job_id: UUID) -> None:
    """Remove what there is of a job."""
    remove(output / ".runs" / str(job_id), output / str(job_id))
