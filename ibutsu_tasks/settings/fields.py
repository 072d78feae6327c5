"""The settings of every Celery system, one row each: its variables, default, unit and help."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ibutsu_tasks.settings import redis_url, urls, values
from ibutsu_tasks.settings.values import duration, number, port, secret, setting

if TYPE_CHECKING:
    from ibutsu_tasks.packages import Route

DATABASE = "database"
FLOWER = "Flower page"
of_database = partial(setting, group=DATABASE)


@dataclass(frozen=True)
class Fields:
    """What can be set from outside."""

    broker_url: str | None = secret(
        "CELERY_BROKER_URL", "Redis URL of the queue.", parse=redis_url.broker_url, flags="--broker-url"
    )
    result_backend: str | None = secret(
        "CELERY_RESULT_BACKEND CELERY_RESULT_BACKEND_URL",
        "Redis URL of the task results.",
        parse=redis_url.backend_url,
        default_text="the broker URL",
    )
    own_cache_url: str | None = secret(
        "IBUTSU_TASKS_CACHE_URL",
        "Redis URL of what tasks keep for a while, `self.resources.cache`.",
        parse=redis_url.cache_url,
        default_text="the broker URL",
    )
    database_url: str | None = of_database(
        "SQLALCHEMY_DATABASE_URI",
        "URL of the database; wins over its parts below.",
        parse=urls.database_url,
        secret=True,
        flags="--database-url",
    )
    postgresql_host: str | None = of_database(
        "POSTGRESQL_HOST POSTGRES_HOST",
        "Database host, or the directory of its unix socket.",
        parse=urls.database_host,
    )
    postgresql_port: int = port("POSTGRESQL_PORT POSTGRES_PORT", "Database port.", 5432, group=DATABASE)
    postgresql_user: str | None = of_database("POSTGRESQL_USER POSTGRES_USER", "Database user.")
    postgresql_password: str | None = of_database(
        "POSTGRESQL_PASSWORD POSTGRES_PASSWORD", "Database password.", secret=True
    )
    postgresql_database: str | None = of_database(
        "POSTGRESQL_DATABASE POSTGRESQL_DB POSTGRES_DATABASE POSTGRES_DB", "Database name."
    )
    postgresql_sslmode: str | None = of_database(
        "POSTGRESQL_SSLMODE POSTGRES_SSLMODE",
        "TLS to the database.",
        parse=values.one_of(values.SSL_MODES),
        default_text="prefer",
    )
    flower_address: str = setting(
        "FLOWER_ADDRESS",
        "Address Flower listens on.",
        "127.0.0.1",
        parse=urls.host_name,
        flags="--address",
    )
    flower_port: int = port("FLOWER_PORT", "Port Flower listens on.", 5555, flags="--port")
    flower_basic_auth: str | None = secret(
        "FLOWER_BASIC_AUTH", "`user:password` of the Flower page.", parse=values.basic_auth, group=FLOWER
    )
    flower_url: str | None = secret(
        "IBUTSU_TASKS_FLOWER_URL",
        "Where `doctor` finds Flower; unset: not checked.",
        parse=urls.web_url,
        group=FLOWER,
    )
    worker_concurrency: int | str = setting(
        "CELERY_WORKER_CONCURRENCY",
        "Tasks a worker runs at a time, or `auto`.",
        1,
        parse=values.concurrency,
        flags="--concurrency -c",
    )
    worker_queues: tuple[str, ...] = setting(
        "CELERY_WORKER_QUEUES",
        "Queues a worker consumes, separated by commas.",
        (),
        parse=values.queues,
        default_text="those of its task packages",
        flags="--queues -Q",
    )
    worker_hostname: str | None = setting(
        "CELERY_WORKER_HOSTNAME", "Node name of a worker.", default_text="celery@HOST", flags="--hostname -n"
    )
    worker_prefetch_multiplier: int = number(
        "CELERY_WORKER_PREFETCH_MULTIPLIER",
        "Messages a worker holds per process.",
        1,
        flags="--prefetch-multiplier",
    )
    worker_max_tasks_per_child: int | None = number(
        "CELERY_WORKER_MAX_TASKS_PER_CHILD",
        "Tasks after which a worker process is replaced.",
        flags="--max-tasks-per-child",
    )
    worker_grace_seconds: float = duration(
        "IBUTSU_TASKS_GRACE_SECONDS CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT",
        "What running tasks are given on SIGTERM before their messages go back to the queue.",
        25.0,
        flags="--grace",
    )
    worker_lease_seconds: float = setting(
        "IBUTSU_TASKS_LEASE_SECONDS",
        "How long a worker may be silent before others are given what it holds.",
        20.0,
        parse=values.lease_seconds,
        unit="s",
    )
    log_level: str = setting(
        "CELERY_WORKER_LOGLEVEL",
        "Log level of worker and beat.",
        "info",
        parse=values.one_of(values.LOG_LEVELS),
        flags="--loglevel -l",
    )
    log_format: str = setting(
        "IBUTSU_TASKS_LOG_FORMAT",
        "`text`, or `json` for one object per line.",
        "text",
        parse=values.one_of(values.LOG_FORMATS),
        flags="--log-format",
    )
    task_time_limit_seconds: float | None = duration(
        "CELERY_TASK_TIME_LIMIT", "A task is killed after this.", flags="--time-limit"
    )
    task_soft_time_limit_seconds: float | None = duration(
        "CELERY_TASK_SOFT_TIME_LIMIT", "A task is asked to end after this.", flags="--soft-time-limit"
    )
    result_expires_seconds: float = duration(
        "CELERY_RESULT_EXPIRES", "How long task results are kept.", 86400.0
    )
    packages: tuple[str, ...] = setting(
        "IBUTSU_TASKS_PACKAGES",
        "Modules that declare task packages, beside those that are installed.",
        (),
        parse=values.modules,
        default_text="none",
    )
    without_packages: tuple[str, ...] = setting(
        "IBUTSU_TASKS_WITHOUT_PACKAGES",
        "Names or modules of task packages that are left out; `ibutsu` is the built-in one.",
        (),
        parse=values.names,
        default_text="none",
    )
    broken_packages: str = setting(
        "IBUTSU_TASKS_BROKEN_PACKAGES",
        "What worker and beat do about a package that cannot be used: `refuse` to start, or `warn`.",
        "refuse",
        parse=values.one_of(("refuse", "warn")),
    )
    routes: tuple[Route, ...] = setting(
        "IBUTSU_TASKS_ROUTES",
        "Routes before those of the packages: `shop.backups.*=backups:9,shop.*=celery`.",
        (),
        parse=values.routes,
        default_text="none",
    )
    local_fallback: bool = setting(
        "IBUTSU_TASKS_LOCAL_FALLBACK",
        "`1`: what `ibutsu_tasks.client` cannot send runs in the sender's own process.",
        default=False,
        parse=values.switch,
    )
    flask_app: str | None = setting(
        "IBUTSU_TASKS_FLASK_APP",
        "Flask application, or what makes it, that tasks run inside: `module:name`.",
        parse=values.object_in_module,
    )
    scratch_dir: Path | None = setting(
        "IBUTSU_TASKS_SCRATCH_DIR",
        "The one directory that is written to: heartbeats for `probe`, files too large for memory.",
        parse=values.directory,
        default_text="$TMPDIR, else /tmp",
    )
    health_port: int | None = port(
        "IBUTSU_TASKS_HEALTH_PORT",
        "Port of /livez, /readyz, /startupz and /metrics; unset: not opened.",
        flags="--health-port",
    )
    health_address: str = setting(
        "IBUTSU_TASKS_HEALTH_ADDRESS",
        "Address the health port is opened on.",
        "0.0.0.0",  # noqa: S104 - kubelet and Prometheus come from other machines; no secret is shown
    )
    data_dir: Path = setting(
        "IBUTSU_TASKS_DATA_DIR",
        "Where `up` keeps its data.",
        Path(),
        parse=values.directory,
        default_text="$XDG_DATA_HOME/ibutsu-tasks",
        flags="--data-dir",
    )
