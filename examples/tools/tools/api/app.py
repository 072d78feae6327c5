"""The API: tools are run, watched and cancelled by whoever knows the token."""

from __future__ import annotations

import hmac
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID  # noqa: TC003 - FastAPI reads the annotations

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from redis.exceptions import RedisError

from ibutsu_tasks.broker.job_updates import publish
from ibutsu_tasks.client import cancel, send
from ibutsu_tasks.errors import IbutsuTasksError, ServiceUnreachableError, SettingsError
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.text.storable import storable_json
from tools import jobs
from tools.api.celery import list_tasks, list_workers
from tools.api.updates import Updates, events
from tools.models import Job
from tools.registry import find_tool
from tools.settings import API_TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from ibutsu_tasks.settings import Settings

MOST_BODY_BYTES = 2**20

LOCAL_NOTE = "The broker is away: it runs in the process of this API, is not tried again, and ends with it."


@dataclass(frozen=True, slots=True)
class Api:
    """What the routes work with."""

    settings: Settings
    resources: Resources
    updates: Updates


def _api(request: Request) -> Api:
    api: Api = request.app.state.api
    return api


Here = Annotated[Api, Depends(_api)]


router = APIRouter(prefix="/api")


class Guard:
    """Asks every request for the token, before anything else of it is read, and refuses a huge body."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request that has it, and a body that is no burden."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(dict(scope["headers"]))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, headers: dict[bytes, bytes]) -> JSONResponse | None:
        # In constant time: how long a refusal takes tells nothing of the token.
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
            told = {"detail": "Give the token in a header: `Authorization: Bearer TOKEN`."}
            return JSONResponse(told, 401, {"WWW-Authenticate": "Bearer"})
        # The server holds a body to the length that it states.
        if b"transfer-encoding" in headers or int(headers.get(b"content-length", 0)) > MOST_BODY_BYTES:
            told = {"detail": f"A body states its length, which is at most {MOST_BODY_BYTES} bytes."}
            return JSONResponse(told, 413)
        return None


class Wanted(BaseModel):
    """What is to be run."""

    tool: str
    parameters: dict[str, Any] = {}


@router.post("/run", status_code=202)
def run(wanted: Wanted, api: Here) -> dict[str, Any]:
    """Have a tool run: by a worker, or here, where IBUTSU_TASKS_LOCAL_FALLBACK is on and the broker away."""
    find_tool(api.settings, wanted.tool).command_line(wanted.parameters)
    with api.resources.session() as session:
        job = Job(tool=wanted.tool, parameters=storable_json(wanted.parameters))
        session.add(job)
    try:
        sent = send(jobs.RUN_TOOL, [str(job.id), wanted.tool, wanted.parameters])
    except IbutsuTasksError as error:
        with api.resources.session() as session:
            jobs.give_up(session, job.id, api.settings.mask(str(error)))
        raise
    with api.resources.session() as session:
        session.get_one(Job, job.id, with_for_update=True).task_id = sent.task_id
    answer = {"job_id": str(job.id), "task_id": sent.task_id, "status": "queued"}
    return answer | ({"status": "local", "note": LOCAL_NOTE} if sent.is_local else {})


@router.get("/celery/workers")
def show_workers(api: Here) -> dict[str, Any]:
    """Show the workers, and how many did not answer."""
    return list_workers(api.settings.require_broker())


@router.get("/celery/tasks")
def show_tasks(api: Here) -> dict[str, Any]:
    """Show what runs and what waits."""
    return list_tasks(api.settings, api.resources.redis)


@router.delete("/celery/tasks/{any_id}")
def cancel_task(any_id: UUID, api: Here) -> dict[str, Any]:
    """Cancel a task, by its id or its job's.

    Of a job, its row decides: a process that runs the tool looks at it every second, and one that begins with
    it looks first. So it ends also where no broker tells of it.
    """
    with api.resources.session() as session:
        job = jobs.find(session, any_id)
        if job is not None and not jobs.cancel(job):
            raise HTTPException(409, f"It has ended: {job.state}.")
    if job is None:
        if not cancel(str(any_id)):
            raise HTTPException(409, "It has ended, or is with a worker that does not answer.")
        return {"task_id": str(any_id), "status": "cancelled"}
    told = jobs.as_json(job)
    # Where the broker is away, too, which told nobody.
    with suppress(ServiceUnreachableError, RedisError, OSError):
        cancel(job.task_id or str(any_id))
        publish(api.resources.brief_redis, {"task": jobs.RUN_TOOL, **told})
    return told


@router.get("/updates")
async def stream_updates(api: Here, job_id: UUID | None = None) -> StreamingResponse:
    """Stream the updates of all jobs, or of one until it ends, as server-sent events."""

    def read() -> dict[str, Any]:
        with api.resources.session() as session:
            if (job := session.get(Job, job_id)) is None:
                raise HTTPException(404, "There is no such job.")
            return jobs.as_json(job)

    if job_id is not None:
        await run_in_threadpool(read)
    # The last one for proxies, which would gather them.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = events(api.updates, str(job_id) if job_id else None, read)
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


@asynccontextmanager
async def _at_work(app: FastAPI) -> AsyncIterator[None]:
    api: Api = app.state.api
    with closing(api.resources), api.updates.heard():
        yield


def _explain(request: Request, error: Exception) -> JSONResponse:
    is_ours = isinstance(error, ServiceUnreachableError | SettingsError)
    told = {"detail": _api(request).settings.mask(str(error)), "hint": getattr(error, "hint", "")}
    return JSONResponse(told, 503 if is_ours else 422)


def create_app(settings: Settings) -> FastAPI:
    """Make the application. Raises SettingsError when there is no token, no broker or no database."""
    settings.require_services()
    if not settings.value(API_TOKEN):
        raise SettingsError("TOOLS_API_TOKEN is not set.", "Give it, or a file as TOOLS_API_TOKEN_FILE.")
    app = FastAPI(openapi_url=None, lifespan=_at_work)
    app.add_middleware(Guard, token=settings.value(API_TOKEN))
    app.add_exception_handler(IbutsuTasksError, _explain)
    app.state.api = Api(settings, Resources(settings, "tools-api"), Updates(settings.require_broker()))
    app.include_router(router)
    return app
