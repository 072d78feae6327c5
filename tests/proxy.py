"""A proxy on 127.0.0.1 before a real server, which fails as networks do, when the test says so."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 65536
SLOW_BYTES = 512
SLOW_PAUSE_SECONDS = 0.05


class Mode(Enum):
    FORWARD = "both ways"
    HANG = "connections are accepted, nothing is passed on"
    ONE_WAY = "questions reach the server, answers get lost on the way back"
    SLOW = f"{SLOW_BYTES} bytes every {SLOW_PAUSE_SECONDS} s"


class Proxy:
    """Forwards TCP to `target`, the path of a unix socket or a port of 127.0.0.1.

    `hang`, `one_way`, `slow` hold for connections there are and those to come, until `heal`; what was not
    passed on until then is passed on. `reset` ends the connections there are by RST, `shut` also refuses new
    ones until `heal`.
    """

    def __init__(self, target: Path | int, port: int = 0) -> None:
        self._target = target
        self._mode = Mode.FORWARD
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._over = threading.Event()
        self._server: socket.socket | None = None
        self.port = port
        self._open()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def hang(self) -> None:
        self._mode = Mode.HANG

    def one_way(self) -> None:
        self._mode = Mode.ONE_WAY

    def slow(self) -> None:
        self._mode = Mode.SLOW

    def heal(self) -> None:
        self._mode = Mode.FORWARD
        self._open()

    def reset(self) -> None:
        for pair in tuple(self._pairs):
            for one in pair:
                # Closed with what is unsent thrown away, a TCP connection ends by RST.
                with suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.close()

    def shut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.reset()

    def close(self) -> None:
        self._over.set()
        self.shut()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        if self._server is None:
            server = socket.create_server(("127.0.0.1", self.port))
            self.port = server.getsockname()[1]
            self._server = server

    def _accept(self) -> None:
        while not self._over.wait(0.01):
            server = self._server
            if server is None:
                continue
            with suppress(OSError, ValueError):  # shut meanwhile
                if select.select([server], [], [], 0.05)[0]:
                    self._connect(server.accept()[0])

    def _connect(self, client: socket.socket) -> None:
        is_port = isinstance(self._target, int)
        server = socket.socket(socket.AF_INET if is_port else socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.connect(("127.0.0.1", self._target) if is_port else str(self._target))
        except OSError:
            _close(client)
            _close(server)
            return
        pair = (client, server)
        self._pairs.add(pair)
        for source, sink, is_answer in ((client, server, False), (server, client, True)):
            arguments = (pair, source, sink, is_answer)
            threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(
        self,
        pair: tuple[socket.socket, socket.socket],
        source: socket.socket,
        sink: socket.socket,
        is_answer: bool,
    ) -> None:
        with suppress(OSError, ValueError):
            while not self._over.is_set():
                if not select.select([source], [], [], 0.05)[0]:
                    continue
                data = source.recv(SLOW_BYTES if self._mode is Mode.SLOW else CHUNK)
                self._wait(is_answer)
                if not data:
                    break
                sink.sendall(data)
        for one in pair:
            _close(one)
        self._pairs.discard(pair)

    def _wait(self, is_answer: bool) -> None:
        if self._mode is Mode.SLOW:
            time.sleep(SLOW_PAUSE_SECONDS)
        while self._mode is Mode.HANG or (self._mode is Mode.ONE_WAY and is_answer):
            if self._over.wait(0.02):
                return


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
