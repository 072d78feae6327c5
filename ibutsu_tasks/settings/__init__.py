"""Settings: one frozen object, and the only code that reads the environment and `.env`.

Each field of `fields.py` is a row: its variables, default, unit and help. The README table, the
`config` command and the error messages read the same rows. A value comes from the first of: an
option, the environment, `.env`, a running local stack, the default; `Settings.sources` says which.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.errors import SettingsError, UsageError
from ibutsu_tasks.packages import choose, loaded
from ibutsu_tasks.settings import urls, values
from ibutsu_tasks.settings.fields import Fields
from ibutsu_tasks.settings.masking import MASK, Masker, mask_url_passwords
from ibutsu_tasks.settings.sources import (
    OPTION,
    SettingReader,
    default_data_dir,
    read_env_file,
    unused_stack,
)
from ibutsu_tasks.wire_names import DEFAULT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ibutsu_tasks.packages import Setting

NO_URLS = (str, values.basic_auth)
"""What reads the secrets that are no URLs, whatever they look like."""


@dataclass(frozen=True)
class Settings(Fields):
    """Everything that can be set from outside. Build it with `load_settings`."""

    of_packages: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The settings of task packages by name; `value` gives one."""
    package_secrets: tuple[str, ...] = field(default=(), repr=False)
    """What was given for those that are secret, as text."""
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By name, the sentence that says why a setting cannot be used; only `read_settings` gives any."""
    remarks: tuple[str, ...] = ()
    """Sentences about what was given and has no effect."""

    def __repr__(self) -> str:
        """Show no value: a settings object in a traceback must not tell a password."""
        return f"<Settings from {', '.join(sorted(set(self.sources.values())))}>"

    @property
    def backend_url(self) -> str | None:
        """URL of the result backend, which is the broker's unless set."""
        return self.result_backend or self.broker_url

    @property
    def cache_url(self) -> str | None:
        """URL of the tasks' cache, which is the broker's unless set."""
        return self.own_cache_url or self.broker_url

    @property
    def consumed_queues(self) -> tuple[str, ...]:
        """The queues of a worker, which are those it names and those that all consume.

        Without any name, they are those of its task packages, and the one of tasks without a route.
        """
        queues = self.worker_queues or (*loaded().queues, DEFAULT_QUEUE)
        return tuple(dict.fromkeys((*loaded().always_consumed, *queues)))

    @property
    def database_uri(self) -> str | None:
        """URL of the database as given, or put together from its parts; None when neither is complete."""
        if self.database_url or not (self.postgresql_host and self.postgresql_database):
            return self.database_url
        return urls.assemble_database_url(
            (self.postgresql_host, self.postgresql_port, self.postgresql_database),
            (self.postgresql_user, self.postgresql_password),
            self.postgresql_sslmode,
        )

    def require_usable(self) -> None:
        """Raise SettingsError that lists every problem; UsageError when an option is among them."""
        if self.problems:
            listed = "".join(f"\n  - {problem}" for problem in self.problems.values())
            is_wrong_usage = any(self.source(name).startswith(f"{OPTION} ") for name in self.problems)
            kind = UsageError if is_wrong_usage else SettingsError
            raise kind(f"These settings are not usable:{listed}", "`ibutsu-tasks config` shows them all.")

    def require_broker(self) -> str:
        """Give the broker URL. Raises SettingsError naming what to set."""
        self._require(broker=True, database=False)
        return self.broker_url or ""

    def require_database(self) -> str:
        """Give the database URL. Raises SettingsError naming what to set."""
        self._require(broker=False, database=True)
        return self.database_uri or ""

    def require_packages(self, task_problems: Iterable[str] = ()) -> None:
        """Raise SettingsError when a task package cannot be used, unless the setting says to go on without.

        Then the log says so. `task_problems` are those of who has tasks.
        """
        problems = (*loaded().problems.values(), *task_problems)
        if problems and self.broken_packages == "refuse":
            listed = "".join(f"\n  - {problem}" for problem in problems)
            raise SettingsError(
                f"These task packages cannot be used:{listed}",
                "Repair or uninstall them, name them in IBUTSU_TASKS_WITHOUT_PACKAGES, or set"
                " IBUTSU_TASKS_BROKEN_PACKAGES=warn to go on without.",
            )
        for problem in problems:
            logging.getLogger(__name__).error("%s It is left out here.", problem)

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

    def value(self, row: Setting) -> Any:
        """Give the value of a package's setting."""
        return self.of_packages.get(row.name, row.default)

    def shown(self, name: str) -> Any:
        """Give a setting, or what holds while it is unset, as a JSON value that may be shown: no secret."""
        unset = {
            "result_backend": self.broker_url,
            "own_cache_url": self.broker_url,
            "worker_queues": self.consumed_queues,
            "postgresql_sslmode": "prefer",
            "worker_hostname": f"celery@{socket.gethostname()}",
            "scratch_dir": os.environ.get("TMPDIR") or "/tmp",  # noqa: S108 - shown, not used
        }
        row, is_own = all_rows()[name], name in setting_rows()
        value = getattr(self, name) if is_own else self.value(row)
        value = unset.get(name, value) if value is None or value == () else value
        if value is None:
            return None
        if row.secret and not is_own:
            return MASK
        if isinstance(value, tuple):
            return [mask_url_passwords(str(item)) for item in value]
        if not row.secret:
            return value if isinstance(value, int | float) else mask_url_passwords(str(value))
        if row.parse is values.basic_auth:
            return f"{value.partition(':')[0]}:{MASK}"
        return MASK if row.parse in NO_URLS else mask_url_passwords(value)

    @cached_property
    def _masker(self) -> Masker:
        rows = [(name, row.parse in NO_URLS) for name, row in setting_rows().items() if row.secret]
        given = [(value, is_plain) for name, is_plain in rows if (value := getattr(self, name))]
        return Masker(
            [value for value, is_plain in given if not is_plain],
            plain=[value for value, is_plain in given if is_plain],
            wholly=self.package_secrets,
        )

    def mask(self, text: str) -> str:
        """Hide in any text the secrets among these settings, and the password of any URL."""
        return self._masker.mask(text)


def setting_rows() -> dict[str, Setting]:
    """Give our own settings' rows by field name, in the order of the README table."""
    fields = dataclasses.fields(Settings)
    return {
        item.name: dataclasses.replace(item.metadata["row"], name=item.name)
        for item in fields
        if item.metadata
    }


def all_rows() -> dict[str, Setting]:
    """Give the same, and after them those of the task packages of this process."""
    return setting_rows() | {row.name: row for row in loaded().settings}


def load_settings(
    options: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = None,
) -> Settings:
    """Read the settings from options, environment, `.env`, a running local stack and defaults.

    Raises SettingsError that lists every problem, UsageError when an option is among them; else as
    `read_settings`.
    """
    settings = read_settings(options, environ=environ, env_file=env_file)
    settings.require_usable()
    return settings


def read_own_settings(options: Mapping[str, Any] | None = None, *, env_file: Path | None = None) -> Settings:
    """Read the same without those of task packages, of which none is loaded: one might print, or warn.

    Raises as `read_settings`.
    """
    reader, own = _read_own(options, None, env_file)
    reader.values.setdefault("data_dir", default_data_dir(reader.environ))
    reader.add_local_stack(own)
    return Settings(**reader.values, sources=reader.sources)


def _read_own(
    options: Mapping[str, Any] | None, environ: Mapping[str, str] | None, env_file: Path | None
) -> tuple[SettingReader, dict[str, Setting]]:
    reader = SettingReader(os.environ if environ is None else environ, read_env_file(env_file))
    own = setting_rows()
    reader.read(own.values(), options or {})
    return reader, own


def read_settings(
    options: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = None,
) -> Settings:
    """Read the same, with the default in place of what cannot be used, which is in `problems`.

    `options` maps field names to text or values, None meaning not given. `env_file` None reads `.env` in
    the current directory when there is one. Raises SettingsError when a file named cannot be read.
    """
    reader, own = _read_own(options, environ, env_file)
    choose(reader.values.get("packages", ()), reader.values.get("without_packages", ()), own.values())
    rows = all_rows()
    reader.read([row for row in rows.values() if row.name not in own], options or {})
    reader.note_misspellings(variable for row in rows.values() for variable in row.variables)
    reader.note_remarks()
    reader.values.setdefault("data_dir", default_data_dir(reader.environ))
    reader.add_local_stack(own)
    read = {name: reader.values[name] for name in own.keys() & reader.values.keys()}
    of_packages = {name: reader.values[name] for name in reader.values.keys() - own.keys()}
    secrets = [name for name, row in rows.items() if row.secret and name in reader.given and name not in own]
    for name in reader.problems.keys() & set(secrets):
        reader.problems[name] = Masker(wholly=(reader.given[name],)).mask(reader.problems[name])
    return Settings(
        **read,
        of_packages=of_packages,
        package_secrets=tuple(reader.given[name] for name in secrets),
        sources=reader.sources,
        problems=reader.problems,
        remarks=tuple(reader.remarks),
    )
