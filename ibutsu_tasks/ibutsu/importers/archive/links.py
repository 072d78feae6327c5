"""The links of an archive, kept until the files they lead to are met in another pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.ibutsu.importers.archive.members import Kind
from ibutsu_tasks.ibutsu.importers.findings import Findings, shown
from ibutsu_tasks.ibutsu.importers.parsed import REPEATED_BYTES, REPEATED_PER_BYTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.ibutsu.importers.archive.members import ArchiveFile, ArchivePass
    from ibutsu_tasks.ibutsu.importers.archive.tar_stream import Member, TarStream

MAX_LINKS = 1_000
"""Links of one archive; each is as large as the file it leads to."""


class Links:
    """Links to files of the archive; together to at most `max_bytes`, or 200 times what was read."""

    def __init__(self, findings: Findings, max_bytes: int) -> None:
        self._findings = findings
        self._left_bytes = max_bytes
        self._repeated_bytes = 0
        self._kept: list[ArchiveFile] = []

    def taken_out_of(self, files: Iterator[ArchiveFile]) -> Iterator[ArchiveFile]:
        """Give the other files; keep the links, but for `run.json`, which was read before."""
        for file in files:
            if file.member.link is None:
                yield file
            elif not file.member.link:
                self._leave_out(file)
            elif len(self._kept) < MAX_LINKS:
                self._kept += [file] if file.kind is not Kind.RUN else []
            else:
                what = f"{shown(file.member.path)} is one of more than {MAX_LINKS:,} links and was left out"
                self._findings.note("more links", what)

    def followed(self, reading: ArchivePass, kind: Kind) -> Iterator[tuple[list[ArchiveFile], Member]]:
        """Give the links of a kind, with the file they lead to: it can be read until the next is asked for.

        Raises `InvalidImportError` when they lead to too much.
        """
        wanted: dict[tuple[str, ...], list[ArchiveFile]] = {}
        for file in self._kept:
            if file.kind is kind:
                wanted.setdefault(file.member.link or (), []).append(file)
        for member in reading.stream.members() if wanted else ():
            if not member.is_plain_file or member.parts not in wanted:
                continue
            links = self._fitting(wanted.pop(member.parts), member.size_bytes, reading.stream)
            self._left_bytes -= len(links) * member.size_bytes
            if self._left_bytes < 0:
                raise reading.stream.over_limit()
            yield links, member
        for links in wanted.values():
            for file in links:
                self._leave_out(file)

    def _fitting(self, links: list[ArchiveFile], size_bytes: int, stream: TarStream) -> list[ArchiveFile]:
        """Give as many links to a file as may be stored: rows follow the bytes."""
        earned_bytes = (stream.position + size_bytes) * REPEATED_PER_BYTE
        room_bytes = max(REPEATED_BYTES, earned_bytes) - self._repeated_bytes
        fitting = links[: room_bytes // size_bytes] if size_bytes else links
        self._repeated_bytes += len(fitting) * size_bytes
        for file in links[len(fitting) :]:
            what = f"is a link beyond {REPEATED_PER_BYTE} times the bytes of the archive and was left out"
            self._findings.note("repeating links", f"{shown(file.member.path)} {what}")
        return fitting

    def _leave_out(self, file: ArchiveFile) -> None:
        sentence = f"{shown(file.member.path)} is a link to what is no file of the archive and was left out"
        self._findings.note("link", sentence)
