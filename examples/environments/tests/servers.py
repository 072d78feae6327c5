"""A Kubernetes and a GitHub of the tests' own, on real sockets: they fail as they are told to."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import kmock
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
NAMESPACES = "/api/v1/namespaces"
QUOTAS = f"{NAMESPACES}/[^/]+/resourcequotas"


class Fault(NamedTuple):
    """What is answered in place of the truth, `times` times, where method and path fit."""

    method: str
    path: str
    status: int
    message: str = ""
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    times: int = 1_000_000
    is_silent: bool = False
    """No answer comes at all, until the fault is over."""


class Faults:
    """Those of one server, and what it was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._met: Counter[Fault] = Counter()
        self.over = threading.Event()

    def add(self, method: str, path: str, status: int = 500, *args: Any, **options: Any) -> None:
        self._faults.append(Fault(method, path, status, *args, **options))

    def clear(self) -> None:
        self._faults = []
        self.asked.clear()
        self.over.set()
        self.over = threading.Event()

    def of(self, method: str, path: str) -> Fault | None:
        self.asked[f"{method} {path}"] += 1
        for number, fault in enumerate(self._faults):
            if fault.method == method and re.fullmatch(fault.path, path):
                if fault.times == 1:
                    del self._faults[number]
                else:
                    self._faults[number] = fault._replace(times=fault.times - 1)
                return fault
        return None


class Kubernetes(kmock.KubernetesEmulator):
    """kmock's emulator, in a thread with a loop of its own, so that other processes can ask it.

    Its own reactions come after it has changed the objects; a fault here comes before.
    """

    def start(self) -> None:
        self.faults, self.allowed, self.base_url = Faults(), True, ""
        # Else there is no list of them before there is one.
        self.resources["v1/clusterwide"] = {}
        self._is_up, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._is_up.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with self, kmock.Server(self) as server:
            self.base_url = str(server.url).rstrip("/")
            self._is_up.set()
            await self._stop.wait()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if fault := self.faults.of(request.method, request.path):
            if fault.is_silent:
                await asyncio.to_thread(self.faults.over.wait, 60)
            status = {"kind": "Status", "status": "Failure", "code": fault.status, "message": fault.message}
            return web.json_response(status, status=fault.status, headers=fault.headers)
        if request.path == REVIEWS:
            review = await request.json()
            attributes = review["spec"]["resourceAttributes"]
            is_allowed = self.allowed or attributes["verb"] != "delete"
            return web.json_response({**review, "status": {"allowed": is_allowed}}, status=201)
        # kmock 0.8 takes /namespaces for the beginning of other paths alone, and has no such objects.
        if found := re.fullmatch(f"{NAMESPACES}(/[^/]+)?", request.path):
            request = request.clone(rel_url=f"/api/v1/clusterwide{found[1] or ''}")
        return await super().__call__(request)


class GitHub(ThreadingHTTPServer):
    """Comments and commit statuses, for who has the token."""

    daemon_threads = True

    def __init__(self, token: str) -> None:
        self.faults, self.token = Faults(), token
        self.clear()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def clear(self) -> None:
        self.comments: dict[int, dict[str, Any]] = {}
        self.statuses: list[tuple[str, dict[str, Any]]] = []
        self.requests_left, self.pause_seconds = 4999, 0.0
        self.faults.clear()

    def add_comment(self, path: str, body: str) -> dict[str, Any]:
        comment = {"id": len(self.comments) + 2**33, "path": path, "body": body}
        self.comments[comment["id"]] = comment
        return comment

    def bodies(self) -> list[str]:
        return [one["body"] for one in self.comments.values()]


class _Handler(BaseHTTPRequestHandler):
    server: GitHub

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        if fault := self.server.faults.of(self.command, url.path):
            if fault.is_silent:
                self.server.faults.over.wait(60)
            self._answer(fault.status, {"message": fault.message}, fault.headers)
        elif self.headers["Authorization"] != f"Bearer {self.server.token}":
            self._answer(401, {"message": "Bad credentials"})
        else:
            self._answer(*self._do(url.path, parse_qs(url.query), json.loads(body or b"null")))

    do_POST = do_PATCH = do_GET  # noqa: N815 - http.server's names

    def _do(self, path: str, query: dict[str, list[str]], body: Any) -> Iterator[Any]:
        github = self.server
        parts = path.split("/")
        if path == "/rate_limit":
            return iter((200, {"resources": {"core": {"remaining": github.requests_left}}}))
        if parts[4] == "statuses":
            github.statuses.append((parts[5], body))
            return iter((201, {}))
        if self.command == "PATCH":
            comment = github.comments.get(int(parts[-1]))
            if comment is None:
                return iter((404, {"message": "Not Found"}))
            comment["body"] = body["body"]
            return iter((200, comment))
        if self.command == "POST":
            time.sleep(github.pause_seconds)
            return iter((201, github.add_comment(path, body["body"])))
        size, page = int(query["per_page"][0]), int(query.get("page", ["1"])[0])
        found = [one for one in github.comments.values() if one["path"] == path]
        following = f'<{github.url}{path}?per_page={size}&page={page + 1}>; rel="next"'
        headers = {"Link": following} if len(found) > page * size else {}
        return iter((200, found[(page - 1) * size : page * size], headers))

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())
        except ConnectionError:
            """Who asked a server that hangs is gone when it answers."""

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output to what they say."""
