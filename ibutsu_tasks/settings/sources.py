"""Where the values of settings come from: options, environment, `.env` and a running local stack."""

from __future__ import annotations

import difflib
import os
import re
import stat
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ibutsu_tasks import stack_record
from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.settings.values import UnusableError
from ibutsu_tasks.text.quoting import cut
from ibutsu_tasks.text.storable import UNSTORABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ibutsu_tasks.packages.declaration import Setting

OPTION = "option"
ENVIRONMENT = "environment"
LOCAL_STACK = "local stack"
PREFIX = "IBUTSU_TASKS_"

MAX_ENV_FILE_BYTES = 1_000_000
MAX_SECRET_FILE_BYTES = 65_536
MAX_PATH_CHARACTERS = 200
MAX_REMARKS = 20
"""What is told of one source, line by line or name by name; of the rest, how many there are."""

MAX_BLANKS = 200
# Whoever reads the file tries each of a row as the beginning of a comment.
_MANY_BLANKS = re.compile(rf"[^\S\r\n]{{{MAX_BLANKS}}}")

_KUBERNETES_LINK = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)
_KUBERNETES_NAME = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?$")


class Place(NamedTuple):
    """One source of variables: what it is called, its variables, and sentences about what is left out."""

    name: str
    variables: Mapping[str, str]
    remarks: tuple[str, ...] = ()


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


def is_kubernetes_link(value: str | None) -> bool:
    """Say whether a value is what Kubernetes puts into `<SERVICE>_PORT` of every pod beside the service."""
    return bool(value and _KUBERNETES_LINK.match(value))


def read_file(path: Path, most_bytes: int) -> str:
    """Read a small text file, and nothing that could keep us waiting.

    Raises OSError with the reason, in words, why it cannot be read.
    """
    # Opening a FIFO waits for who writes to it.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "it is not a regular file")
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(0, f"it is larger than {most_bytes} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OSError(0, "it is not UTF-8 text") from None


def read_env_file(env_file: Path | None) -> Place:
    """Read `.env`, when it is a file, or the file named. Raises SettingsError when it cannot be read."""
    path = env_file or Path(".env")
    if env_file is None and not (os.access(path, os.F_OK) and path.is_file()):
        return Place(str(path), {}, _why_not_read(path))
    try:
        text = read_file(path, MAX_ENV_FILE_BYTES)
        _refuse_many_blanks(text)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(
            f"The settings file {path} cannot be read: {reason}.",
            "Correct it, or name another in --env-file.",
        ) from None
    return _parse_env_file(str(path), text)


def _refuse_many_blanks(text: str) -> None:
    if blanks := _MANY_BLANKS.search(text):
        line = text.count("\n", 0, blanks.start()) + 1
        raise OSError(0, f"line {line} has {MAX_BLANKS} blanks in a row")


def _why_not_read(path: Path) -> tuple[str, ...]:
    # A virtual environment may have this name, too.
    if not os.path.lexists(path) or os.access(path / "pyvenv.cfg", os.F_OK):
        return ()
    return (f"No settings are read from {path}, which is no file.",)


def _parse_env_file(name: str, text: str) -> Place:
    from io import StringIO

    from dotenv.parser import parse_stream

    bindings = list(parse_stream(StringIO(text)))
    # No interpolation: a `$` in a password is a `$`.
    variables = {each.key: each.value for each in bindings if each.key and each.value is not None}
    bad_lines = [each.original.line for each in bindings if each.error]
    left_out = [
        f"Line {line} of {name} is left out: it is not NAME=value." for line in bad_lines[:MAX_REMARKS]
    ]
    return Place(name, variables, (*left_out, *_of_the_rest(bad_lines, f"lines of {name} are left out")))


def _of_the_rest(found: list[Any], what: str) -> Iterator[str]:
    if len(found) > MAX_REMARKS:
        yield f"{len(found) - MAX_REMARKS:,} more {what}."


class SettingReader:
    """Collects values, their sources, and every problem on the way.

    `problems` are sentences by the name of the setting; `remarks` are sentences about what was left aside.
    """

    def __init__(self, environ: Mapping[str, str], env_file: Place) -> None:
        self.environ = environ
        self.places = (Place(ENVIRONMENT, environ), env_file)
        self.values: dict[str, Any] = {}
        self.given: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self.remarks: list[str] = []

    def read(self, rows: Iterable[Setting], options: Mapping[str, Any]) -> None:
        """Take every setting from its option, the environment or `.env`, the first that has it.

        Settings of one group are taken together, from the first that has any of them.
        """
        for _, group in groupby(rows, lambda row: row.group or row.name):
            self._read_group(list(group), options)

    def note_remarks(self) -> None:
        """Remark on what was left out of a file."""
        self.remarks += [remark for place in self.places for remark in place.remarks]

    def _read_group(self, rows: list[Setting], options: Mapping[str, Any]) -> None:
        given = [row for row in rows if options.get(row.name) is not None]
        for row in given:
            flag = row.flags[0] if row.flags else "--" + row.name.replace("_", "-")
            self._take(row, options[row.name], f"{OPTION} {flag}")
        winner = OPTION if given else ""
        for place in self.places:
            found = {row: variable for row in rows if (variable := self._variable(row, place.variables))}
            if found and winner:
                self._leave_aside(rows, place.name, found.values(), winner)
                continue
            for row, variable in found.items():
                self._take_variable(row, variable, place)
            winner = place.name if found else ""

    def _leave_aside(self, rows: list[Setting], place: str, variables: Iterable[str], winner: str) -> None:
        if len(rows) > 1 and winner != OPTION:
            self.remarks.append(
                f"{', '.join(variables)} in {_in_words(place)} left aside: the settings of the"
                f" {rows[0].group} are all taken from {_in_words(winner)}."
            )

    def _variable(self, row: Setting, variables: Mapping[str, str]) -> str | None:
        """Name the variable that sets `row`, by itself or with `_FILE`."""
        for variable in row.variables:
            if _value(row, variable, variables) or variables.get(f"{variable}_FILE"):
                return variable
        return None

    def _take_variable(self, row: Setting, variable: str, place: Place) -> None:
        value, path = _value(row, variable, place.variables), place.variables.get(f"{variable}_FILE")
        source = f"{place.name} {variable}"
        if value and path:
            self.sources[row.name] = source
            self.problems[row.name] = f"{variable} and {variable}_FILE are both set; keep one."
        elif path:
            self._take_file(row, path, f"{source}_FILE")
        else:
            self._take(row, value, source)

    def _take_file(self, row: Setting, path: str, source: str) -> None:
        try:
            text = read_file(Path(path), MAX_SECRET_FILE_BYTES).rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.sources[row.name] = source
            self.problems[row.name] = (
                f"{source.rpartition(' ')[2]}: {cut(path, MAX_PATH_CHARACTERS)} cannot be read: {reason}."
            )
            return
        if text:
            self._take(row, text, source, is_file=True)

    def _take(self, row: Setting, value: Any, source: str, *, is_file: bool = False) -> None:
        self.sources[row.name], self.given[row.name] = source, str(value)
        try:
            self.values[row.name] = _parsed(row, value) if isinstance(value, str) else value
        except Exception as error:  # noqa: BLE001 - whatever a package's parser does
            said = str(error)
            if is_file or not isinstance(error, ValueError):
                # Whatever the file is, it may be the wrong one: nothing of it is shown.
                said = error.what if isinstance(error, UnusableError) else "has an unusable value"
            named = source.removeprefix(f"{OPTION} ").removeprefix(f"{ENVIRONMENT} ")
            self.problems[row.name] = f"{named} {said}."

    def note_misspellings(self, known: Iterable[str]) -> None:
        """Remark on variables that begin as ours and are none."""
        names = {name for variable in known for name in (variable, f"{variable}_FILE")}
        for place in self.places:
            self.remarks += _misspellings(place, names)

    def add_local_stack(self, rows: Mapping[str, Setting]) -> None:
        """Use a running stack only when neither service is set: half of each would mix two systems."""
        if INSTEAD_OF_A_STACK & self.sources.keys():
            return
        record = stack_record.read_record(self.values["data_dir"])
        if record is None:
            return
        taken = {rows[name].group or name for name in rows.keys() & self.sources.keys()}
        for name, value in asdict(record).items():
            row = rows.get(name)
            if row is not None and value is not None and (row.group or name) not in taken:
                self._take(row, value, LOCAL_STACK)


def _in_words(place: str) -> str:
    return f"the {place}" if place == ENVIRONMENT else place


def _parsed(row: Setting, text: str) -> Any:
    # No server takes either, and what sends it there fails with words of its own.
    if bad := UNSTORABLE.search(text):
        raise UnusableError("holds a NUL character" if bad[0] == "\0" else "is no UTF-8 text")
    return row.parse(text)


def _value(row: Setting, variable: str, variables: Mapping[str, str]) -> str | None:
    """Give what a variable says, if anything that is meant for us."""
    value = variables.get(variable) or None
    return None if row.is_port and is_kubernetes_link(value) else value


def _misspellings(place: Place, known: set[str]) -> Iterator[str]:
    unknown = sorted(name for name in place.variables if name.startswith(PREFIX) and name not in known)
    names = [name for name in unknown if not _is_of_kubernetes(name, place.variables[name])]
    for name in names[:MAX_REMARKS]:
        near = difflib.get_close_matches(cut(name), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "`ibutsu-tasks config` lists them all."
        yield f"{cut(name)} in {_in_words(place.name)} has no effect: there is no such setting; {hint}"
    yield from _of_the_rest(names, f"such names in {_in_words(place.name)} have no effect")


def _is_of_kubernetes(name: str, value: str) -> bool:
    # It calls nothing by more than 63 characters.
    end = name[-MAX_PATH_CHARACTERS:]
    return _KUBERNETES_NAME.search(end) is not None or is_kubernetes_link(value)
