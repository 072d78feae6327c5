"""PostgreSQL's own programs, run on the database of the settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from ibutsu_tasks.errors import LocalServersError, RefusedError
from ibutsu_tasks.local.servers.binaries import find_programs
from shop.settings import POSTGRESQL_BIN

if TYPE_CHECKING:
    from pathlib import Path

    from ibutsu_tasks.settings import Settings

TIMEOUT_SECONDS = 3600


class ProgramError(RefusedError):
    """A program of PostgreSQL is missing, or did not do its work."""

    hint = "Set SHOP_POSTGRESQL_BIN to the directory of pg_dump, of the server's version or newer."


def connection(settings: Settings) -> str:
    """Give the option that names the database to a program; the password is not in it."""
    url = make_url(settings.require_database()).set(drivername="postgresql", password=None)
    return f"--dbname={url.render_as_string()}"


def run(settings: Settings, program: str, *arguments: str | Path) -> str:
    """Run a program and give what it printed. Raises ProgramError."""
    found = shutil.which(program, path=_directory(settings))
    if found is None:
        raise ProgramError(f"{program} is not installed, or not where it was looked for.")
    # On a command line, everybody on the host could read the password.
    password = make_url(settings.require_database()).password
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {}), "PGCONNECT_TIMEOUT": "10"}
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            [found, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{program} took longer than {TIMEOUT_SECONDS} s and was ended.") from None
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
        raise ProgramError(f"{program} failed: {settings.mask(reason)}")
    return done.stdout


def _directory(settings: Settings) -> str | None:
    """Give where the programs are; None stands for the PATH."""
    if named := settings.value(POSTGRESQL_BIN):
        return str(named)
    with suppress(LocalServersError):
        return str(find_programs()[1])
    return None
