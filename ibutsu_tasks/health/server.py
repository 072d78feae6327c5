"""The health port: a few pages over HTTP, from a thread of the process.

A slow or silent caller holds one thread for a few seconds, and a few of them at most: where all are taken,
who has kept silent longest makes room, so that silence keeps no probe from its answer.
"""

from __future__ import annotations

import io
import os
import socket
import socketserver
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibutsu_tasks.health.pages import Page

ANSWER_SECONDS = 5.0
MOST_CALLERS = 16
MOST_HEAD_BYTES = 8192

ROOM_SECONDS = 2.0
"""What the thread of a caller who is hung up on is given to end."""


class HealthServer(socketserver.ThreadingTCPServer):
    """Listens as soon as it is made, and serves once it is started."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: str,
        port: int,
        page: Callable[[str], Page],
        flag: str = "--health-port",
    ) -> None:
        self.page = page
        self.silent: dict[socket.socket, None] = {}
        """Whose request is not there yet; who has kept silent longest is first."""
        self._callers = BoundedSemaphore(MOST_CALLERS)
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            super().__init__((address, port), Handler)
        except OSError as error:
            reason = error.strerror or str(error)
            door = flag.removeprefix("--").replace("-", " ")
            raise SettingsError(
                f"The {door} {port} cannot be opened on {address}: {reason}.",
                f"Give each process a {flag} of its own that is free, or leave it out.",
            ) from None
        # A process of the pool would keep the port when this one has ended.
        os.register_at_fork(after_in_child=self.socket.close)

    def start(self) -> None:
        """Serve from a thread that keeps no process from ending."""
        Thread(target=self.serve_forever, args=(3600,), name="health-port", daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or hang up when there are too many who all wait for their answer."""
        if self._callers.acquire(blocking=False) or self._make_room():
            self.silent[request] = None
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.silent.pop(request, None)
            self._callers.release()

    def _make_room(self) -> bool:
        """Hang up on who has kept silent longest; tell whether that made room."""
        # A copy: other threads take theirs off while this one looks.
        longest_silent = next(iter(list(self.silent)), None)
        if longest_silent is None:
            return False
        with suppress(OSError):
            longest_silent.shutdown(socket.SHUT_RDWR)
        return self._callers.acquire(timeout=ROOM_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller who hung up or kept silent."""


class Handler(BaseHTTPRequestHandler):
    """Answers one GET or HEAD and hangs up."""

    server: HealthServer
    server_version, sys_version = "ibutsu-tasks", ""

    def setup(self) -> None:
        """Have the whole head of the request before anything of it is read: byte by byte it has no end."""
        self.connection = self.request
        self.rfile = io.BytesIO(_head_of(self.connection))
        self.server.silent.pop(self.connection, None)
        self.wfile = self.connection.makefile("wb", 0)

    def do_GET(self) -> None:
        """Answer with the page."""
        status, kind, text = self.server.page(self.path.partition("?")[0])
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing: a probe comes every few seconds."""


def _head_of(connection: socket.socket) -> bytes:
    """Read the head of a request. Raises TimeoutError when it is not complete in time."""
    deadline, head = time.monotonic() + ANSWER_SECONDS, b""
    while b"\r\n\r\n" not in head and len(head) < MOST_HEAD_BYTES:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        piece = connection.recv(MOST_HEAD_BYTES)
        if not piece:
            break
        head += piece
        if time.monotonic() > deadline:
            raise TimeoutError
    connection.settimeout(ANSWER_SECONDS)
    return head
