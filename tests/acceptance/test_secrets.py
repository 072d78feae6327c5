"""Everything that all roles and commands write, looked through for the secrets they were given."""

from __future__ import annotations

import base64
import re
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import psutil

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.layout import QUARANTINE
from ibutsu_tasks.celery_app import create_client_app
from ibutsu_tasks.settings import load_settings
from tests.commands import Running, role, run, until

if TYPE_CHECKING:
    from pathlib import Path

BROKER, DATABASE, FLOWER, ARGUMENT, NESTED = SECRETS = [
    f"{name}-s3cr3t-w0rd" for name in ("broker", "database", "flower", "argument", "nested")
]
PAGES = ("/", "/workers", "/tasks", "/broker", "/api/tasks", "/api/workers", "/metrics", "/task/{}")
COMMANDS = (
    ["doctor", "--json"],
    ["config", "--json"],
    ["schedule", "list", "--json"],
    ["dead", "list", "--json"],
    ["enqueue", "update_run", "run_id=x", "password=" + ARGUMENT],
)


def found_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret in text]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def page(port: int, path: str) -> str:
    login = base64.b64encode(f"boss:{FLOWER}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own page
        return str(answer.read().decode())


def titles(processes: list[Running]) -> str:
    lines: list[str] = []
    for one in processes:
        first = psutil.Process(one.process.pid)
        for process in (first, *first.children(recursive=True)):
            lines += process.cmdline()
    return "\n".join(lines)


def test_no_secret_is_written_anywhere(broker_url: str, tmp_path: Path) -> None:
    client = build_client(broker_url)
    client.execute_command("ACL", "SETUSER", "worker", "on", f">{BROKER}", "~*", "&*", "+@all")
    place = re.sub("://", f"://worker:{BROKER}@", broker_url)
    port = free_port()
    (tmp_path / ".env").write_text(f"SQLALCHEMY_DATABASE_URI=postgresql://me:{DATABASE}@127.0.0.1:1/ibutsu\n")
    (tmp_path / "flower").write_text(f"boss:{FLOWER}\n")
    env = {
        "CELERY_BROKER_URL": place,
        "FLOWER_BASIC_AUTH_FILE": str(tmp_path / "flower"),
        "IBUTSU_TASKS_FLOWER_URL": f"http://127.0.0.1:{port}",
        "CELERY_WORKER_LOGLEVEL": "debug",
    }
    app = create_client_app(load_settings({"broker_url": place}, environ={}))

    def send(task: str, *args: object, **kwargs: object) -> str:
        return str(app.send_task(f"ibutsu_server.tasks.{task}", args, kwargs).id)

    with ExitStack() as stack:
        roles = [
            stack.enter_context(role(*words, env=env, cwd=tmp_path))
            for words in (("worker",), ("beat",), ("flower", "--port", str(port)))
        ]
        worker, beat, flower = roles
        worker.wait_for("ready.")
        beat.wait_for("this beat leads now")
        flower.wait_for("Connected to")
        nested = {"id": "1", "api_key": NESTED, "url": f"redis://me:{NESTED}@host/0"}
        ids = [
            send("runs.update_run", nested, password=ARGUMENT),
            send("runs.update_run", "not an id", token=ARGUMENT),
            send("importers.run_junit_import", nested),
            send("runs.update_run", "00000000-0000-4000-8000-000000000000"),
        ]
        send("nobody.has_this", nested, password=ARGUMENT)
        until(lambda: all(one in worker.output for one in ids) and client.hlen(QUARANTINE), 30)
        assert client.hlen(QUARANTINE) == 1
        worker.wait_for("the database is away")
        until(lambda: ids[0] in page(port, "/api/tasks"), 20)
        written: dict[str, str] = {"titles": titles(roles)}
        for path in [one.format(task_id) for one in PAGES for task_id in ids]:
            with suppress(urllib.error.HTTPError):
                written[f"page {path}"] = page(port, path)
        for words in COMMANDS:
            done = run(*words, env=env, cwd=tmp_path)
            written[" ".join(words[:2])] = done.stdout + done.stderr
        for one in client.hkeys(QUARANTINE):
            done = run("dead", "show", one.decode(), env=env, cwd=tmp_path)
            written["dead show"] = done.stdout + done.stderr
        written |= redis_values(client)
    written |= {f"log of {one.process.args[1]}": one.output for one in roles}  # type: ignore[index]
    client.execute_command("ACL", "DELUSER", "worker")
    client.close()
    assert {where: found for where, text in written.items() if (found := found_in(text))} == {}


def redis_values(client: Any) -> dict[str, str]:
    """Give every value that is no message: one that waits, is held or was set aside is as it was sent."""
    readers = {b"string": client.get, b"set": client.smembers}
    readers |= {b"hash": client.hgetall, b"zset": lambda key: client.zrange(key, 0, -1)}
    keys = [key for key in client.scan_iter() if key.decode() not in {QUARANTINE, "unacked"}]
    return {f"key {key!r}": repr(readers[kind](key)) for key in keys if (kind := client.type(key)) in readers}
