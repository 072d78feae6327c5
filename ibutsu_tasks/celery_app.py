"""The Celery applications: for the broker alone, for who sends, for the scheduler, and for the worker.

Imports point this way from the command line; nothing here reads the environment itself.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import billiard.pool
from celery import Celery, Task, signals
from celery.app.backends import BACKEND_ALIASES
from kombu import Exchange, Queue
from kombu.transport import TRANSPORT_ALIASES

from ibutsu_tasks.beat.due import schedule_of
from ibutsu_tasks.broker.connection import address_of, celery_options, celery_url
from ibutsu_tasks.health import scheduler as beat_health
from ibutsu_tasks.health import worker as worker_health
from ibutsu_tasks.loader import FROM_THE_PATH
from ibutsu_tasks.logs import configure_role_logs
from ibutsu_tasks.packages import Route, ScheduleRow, TaskPackage, broker_priority, loaded
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.settings import Settings, load_settings
from ibutsu_tasks.settings.scratch import use_scratch
from ibutsu_tasks.tasks.applications import build_application
from ibutsu_tasks.tasks.base import DatabaseCelery
from ibutsu_tasks.tasks.endings import tell_tasks
from ibutsu_tasks.tasks.registry import registered
from ibutsu_tasks.traces import trace_if_asked
from ibutsu_tasks.wire_names import DEFAULT_QUEUE

if TYPE_CHECKING:
    from flask import Flask

logger = logging.getLogger(__name__)

FLOWER_NAME = "ibutsu_server_flower"
WORKER_NAME = "ibutsu_server_worker"
SCHEDULER_NAME = "ibutsu_server_scheduler"
CLIENT_NAME = "ibutsu_server_client"

ROLES = {"worker": "worker", "scheduler": "beat", "flower": "flower"}
"""What the process of each variant is called in its log and by `probe`."""

NO_BACKEND = "disabled://"
"""For who only sends: with a backend, Celery subscribes to the result of whatever it sends first."""

CLIENT_TIMEOUT_SECONDS = 5
"""What a command waits for the broker to accept one thing."""

ROLE_TIMEOUT_SECONDS = 10
"""The same for a role that lives on, whose loop stands still meanwhile."""

LOST_RESULT_SECONDS = 1
"""What the result of a killed process is waited for before its task counts as lost; Celery waits 10."""

WORKER_STEPS = (
    "ibutsu_tasks.delivery.holding:Holding",
    "ibutsu_tasks.delivery.grace:Grace",
    "ibutsu_tasks.delivery.revoked:Revoked",
)

GOODBYE_TRIES = 10
"""How often a pool process looks, every 0.1 s, whether its last result was taken before it ends."""


def create_broker_celery_app(name: str = FLOWER_NAME, settings: Settings | None = None) -> Celery:
    """Build an application that knows the broker and nothing else: no database, no task modules.

    Raises SettingsError when no broker is named.
    """
    settings = settings or load_settings()
    settings.require_broker()
    app = Celery(name, set_as_current=True, **FROM_THE_PATH)
    _configure(app, _broker_conf(settings))
    return app


def create_celery_app(name: str = WORKER_NAME, settings: Settings | None = None) -> DatabaseCelery:
    """Build an application with the database, all tasks and the schedule.

    Raises SettingsError that names every missing variable of broker and database.
    """
    settings = settings or load_settings()
    settings.require_services()
    return build_database_app(name, settings)


def build_database_app(
    name: str, settings: Settings, flask_app: Flask | None = None, *, set_as_current: bool = True
) -> DatabaseCelery:
    """Build the same without asking that the services are named: for running a task right here.

    Raises as `build_application`.
    """
    resources = Resources(settings, name.removeprefix("ibutsu_server_"))
    options = {"set_as_current": set_as_current, **FROM_THE_PATH}
    app = build_application(name, flask_app, resources=resources, **options)
    _configure(app, _broker_conf(settings) | _worker_conf(settings) | _scheduler_conf())
    loaded().import_tasks()
    app.loader.import_default_modules()
    return app


def tasks_of(package: TaskPackage) -> dict[str, Task[Any, Any]]:
    """Import the modules of a package's tasks, as far as they can be; give its tasks by name."""
    loaded().import_tasks(package)
    tasks = registered(**FROM_THE_PATH).tasks
    return {name: one for name, one in tasks.items() if loaded().owner_of(one.__module__) == package.name}


def task_problems() -> list[str]:
    """Import the modules of all tasks; say which cannot be, and which tasks two packages have."""
    return [*loaded().import_tasks().values(), *registered(**FROM_THE_PATH).collisions.values()]


def create_client_app(settings: Settings, *, set_as_current: bool = True) -> DatabaseCelery:
    """Build an application that only sends: every step meets a dead broker within seconds, in one try.

    It loads no tasks, for a message holds a name and JSON values, and has the database for who asks for it.
    Raises SettingsError when no broker is named.
    """
    settings.require_broker()
    resources = Resources(settings, "client")
    app = DatabaseCelery(CLIENT_NAME, resources=resources, set_as_current=set_as_current, **FROM_THE_PATH)
    once = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
    conf = {"task_publish_retry_policy": once, "task_send_sent_event": True}
    _configure(app, _broker_conf(settings, CLIENT_TIMEOUT_SECONDS) | conf)
    app.backend_cls = NO_BACKEND
    trace_if_asked(settings.mask, has_database=False)
    return app


def create_scheduler_app(settings: Settings) -> DatabaseCelery:
    """Build an application that sends what is due: it has the broker and the schedule, and needs no more.

    A Flask application that the settings name is loaded for what it sets up. Raises SettingsError when no
    broker is named, and as `build_application`.
    """
    settings.require_broker()
    app = build_application(SCHEDULER_NAME, resources=Resources(settings, "scheduler"), **FROM_THE_PATH)
    _configure(app, _broker_conf(settings) | _scheduler_conf())
    app.backend_cls = NO_BACKEND
    return app


def create_app_variant(variant: str, settings: Settings | None = None) -> Celery:
    """Build what `celery -A ibutsu_tasks:<variant>_app` runs: `worker`, `scheduler` or `flower`."""
    settings = settings or load_settings()
    use_scratch(settings.scratch_dir)
    _log_as_set(settings, ROLES[variant])
    if variant == "flower":
        return create_broker_celery_app(FLOWER_NAME, settings)
    if variant == "worker":
        TRANSPORT_ALIASES.update(
            dict.fromkeys(("redis", "rediss"), "ibutsu_tasks.delivery.held.transport:Transport")
        )
        BACKEND_ALIASES.update(dict.fromkeys(("redis", "rediss"), "ibutsu_tasks.tasks.results:Backend"))
        # A task that was handed to a child just before the end is dropped by the parent, which then waits for
        # the child to end, while the child waits this long, and 30 s otherwise, for the parent to take its
        # result (Celery 5.7, billiard 4.3). The message goes back to the queue.
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = GOODBYE_TRIES
        settings.require_packages(task_problems())
        _name_unknown_queues(settings)
        app = create_celery_app(WORKER_NAME, settings)
        app.steps["consumer"].update(WORKER_STEPS)
        app.events.dispatcher_cls = "ibutsu_tasks.delivery.events:Dispatcher"
        tell_tasks()
        worker_health.install(app)
        trace_if_asked(settings.mask, has_database=True)
        return app
    settings.require_packages()
    beat_health.install(settings)
    return create_scheduler_app(settings)


def _name_unknown_queues(settings: Settings) -> None:
    for queue in settings.consumed_queues:
        if queue not in (*loaded().queues, DEFAULT_QUEUE):
            logger.warning("No task package declares the queue %s, which this worker consumes.", queue)


def _log_as_set(settings: Settings, role: str) -> None:
    def configure(loglevel: int = logging.WARNING, **_: Any) -> None:
        # Celery's own default is WARNING: anything else was asked for on its command line.
        asked = loglevel != logging.WARNING
        level = logging.getLevelName(loglevel) if asked else settings.log_level
        configure_role_logs(settings, role, level)

    if settings.log_format == "json":
        # What Celery says before it sets up its log, and its banner, would be text.
        configure_role_logs(settings, role)
    # Connecting this signal keeps Celery from setting up handlers of its own.
    signals.setup_logging.connect(configure, weak=False, dispatch_uid="ibutsu-tasks-logs")


def _configure(app: Celery, conf: dict[str, Any]) -> None:
    """Set what Celery would otherwise read from the environment itself, against our order of precedence.

    It prefers CELERY_BROKER_URL to `broker_url` and CELERY_RESULT_BACKEND to `result_backend`, and takes
    them as they stand: without `_FILE`, without quoting what a password holds.
    """
    url = conf["broker_url"]
    app.conf.update(conf | {"broker_read_url": url, "broker_write_url": url})
    app.backend_cls = conf["result_backend"]


def _broker_conf(settings: Settings, timeout_seconds: float = ROLE_TIMEOUT_SECONDS) -> dict[str, Any]:
    publish_retry = {"max_retries": 1, "interval_start": 0, "interval_step": 0.5, "interval_max": 1}
    return {
        **_connections(settings, timeout_seconds),
        "broker_connection_timeout": CLIENT_TIMEOUT_SECONDS,
        "broker_connection_retry_on_startup": True,
        # A broker that refuses (a replica, a script that is busy) is left and connected to again.
        "broker_channel_error_retry": True,
        # None: try for ever. A worker that gives up is a silent outage.
        "broker_connection_max_retries": None,
        "result_backend_transport_options": {"retry_policy": publish_retry},
        "result_expires": settings.result_expires_seconds,
        "task_publish_retry_policy": publish_retry,
        "task_default_queue": DEFAULT_QUEUE,
        "task_routes": _routes(settings),
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        "event_queue_ttl": 60,
    }


def _connections(settings: Settings, timeout_seconds: float) -> dict[str, Any]:
    """Give the addresses and options of broker and result backend, in the names Celery has for each."""
    if settings.broker_url is None:
        return {"broker_url": None, "result_backend": None}
    backend_url = settings.result_backend or settings.broker_url
    is_client = timeout_seconds == CLIENT_TIMEOUT_SECONDS
    options = celery_options(backend_url, timeout_seconds, at_most=is_client)
    health_check = options.pop("health_check_interval")
    conf: dict[str, Any] = {
        "broker_url": celery_url(settings.broker_url),
        "broker_transport_options": celery_options(settings.broker_url, timeout_seconds, at_most=is_client),
        "broker_use_ssl": address_of(settings.broker_url).tls,
        "result_backend": address_of(backend_url).bare_url,
        "redis_backend_health_check_interval": health_check,
        "redis_backend_use_ssl": address_of(backend_url).tls,
        **{f"redis_{name}": value for name, value in options.items()},
    }
    return {name: value for name, value in conf.items() if value is not None}


def _worker_conf(settings: Settings) -> dict[str, Any]:
    return {
        # A message is done when its task is. One whose process is killed goes to `delivery/request.py`, which
        # puts it back or gives it up; where that fails for want of the broker, Celery puts it back.
        "task_acks_late": True,
        "task_retry_on_worker_lost": True,
        "task_reject_on_worker_lost": True,
        # For the last result of a killed process, which lies in a pipe of this machine.
        "worker_lost_wait": LOST_RESULT_SECONDS,
        # Storing that a task started may fail, and Celery would then drop the task.
        "task_track_started": False,
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        # Each to an exchange of its own: in Celery's default one, both would get every message.
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in settings.consumed_queues],
        "worker_consumer": "ibutsu_tasks.delivery.consumer:Consumer",
        "worker_concurrency": settings.worker_concurrency if settings.worker_concurrency != "auto" else None,
        "worker_prefetch_multiplier": settings.worker_prefetch_multiplier,
        "worker_max_tasks_per_child": settings.worker_max_tasks_per_child,
        # The worker's own step gives the grace.
        "worker_soft_shutdown_timeout": 0,
        "ibutsu_tasks_grace_seconds": settings.worker_grace_seconds,
        "ibutsu_tasks_lease_seconds": settings.worker_lease_seconds,
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "worker_eta_task_limit": 1000,
        "task_time_limit": settings.task_time_limit_seconds,
        "task_soft_time_limit": settings.task_soft_time_limit_seconds,
    }


def _routes(settings: Settings) -> tuple[list[tuple[str, dict[str, Any]]], ...]:
    """Give Celery's form of the routes; each is a map of its own, for within one, names win over patterns."""
    routes = (*settings.routes, *loaded().routes)
    return tuple([(route.tasks, {"queue": route.queue, **_options(route)})] for route in routes)


def _options(row: Route | ScheduleRow) -> dict[str, Any]:
    return {} if row.priority is None else {"priority": broker_priority(row.priority)}


def _scheduler_conf() -> dict[str, Any]:
    entries = {
        row.name: {"task": row.task, "schedule": schedule_of(row), "args": row.args, "options": _options(row)}
        for row in loaded().schedule
    }
    return {
        "beat_schedule": entries,
        "beat_scheduler": "ibutsu_tasks.beat.scheduler:LeaderScheduler",
        "beat_max_loop_interval": 5,
        "beat_enable_remote_control": True,
    }


@signals.before_task_publish.connect(dispatch_uid="ibutsu-tasks-sent-at")
def _note_when_sent(properties: dict[str, Any], **_: Any) -> None:
    # AMQP's own property, which Celery leaves empty: so a message tells how long it has been waiting.
    properties["timestamp"] = int(time.time())
