"""Settings: one frozen object, and the only code that reads the environment and `.env`.

Each field of `Settings` is a row: its variables, default, unit and help. The README table, the
`config` command and the error messages read the same rows. A value comes from the first of: an
option, the environment, `.env`, a running local stack, the default; `Settings.sources` says which.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dotenv import dotenv_values

from ibutsu_tasks import setting_values as values
from ibutsu_tasks import stack_record
from ibutsu_tasks.errors import SettingsError, UsageError
from ibutsu_tasks.retention import ProjectAge, parse_project_ages
from ibutsu_tasks.setting_rows import Row, as_text, setting
from ibutsu_tasks.setting_values import MASK, mask_passwords

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """Everything that can be set from outside. Build it with `load_settings`."""

    broker_url: str | None = setting(
        "CELERY_BROKER_URL",
        None,
        "Redis URL of the queue.",
        parse=values.broker_url,
        secret=True,
        flag="--broker-url",
    )
    result_backend: str | None = setting(
        "CELERY_RESULT_BACKEND CELERY_RESULT_BACKEND_URL",
        None,
        "Redis URL of the task results.",
        parse=values.broker_url,
        secret=True,
        default_text="the broker URL",
    )
    database_url: str | None = setting(
        "SQLALCHEMY_DATABASE_URI",
        None,
        "URL of the database; wins over its parts below.",
        parse=values.database_url,
        secret=True,
        flag="--database-url",
    )
    postgresql_host: str | None = setting(
        "POSTGRESQL_HOST POSTGRES_HOST", None, "Database host, or the directory of its unix socket."
    )
    postgresql_port: int = setting(
        "POSTGRESQL_PORT POSTGRES_PORT", 5432, "Database port.", parse=values.whole_number(1)
    )
    postgresql_user: str | None = setting("POSTGRESQL_USER POSTGRES_USER", None, "Database user.")
    postgresql_password: str | None = setting(
        "POSTGRESQL_PASSWORD POSTGRES_PASSWORD", None, "Database password.", secret=True
    )
    postgresql_database: str | None = setting(
        "POSTGRESQL_DATABASE POSTGRESQL_DB POSTGRES_DATABASE POSTGRES_DB", None, "Database name."
    )
    postgresql_sslmode: str | None = setting(
        "POSTGRESQL_SSLMODE POSTGRES_SSLMODE",
        None,
        "TLS to the database.",
        parse=values.one_of(("disable", "allow", "prefer", "require", "verify-ca", "verify-full")),
        default_text="prefer",
    )
    flower_basic_auth: str | None = setting(
        "FLOWER_BASIC_AUTH", None, "`user:password` of the Flower page.", parse=values.basic_auth, secret=True
    )
    flower_address: str = setting(
        "FLOWER_ADDRESS", "127.0.0.1", "Address Flower listens on.", flag="--address"
    )
    flower_port: int = setting(
        "FLOWER_PORT", 5555, "Port Flower listens on.", parse=values.whole_number(1), flag="--port"
    )
    flower_url: str | None = setting(
        "IBUTSU_TASKS_FLOWER_URL", None, "Where `doctor` finds Flower; unset: not checked.", secret=True
    )
    worker_concurrency: int | str = setting(
        "CELERY_WORKER_CONCURRENCY",
        1,
        "Tasks a worker runs at a time, or `auto`.",
        parse=values.concurrency,
        flag="--concurrency",
    )
    worker_queues: tuple[str, ...] = setting(
        "CELERY_WORKER_QUEUES",
        ("celery",),
        "Queues a worker consumes, separated by commas.",
        parse=values.queues,
        default_text="celery",
        flag="--queues",
    )
    worker_hostname: str | None = setting(
        "CELERY_WORKER_HOSTNAME",
        None,
        "Node name of a worker.",
        default_text="celery@HOST",
        flag="--hostname",
    )
    worker_prefetch_multiplier: int = setting(
        "CELERY_WORKER_PREFETCH_MULTIPLIER",
        1,
        "Messages a worker holds per process.",
        parse=values.whole_number(1),
        flag="--prefetch-multiplier",
    )
    worker_max_tasks_per_child: int | None = setting(
        "CELERY_WORKER_MAX_TASKS_PER_CHILD",
        None,
        "Tasks after which a worker process is replaced.",
        parse=values.whole_number(1),
        flag="--max-tasks-per-child",
    )
    worker_soft_shutdown_seconds: float = setting(
        "CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT",
        20.0,
        "What a running task is given on SIGQUIT before its message goes back to the queue.",
        parse=values.seconds,
        unit="s",
    )
    log_level: str = setting(
        "CELERY_WORKER_LOGLEVEL",
        "info",
        "Log level of worker and beat.",
        parse=values.one_of(values.LOG_LEVELS),
        flag="--loglevel",
    )
    log_format: str = setting(
        "IBUTSU_TASKS_LOG_FORMAT",
        "text",
        "`text`, or `json` for one object per line.",
        parse=values.one_of(values.LOG_FORMATS),
        flag="--log-format",
    )
    task_time_limit_seconds: float | None = setting(
        "CELERY_TASK_TIME_LIMIT",
        None,
        "A task is killed after this.",
        parse=values.seconds,
        unit="s",
        flag="--time-limit",
    )
    task_soft_time_limit_seconds: float | None = setting(
        "CELERY_TASK_SOFT_TIME_LIMIT",
        None,
        "A task is asked to end after this.",
        parse=values.seconds,
        unit="s",
        flag="--soft-time-limit",
    )
    task_max_retries: int = setting(
        "IBUTSU_TASKS_MAX_RETRIES",
        150,
        "Tries after an unreachable service; 150 last about half a day.",
        parse=values.whole_number(0),
    )
    result_expires_seconds: float = setting(
        "CELERY_RESULT_EXPIRES", 86400.0, "How long task results are kept.", parse=values.seconds, unit="s"
    )
    import_max_unpacked_bytes: int = setting(
        "IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES",
        4 * 1024**3,
        "What an archive may unpack to.",
        parse=values.whole_number(1),
        unit="bytes",
    )
    import_max_members: int = setting(
        "IBUTSU_TASKS_IMPORT_MAX_MEMBERS", 500_000, "Files an archive may hold.", parse=values.whole_number(1)
    )
    query_max_rows: int = setting(
        "IBUTSU_TASKS_QUERY_MAX_ROWS",
        50_000,
        "Largest page `query_task` answers.",
        parse=values.whole_number(1),
    )
    query_max_bytes: int = setting(
        "IBUTSU_TASKS_QUERY_MAX_BYTES",
        64_000_000,
        "Metadata a page of `query_task` may hold.",
        parse=values.whole_number(1),
        unit="bytes",
    )
    retention: tuple[ProjectAge, ...] = setting(
        "IBUTSU_TASKS_RETENTION",
        (),
        "Ages of projects that differ from a rule's: `demo:results=120d,archive:runs=never`.",
        parse=parse_project_ages,
        default_text="none",
    )
    data_dir: Path = setting(
        "IBUTSU_TASKS_DATA_DIR",
        Path(),
        "Where `up` keeps its data.",
        parse=lambda value: Path(value).expanduser().absolute(),
        default_text="$XDG_DATA_HOME/ibutsu-tasks",
        flag="--data-dir",
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
        missing = []
        if broker and not self.broker_url:
            missing.append("CELERY_BROKER_URL")
        if database and not self.database_uri:
            missing += self._missing_database_variables()
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set"
                f" and no local stack runs on {self.data_dir}.",
                "Set them in the environment or in .env, or start everything here with `ibutsu-tasks up`.",
            )

    def _missing_database_variables(self) -> list[str]:
        parts = {"POSTGRESQL_HOST": self.postgresql_host, "POSTGRESQL_DATABASE": self.postgresql_database}
        missing = [name for name, value in parts.items() if not value]
        return (
            missing if len(missing) < len(parts) else ["POSTGRESQL_HOST (with _USER, _PASSWORD, _DATABASE)"]
        )

    def source(self, name: str) -> str:
        """Say where the value of a setting came from."""
        return self.sources.get(name, "default")

    def shown(self, name: str) -> str:
        """Give the value of a setting as it may be shown: secrets masked, `–` when unset."""
        value, row = getattr(self, name), rows()[name]
        if value is None or not row.secret:
            return as_text(value)
        if name == "flower_basic_auth":
            return f"{value.partition(':')[0]}:{MASK}"
        return mask_passwords(value) if "://" in value else MASK


def rows() -> dict[str, Row]:
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
    reader = _Reader(os.environ if environ is None else environ, _read_env_file(env_file))
    for row in rows().values():
        reader.read(row, (options or {}).get(row.name))
    reader.values.setdefault("data_dir", _default_data_dir(reader.environ))
    if reader.problems:
        listed = "".join(f"\n  - {problem}" for problem in reader.problems)
        kind = UsageError if reader.has_wrong_option else SettingsError
        raise kind(f"These settings are not usable:{listed}", "`ibutsu-tasks config` lists every setting.")
    reader.add_local_stack()
    return Settings(**reader.values, sources=reader.sources)


def _default_data_dir(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_DATA_HOME") or (f"{environ['HOME']}/.local/share" if environ.get("HOME") else "")
    if not Path(base).is_absolute():
        return Path(tempfile.gettempdir()) / f"ibutsu-tasks-{os.getuid()}"
    return Path(base) / "ibutsu-tasks"


def _read_env_file(env_file: Path | None) -> dict[str, str]:
    path = env_file or Path(".env")
    if env_file is not None and not path.is_file():
        raise SettingsError(f"The file {path} given as --env-file does not exist.")
    try:
        # No interpolation: a `$` in a password is a `$`.
        return {k: v for k, v in dotenv_values(path, interpolate=False).items() if v is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}.") from None


class _Reader:
    """Collects values, their sources, and every problem on the way."""

    def __init__(self, environ: Mapping[str, str], env_file: Mapping[str, str]) -> None:
        self.environ = environ
        self.places = (("environment", environ), (".env", env_file))
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.problems: list[str] = []
        self.has_wrong_option = False

    def read(self, row: Row, option: Any) -> None:
        if option is not None:
            self._take(row, option, f"option {row.flag or '--' + row.name.replace('_', '-')}")
            return
        for place, variables in self.places:
            for variable in row.variables:
                text = self._text(variable, variables)
                if text is not None:
                    self._take(row, text, f"{place} {variable}")
                    return

    def _text(self, variable: str, variables: Mapping[str, str]) -> str | None:
        value, path = variables.get(variable) or None, variables.get(f"{variable}_FILE") or None
        if value is not None and path is not None:
            self.problems.append(f"{variable} and {variable}_FILE are both set; keep one.")
        if path is None:
            return value
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n") or None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            self.problems.append(f"{variable}_FILE: {path} cannot be read: {reason}.")
            return None

    def _take(self, row: Row, value: Any, source: str) -> None:
        self.sources[row.name] = source
        try:
            self.values[row.name] = row.parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.has_wrong_option |= source.startswith("option ")
            said = "has an unusable value" if row.secret and "not '" in str(error) else str(error)
            self.problems.append(f"{source.removeprefix('option ').removeprefix('environment ')} {said}.")

    def add_local_stack(self) -> None:
        """Use a running stack only when neither service is set: half of each would mix two systems."""
        explicit = {"broker_url", "result_backend", "database_url", "postgresql_host", "postgresql_database"}
        if explicit & self.values.keys():
            return
        record = stack_record.read_record(self.values["data_dir"])
        if record is None:
            return
        found = {
            "broker_url": record.broker_url,
            "database_url": record.database_url,
            "flower_url": record.flower_url,
            "flower_basic_auth": record.flower_basic_auth,
        }
        for name, value in found.items():
            if value is not None and name not in self.values:
                self.values[name] = value
                self.sources[name] = "local stack"
