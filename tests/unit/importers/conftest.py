"""Reading reports in one call, and making archives member by member."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ibutsu_tasks.ibutsu.importers import reader_of
from ibutsu_tasks.ibutsu.importers.parsed import (
    ImportLimits,
    ParsedArtifact,
    ParsedResult,
    ParsedRun,
    SpooledContent,
    Upload,
)

if TYPE_CHECKING:
    from collections.abc import Callable

IMPORT_ID = UUID("11111111-2222-4333-8444-555555555555")
RUN_ID = "aaaaaaaa-0000-4000-8000-000000000001"


@dataclass
class Read:
    run: ParsedRun
    rows: list[ParsedResult | ParsedArtifact]

    @property
    def results(self) -> list[ParsedResult]:
        return [row for row in self.rows if isinstance(row, ParsedResult)]

    @property
    def artifacts(self) -> list[ParsedArtifact]:
        return [row for row in self.rows if isinstance(row, ParsedArtifact)]

    def text(self, filename: str) -> str:
        (content,) = (artifact.content for artifact in self.artifacts if artifact.filename == filename)
        data = b"".join(content.chunks()) if isinstance(content, SpooledContent) else content
        return data.decode()


def _read(
    data: bytes | IO[bytes],
    kind: str = "junit",
    *,
    filename: str = "report",
    metadata: dict[str, Any] | None = None,
    source: str | None = None,
    limits: ImportLimits | None = None,
    keeps_partial: bool = False,
) -> Read:
    content = io.BytesIO(data) if isinstance(data, bytes) else data
    upload = Upload(IMPORT_ID, filename, metadata or {}, source, keeps_partial=keeps_partial)
    *rows, run = reader_of(kind)(content, upload, limits or ImportLimits()).rows
    assert isinstance(run, ParsedRun)
    return Read(run, [row for row in rows if not isinstance(row, ParsedRun)])


@pytest.fixture(scope="session")
def read() -> Callable[..., Read]:
    return _read


def _tar(*members: tuple[str, Any] | tarfile.TarInfo, compress: bool = True) -> bytes:
    """Pack members: a path with bytes, or with an object that becomes JSON; None makes a directory."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz" if compress else "w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                # The header alone, whatever size it announces; `addfile` wants its bytes.
                header = member.tobuf()
                tar.fileobj.write(header)
                tar.offset += len(header)
                continue
            path, value = member
            info = tarfile.TarInfo(path)
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            if value is None:
                info.type, data = tarfile.DIRTYPE, b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


@pytest.fixture(scope="session")
def tar() -> Callable[..., bytes]:
    return _tar
