"""Settings: one frozen object, and the only code that reads the environment and `.env`.

Each field of `Settings` is a row: its variables, default, unit and help. The README table, the
`config` command and the error messages read the same rows. A value comes from the first of: an
option, the environment, `.env`, a running local stack, the default; `Settings.sources` says which.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ibutsu_tasks.errors import SettingsError, UsageError
from ibutsu_tasks.retention import ProjectAge, parse_project_ages
from ibutsu_tasks.settings import values
from ibutsu_tasks.settings.masking import MASK, Masker, mask_url_passwords
from ibutsu_tasks.settings.sources import SettingReader, default_data_dir, read_env_file, unused_stack
from ibutsu_tasks.settings.values import Row, as_text, duration, number, secret, setting

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """Everything that can be set from outside. Build it with `load_settings`."""

    broker_url: str | None = secret(
        "CELERY_BROKER_URL", "Redis URL of the queue.", parse=values.broker_url, flags="--broker-url"
    )
    result_backend: str | None = secret(
        "CELERY_RESULT_BACKEND CELERY_RESULT_BACKEND_URL",
        "Redis URL of the task results.",
        parse=values.broker_url,
        default_text="the broker URL",
    )
    database_url: str | None = secret(
        "SQLALCHEMY_DATABASE_URI",
        "URL of the database; wins over its parts below.",
        parse=values.database_url,
        flags="--database-url",
    )
    postgresql_host: str | None = setting(
        "POSTGRESQL_HOST POSTGRES_HOST", "Database host, or the directory of its unix socket."
    )
    postgresql_port: int = number("POSTGRESQL_PORT POSTGRES_PORT", "Database port.", 5432)
    postgresql_user: str | None = setting("POSTGRESQL_USER POSTGRES_USER", "Database user.")
    postgresql_password: str | None = secret("POSTGRESQL_PASSWORD POSTGRES_PASSWORD", "Database password.")
    postgresql_database: str | None = setting(
        "POSTGRESQL_DATABASE POSTGRESQL_DB POSTGRES_DATABASE POSTGRES_DB", "Database name."
    )
    postgresql_sslmode: str | None = setting(
        "POSTGRESQL_SSLMODE POSTGRES_SSLMODE",
        "TLS to the database.",
        parse=values.one_of(("disable", "allow", "prefer", "require", "verify-ca", "verify-full")),
        default_text="prefer",
    )
    flower_basic_auth: str | None = secret(
        "FLOWER_BASIC_AUTH", "`user:password` of the Flower page.", parse=values.basic_auth
    )
    flower_address: str = setting(
        "FLOWER_ADDRESS", "Address Flower listens on.", "127.0.0.1", flags="--address"
    )
    flower_port: int = number("FLOWER_PORT", "Port Flower listens on.", 5555, flags="--port")
    flower_url: str | None = secret(
        "IBUTSU_TASKS_FLOWER_URL",
        "Where `doctor` finds Flower; unset: not checked.",
        parse=values.quote_password,
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
        ("celery",),
        parse=values.queues,
        flags="--queues -Q",
    )
    worker_hostname: str | None = setting(
        "CELERY_WORKER_HOSTNAME",
        "Node name of a worker.",
        default_text="celery@HOST",
        flags="--hostname -n",
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
    worker_soft_shutdown_seconds: float = duration(
        "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT",
        "What a running task is given on SIGQUIT before its message goes back to the queue.",
        20.0,
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
    import_max_unpacked_bytes: int = number(
        "IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES", "What an archive may unpack to.", 4 * 1024**3, unit="bytes"
    )
    query_max_rows: int = number("IBUTSU_TASKS_QUERY_MAX_ROWS", "Largest page `query_task` answers.", 50_000)
    retention: tuple[ProjectAge, ...] = setting(
        "IBUTSU_TASKS_RETENTION",
        "Ages of projects that differ from a rule's: `demo:results=120d,archive:runs=never`.",
        (),
        parse=parse_project_ages,
        default_text="none",
    )
    data_dir: Path = setting(
        "IBUTSU_TASKS_DATA_DIR",
        "Where `up` keeps its data.",
        Path(),
        parse=lambda value: Path(value).expanduser().absolute(),
        default_text="$XDG_DATA_HOME/ibutsu-tasks",
        flags="--data-dir",
    )
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        """Show no value: a settings object in a traceback must not tell a password."""
        return f"<Settings from {', '.join(sorted(set(self.sources.values())))}>"

    @property
    def backend_url(self) -> str | None:
        """URL of the result backend, which is the broker's unless set."""
        return self.result_backend or self.broker_url

    @property
    def database_uri(self) -> str | None:
        """URL of the database as given, or put together from its parts; None when neither is complete."""
        if self.database_url or not (self.postgresql_host and self.postgresql_database):
            return self.database_url
        return self._assembled_uri()

    def _assembled_uri(self) -> str:
        user = quote(self.postgresql_user or "", safe="")
        password = f":{quote(self.postgresql_password, safe='')}" if self.postgresql_password else ""
        credentials = f"{user}{password}@" if user else ""
        host = self.postgresql_host or ""
        query = [f"sslmode={self.postgresql_sslmode}"] if self.postgresql_sslmode else []
        if host.startswith("/"):
            query.append(f"host={quote(host)}")
            place = ""
        else:
            place = f"[{host}]" if ":" in host else host
        address = f"{place}:{self.postgresql_port}"
        name = quote(self.postgresql_database or "", safe="")
        suffix = f"?{'&'.join(query)}" if query else ""
        return f"postgresql+psycopg2://{credentials}{address}/{name}{suffix}"

    def require_broker(self) -> str:
        """Give the broker URL. Raises SettingsError naming what to set."""
        self._require(broker=True, database=False)
        return self.broker_url or ""

    def require_database(self) -> str:
        """Give the database URL. Raises SettingsError naming what to set."""
        self._require(broker=False, database=True)
        return self.database_uri or ""

    def require_services(self) -> None:
        """Check that broker and database are both known; name everything missing at once."""
        self._require(broker=True, database=True)

    def _require(self, *, broker: bool, database: bool) -> None:
        wanted = {"CELERY_BROKER_URL": self.broker_url} if broker else {}
        if database and not self.database_uri:
            parts = {"POSTGRESQL_HOST": self.postgresql_host, "POSTGRESQL_DATABASE": self.postgresql_database}
            all_parts = {"POSTGRESQL_HOST (with _USER, _PASSWORD, _DATABASE)": None}
            wanted |= parts if any(parts.values()) else all_parts
        missing = [name for name, value in wanted.items() if not value]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set"
                f" and {unused_stack(self.data_dir, self.sources)}.",
                "Set them in the environment or in .env, or start everything here with `ibutsu-tasks up`.",
            )

    def source(self, name: str) -> str:
        """Say where the value of a setting came from."""
        return self.sources.get(name, "default")

    def shown(self, name: str) -> str:
        """Give the value of a setting as it may be shown: secrets masked, `–` when unset."""
        value, row = getattr(self, name), setting_rows()[name]
        if value is None or not row.secret:
            return as_text(value)
        if name == "flower_basic_auth":
            return f"{value.partition(':')[0]}:{MASK}"
        return mask_url_passwords(value) if "://" in value else MASK

    @cached_property
    def _masker(self) -> Masker:
        secrets = [getattr(self, row.name) for row in setting_rows().values() if row.secret]
        return Masker(filter(None, secrets))

    def mask(self, text: str) -> str:
        """Hide in any text the secrets among these settings, and the password of any URL."""
        return self._masker.mask(text)


def setting_rows() -> dict[str, Row]:
    """Give every setting's row by field name, in the order of the README table."""
    return {
        item.name: Row(name=item.name, **item.metadata)
        for item in dataclasses.fields(Settings)
        if item.metadata
    }


def load_settings(
    options: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = None,
) -> Settings:
    """Read the settings from options, environment, `.env`, a running local stack and defaults.

    `options` maps field names to text or values, None meaning not given. `env_file` None reads
    `.env` in the current directory when there is one. Raises SettingsError that lists every problem;
    UsageError when an option is among them.
    """
    reader = SettingReader(os.environ if environ is None else environ, read_env_file(env_file))
    for row in setting_rows().values():
        reader.read(row, (options or {}).get(row.name))
    reader.values.setdefault("data_dir", default_data_dir(reader.environ))
    if reader.problems:
        listed = "".join(f"\n  - {problem}" for problem in reader.problems)
        kind = UsageError if reader.has_wrong_option else SettingsError
        raise kind(f"These settings are not usable:{listed}", "`ibutsu-tasks config` lists every setting.")
    reader.add_local_stack()
    return Settings(**reader.values, sources=reader.sources)
