"""The directories the embedded servers use: whose they are, how closed, and where the sockets are."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError, SettingsError
from ibutsu_tasks.own_files import NotOurOwnError, check_own_directory, open_own, read_own, write_own
from ibutsu_tasks.settings import load_settings
from ibutsu_tasks.stack_record import check_data_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD_NAME = "servers.json"
SOCKET_DIRECTORY_PREFIX = "ibutsu-tasks-"
LOG_LIMIT_BYTES = 5_000_000
TAIL_BYTES = 8192

CLUSTER_MODES = frozenset({0o700, 0o750})
"""PostgreSQL starts on a directory with one of these alone."""

CLUSTER_MARK = "PG_VERSION"

# An AF_UNIX path has at most 107 bytes on Linux, 103 on macOS, and PostgreSQL's socket name takes 15.
_SHORT_AND_PLAIN = re.compile(r"/[A-Za-z0-9/_.-]{1,60}")


@dataclass(frozen=True, slots=True)
class ServersRecord:
    """Where the servers of a data directory listen, and in which process namespace they live."""

    socket_directory: str
    process_namespace: str


@contextmanager
def data_directory_errors(data_dir: Path) -> Iterator[None]:
    """Raise LocalServersError for a file or directory of `data_dir` that cannot be used in the block."""
    try:
        yield
    except NotOurOwnError as error:
        raise LocalServersError(
            f"The data directory {data_dir} cannot be used: {error.filename} {error.strerror}.",
            "Choose another with --data-dir. Is it your own all the same, use `chown` and `chmod go-w`.",
        ) from None
    except OSError as error:
        named = "" if error.filename in {None, str(data_dir)} else f"{error.filename}: "
        raise LocalServersError(
            f"The data directory {data_dir} cannot be used: {named}{error.strerror}.",
            "Choose one you can write with --data-dir.",
        ) from None


def prepare_data_directory(data_dir: Path) -> Path:
    """Create `data_dir` (0700) with its `logs` and give its resolved path.

    Raises LocalServersError when it cannot be written, or when it or what is used of it is not this user's
    own: what lies there names processes to end and directories to remove.
    """
    with data_directory_errors(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        check_data_directory(data_dir)
        data_dir = data_dir.resolve()
        (data_dir / "logs").mkdir(exist_ok=True, mode=0o700)
        check_own_directory(data_dir / "logs")
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    return data_dir


def open_log(data_dir: Path, server: str) -> Path:
    """Give the log file of `server`, set aside first when it has grown beyond LOG_LIMIT_BYTES."""
    log = data_dir / "logs" / f"{server}.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    os.close(open_own(log, os.O_WRONLY | os.O_CREAT))
    return log


def tail(log: Path, since_bytes: int = 0, lines: int = 8) -> str:
    """Give the last lines written to `log` after its first `since_bytes`, indented, or an empty string."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - TAIL_BYTES, since_bytes, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


def process_namespace() -> str:
    """Name the set of processes we can see: two containers may share a data directory but not pids."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def read_servers_record(data_dir: Path) -> ServersRecord | None:
    """Give what the last start wrote down, or None."""
    try:
        return ServersRecord(**json.loads(read_own(data_dir / RECORD_NAME)))
    except (OSError, ValueError, TypeError):
        return None


def choose_socket_directory(data_dir: Path) -> Path:
    """Reuse the recorded socket directory when it is still private to us, else make and record one.

    It is not kept under the data directory, whose path may be longer than a socket's may be, nor in
    XDG_RUNTIME_DIR, which goes away at logout while the servers may stay.
    """
    record = read_servers_record(data_dir)
    if record is not None and is_private(Path(record.socket_directory)):
        return Path(record.socket_directory)
    base = tempfile.gettempdir()
    base = base if _SHORT_AND_PLAIN.fullmatch(base) else "/tmp"  # noqa: S108 - mkdtemp makes it private
    socket_directory = Path(tempfile.mkdtemp(prefix=SOCKET_DIRECTORY_PREFIX, dir=base))
    _write(data_dir, ServersRecord(str(socket_directory), process_namespace()))
    return socket_directory


def is_private(directory: Path) -> bool:
    """Tell whether `directory` is a socket directory of ours that nobody else may enter."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    return (
        directory.name.startswith(SOCKET_DIRECTORY_PREFIX)
        and stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & 0o077
    )


def forget_servers(data_dir: Path) -> None:
    """Remove the record and the socket directory it names."""
    record = read_servers_record(data_dir)
    if record is not None and is_private(Path(record.socket_directory)):
        shutil.rmtree(record.socket_directory, ignore_errors=True)
    (data_dir / RECORD_NAME).unlink(missing_ok=True)


def _write(data_dir: Path, record: ServersRecord) -> None:
    write_own(data_dir / RECORD_NAME, json.dumps(asdict(record)))


def has_cluster(directory: Path) -> bool:
    """Tell whether PostgreSQL's data were created here before."""
    return (directory / CLUSTER_MARK).exists()


def claim_cluster(directory: Path) -> None:
    """Make sure that `directory` is free for PostgreSQL's data, or holds them and is closed to others.

    Raises LocalServersError for somebody else's files or damaged data, and for what cannot be entered.
    """
    if not os.path.lexists(directory):
        return
    what = "is no directory"
    try:
        if directory.is_dir() and not directory.is_symlink():
            mode = stat.S_IMODE(directory.stat().st_mode)
            is_closed = not os.access(directory, os.R_OK | os.W_OK | os.X_OK)
            if is_closed or (mode not in CLUSTER_MODES and has_cluster(directory)):
                directory.chmod(0o700)
            what = "holds files but no PG_VERSION"
            if has_cluster(directory) or not any(directory.iterdir()):
                return
    except OSError as error:
        raise LocalServersError(
            f"{directory} cannot be used: {error.strerror}.",
            "Give it back to this user with `chown -R`, or choose another --data-dir.",
        ) from None
    raise LocalServersError(
        f"{directory} {what}, so it is no PostgreSQL data that this program would touch.",
        "Move it away or restore it, or choose another --data-dir.",
    )


def reset_command(data_dir: Path) -> str:
    """Give the command that empties `data_dir`, which it names unless it is the default one."""
    named = "" if _is_default(data_dir) else f" --data-dir {shlex.quote(str(data_dir))}"
    return f"`ibutsu-tasks up --reset{named}`"


def _is_default(data_dir: Path) -> bool:
    with suppress(SettingsError):
        settings = load_settings()
        return "data_dir" not in settings.sources and settings.data_dir.resolve() == data_dir.resolve()
    return False
