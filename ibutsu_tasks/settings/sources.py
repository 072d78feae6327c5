"""Where the values of settings come from: options, environment, `.env` and a running local stack."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibutsu_tasks import stack_record
from ibutsu_tasks.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ibutsu_tasks.settings.values import Row


INSTEAD_OF_A_STACK = frozenset(
    ("broker_url", "result_backend", "database_url", "postgresql_host", "postgresql_database")
)
"""Settings any of which keeps a running local stack from being used."""


def unused_stack(data_dir: Path, sources: Mapping[str, str]) -> str:
    """Say why no stack on `data_dir` supplied the services."""
    if not stack_record.is_running(data_dir):
        return f"no local stack runs on {data_dir}"
    if reason := stack_record.why_foreign(data_dir):
        return f"the local stack on {data_dir} is not trusted: {reason}"
    given = [source.rpartition(" ")[2] for name, source in sources.items() if name in INSTEAD_OF_A_STACK]
    reason = f"because {' and '.join(given)} {'is' if len(given) == 1 else 'are'} set" if given else "yet"
    return f"the local stack on {data_dir} is not used {reason}"


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Give where `up` keeps its data when nothing says so; without a home, a directory of the user's."""
    base = environ.get("XDG_DATA_HOME") or (f"{environ['HOME']}/.local/share" if environ.get("HOME") else "")
    if not Path(base).is_absolute():
        import tempfile

        return Path(tempfile.gettempdir()) / f"ibutsu-tasks-{os.getuid()}"
    return Path(base) / "ibutsu-tasks"


def read_env_file(env_file: Path | None) -> dict[str, str]:
    """Read `.env` or the file named. Raises SettingsError when it cannot be read."""
    path = env_file or Path(".env")
    if env_file is not None and not path.is_file():
        raise SettingsError(f"The file {path} given as --env-file does not exist.")
    if not os.access(path, os.F_OK):
        return {}
    from dotenv import dotenv_values

    try:
        # No interpolation: a `$` in a password is a `$`.
        return {k: v for k, v in dotenv_values(path, interpolate=False).items() if v is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}.") from None


class SettingReader:
    """Collects values, their sources, and every problem on the way."""

    def __init__(self, environ: Mapping[str, str], env_file: Mapping[str, str]) -> None:
        self.environ = environ
        self.places = (("environment", environ), (".env", env_file))
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.problems: list[str] = []
        self.has_wrong_option = False

    def read(self, row: Row, option: Any) -> None:
        """Take a setting from its option, the environment or `.env`, the first that has it."""
        if option is not None:
            self._take(row, option, f"option {(*row.flags, '--' + row.name.replace('_', '-'))[0]}")
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
        if INSTEAD_OF_A_STACK & self.values.keys():
            return
        record = stack_record.read_record(self.values["data_dir"])
        if record is None:
            return
        for name, value in asdict(record).items():
            if name != "pid" and value is not None and name not in self.values:
                self.values[name] = value
                self.sources[name] = "local stack"
