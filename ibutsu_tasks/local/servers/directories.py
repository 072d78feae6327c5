"""The directories the embedded servers use, and the record of where the sockets are."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from ibutsu_tasks.errors import LocalServersError

RECORD_NAME = "servers.json"
SOCKET_DIRECTORY_PREFIX = "ibutsu-tasks-"
LOG_LIMIT_BYTES = 5_000_000
TAIL_BYTES = 8192

# An AF_UNIX path has at most 107 bytes on Linux, 103 on macOS, and PostgreSQL's socket name takes 15.
_SHORT_AND_PLAIN = re.compile(r"/[A-Za-z0-9/_.-]{1,60}")


@dataclass(frozen=True, slots=True)
class ServersRecord:
    """Where the servers of a data directory listen, and in which process namespace they live."""

    socket_directory: str
    process_namespace: str


def prepare_data_directory(data_dir: Path) -> Path:
    """Create `data_dir` (0700) with its `logs` and give its resolved path.

    Raises LocalServersError when it cannot be written.
    """
    try:
        data_dir = data_dir.expanduser().resolve()
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data_dir / "logs").mkdir(exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise LocalServersError(
            f"The data directory {data_dir} cannot be used: {reason}.",
            "Choose one you can write with --data-dir.",
        ) from None
    return data_dir


def open_log(data_dir: Path, server: str) -> Path:
    """Give the log file of `server`, set aside first when it has grown beyond LOG_LIMIT_BYTES."""
    log = data_dir / "logs" / f"{server}.log"
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    log.touch(mode=0o600)
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
        return ServersRecord(**json.loads((data_dir / RECORD_NAME).read_text(encoding="utf-8")))
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
    draft = data_dir / f"{RECORD_NAME}.new"
    draft.write_text(json.dumps(asdict(record)), encoding="utf-8")
    draft.replace(data_dir / RECORD_NAME)
