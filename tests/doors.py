"""Doors to real servers, and doors with nothing good behind them, all on 127.0.0.1."""

from __future__ import annotations

import http.client
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import redis

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.local.servers.binaries import find_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextmanager
def listener(handle: Callable[[socket.socket], None], port: int = 0) -> Iterator[int]:
    """Serve every connection in a thread of its own; yields the port, a free one for 0."""
    with socket.create_server(("127.0.0.1", port)) as server, ExitStack() as stack:
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                if not select.select([server], [], [], 0.05)[0]:
                    continue
                connection = server.accept()[0]
                threading.Thread(target=_serve_one, args=(connection, handle), daemon=True).start()

        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        yield server.getsockname()[1]


def _serve_one(connection: socket.socket, handle: Callable[[socket.socket], None]) -> None:
    with connection, suppress(OSError):
        handle(connection)


@contextmanager
def forwarding(target: Path | int, context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[int]:
    """Carry TCP to a real server's socket or port, behind TLS with a `context`; yields the port."""

    def carry(connection: socket.socket) -> None:
        family = socket.AF_INET if isinstance(target, int) else socket.AF_UNIX
        inner = context.wrap_socket(connection, server_side=True) if context else connection
        with inner, socket.socket(family, socket.SOCK_STREAM) as server:
            server.connect(("127.0.0.1", target) if isinstance(target, int) else str(target))
            back = threading.Thread(target=_pump, args=(server, inner), daemon=True)
            back.start()
            _pump(inner, server)

    with listener(carry, port) as open_port:
        yield open_port


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def silence() -> Iterator[int]:
    """Accept every connection and never say a word."""
    over = threading.Event()

    def wait(_: socket.socket) -> None:
        over.wait(60)

    with listener(wait) as port:
        yield port
        over.set()


@contextmanager
def dripping(start: bytes) -> Iterator[int]:
    """Say `start` to whatever is asked, then one byte at a time for ever: no single wait is ever long."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(start)
        while not over.wait(0.3):
            connection.sendall(b"x")

    with listener(drip) as port:
        yield port
        over.set()


@contextmanager
def speaking(answer: bytes) -> Iterator[int]:
    """Answer the first bytes with `answer` and hang up: some other protocol."""

    def speak(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with listener(speak) as port:
        yield port


@contextmanager
def blackhole() -> Iterator[int]:
    """A port whose queue of connections is full, so that the kernel swallows every further packet."""
    with socket.socket() as server, ExitStack() as fillers:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        for _ in range(8):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        time.sleep(0.1)
        yield address[1]


def dead_port() -> int:
    """A port nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def own_valkey(*options: str, port: int = 0) -> Iterator[int]:
    """A Valkey of the test's own on TCP with options of its own; yields the port, a free one for 0."""
    port = port or dead_port()
    with tempfile.TemporaryDirectory(prefix="ibutsu-tasks-test-") as directory:
        process = subprocess.Popen(
            [
                str(find_programs()[0] / "valkey-server"),
                *("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", directory, *options),
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for_redis(port)
            yield port
        finally:
            process.terminate()
            process.wait(60)


def _wait_for_redis(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with build_client(f"redis://127.0.0.1:{port}/0", 1) as client:
                client.ping()
        except (redis.AuthenticationError, redis.ResponseError):
            return
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("Valkey did not start")


def server_context(directory: Path) -> ssl.SSLContext | None:
    """A TLS context with a fresh certificate of nobody's trust; None where there is no openssl program."""
    program = shutil.which("openssl")
    if program is None:
        return None
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            *(
                program,
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def page(port: int, path: str) -> tuple[int, str]:
    """Give status and text of a page on 127.0.0.1; 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()
