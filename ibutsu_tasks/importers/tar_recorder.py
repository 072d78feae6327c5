"""A pass over an archive that remembers a small one, so that a second pass need not unpack it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ibutsu_tasks.importers.parsed import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ibutsu_tasks.importers.tar_stream import Member, TarStream

RECORDED_BYTES = 16 * 1024**2
"""What the members of an archive may take in memory to be remembered."""

_MEMBER_BYTES = 1024
"""About what a member takes besides its content."""


class Members(Protocol):
    """One pass over the members of an archive."""

    def members(self) -> Iterator[Member]:
        """Yield the members; the data of each can be read until the next is asked for."""

    def data(self, max_bytes: int) -> bytes:
        """Read the next `max_bytes` of the current member, or what is left of it."""

    def chunks(self) -> Iterator[bytes]:
        """Read the current member in pieces of at most `CHUNK_BYTES`."""


class TarRecorder:
    """Gives the members of a stream. When they were few and small, `recorded` gives them again."""

    def __init__(self, stream: TarStream) -> None:
        self._stream = stream
        self._kept: list[tuple[Member, bytes]] | None = []
        self._size_bytes = 0
        self._is_complete = False

    @property
    def recorded(self) -> Members | None:
        """The same pass once more, out of memory; None when there was too much to remember."""
        return _Recorded(self._kept) if self._is_complete and self._kept is not None else None

    def members(self) -> Iterator[Member]:
        """Yield the members, as `TarStream` does."""
        for member in self._stream.members():
            if self._kept is not None:
                self._keep(member, self._kept)
            yield member
        self._is_complete = True

    def _keep(self, member: Member, kept: list[tuple[Member, bytes]]) -> None:
        self._size_bytes += member.size_bytes + _MEMBER_BYTES
        if self._size_bytes > RECORDED_BYTES:
            self._kept = None
        else:
            kept.append((member, self._stream.data(member.size_bytes)))

    def data(self, max_bytes: int) -> bytes:
        """Read the current member from its beginning, which is all of it when it is kept."""
        return self._kept[-1][1][:max_bytes] if self._kept is not None else self._stream.data(max_bytes)

    def chunks(self) -> Iterator[bytes]:
        """Read the current member in pieces."""
        return _chunks_of(self._kept[-1][1]) if self._kept is not None else self._stream.chunks()


class _Recorded:
    def __init__(self, kept: list[tuple[Member, bytes]]) -> None:
        self._kept = kept
        self._data = b""

    def members(self) -> Iterator[Member]:
        for member, data in self._kept:
            self._data = data
            yield member

    def data(self, max_bytes: int) -> bytes:
        return self._data[:max_bytes]

    def chunks(self) -> Iterator[bytes]:
        return _chunks_of(self._data)


def _chunks_of(data: bytes) -> Iterator[bytes]:
    return (data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES))
