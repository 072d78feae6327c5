"""Files that are there whole or not at all, and the manifest of the backups."""

from __future__ import annotations

import csv
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text

from shop.models import Backup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

MANIFEST = "SHA256SUMS"
"""The manifest in the backup directory, as `sha256sum --check` reads it: it must outlive the database."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give where to write what takes the place of `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write a table; give the number of its rows without the header."""
    number = 0
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in rows:
            writer.writerow(row)
            number += 1
    return number


def digest(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def add_to_manifest(session: Session, directory: Path, path: Path, kind: str) -> dict[str, Any]:
    """Write a new file down, or one in place of an old one; give what a task answers."""
    row = Backup(
        file=str(path.relative_to(directory)), kind=kind, sha256=digest(path), bytes=path.stat().st_size
    )
    # One task at a time writes the manifest; the next one sees this one's row.
    session.execute(text("lock table shop_backups in share row exclusive mode"))
    session.merge(row)
    session.flush()
    lines = session.execute(select(Backup.sha256, Backup.file).order_by(Backup.file))
    with replacing(directory / MANIFEST) as draft:
        draft.write_text("".join(f"{sha256}  {file}\n" for sha256, file in lines), encoding="utf-8")
    return {"file": row.file, "bytes": row.bytes, "sha256": row.sha256}
