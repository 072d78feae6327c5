"""The command that empties a data directory, and when to offer it: it is the last way out."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

# What PostgreSQL and Valkey say of data that are damaged or of another version. Neither a permission nor a
# full disk is among them: those are mended, and the data are whole.
_DAMAGE = re.compile(
    r"""corrupt | checksum | incompatible | not\ compatible
    | pg_control | valid\ checkpoint | invalid\ page | unexpected\ data\ beyond\ EOF
    | is\ not\ a\ valid\ data\ directory | not\ contain\ valid\ data
    | could\ not\ (open|read|access)\ (file|directory)\ "(base|global|pg_)
    | reading\ the\ append\ only\ file | loading\ the\ DB | loading\ DB | manifest | check-aof | check-rdb
    | RDB\ format | AOF\ format""",
    re.VERBOSE | re.IGNORECASE,
)
_NO_DAMAGE = re.compile(r"Permission denied|invalid permissions|wrong ownership|No space left", re.IGNORECASE)


def reset_command(data_dir: Path) -> str:
    """Give the command that empties `data_dir`, which it names unless it is the default one."""
    named = "" if _is_default(data_dir) else f" --data-dir {shlex.quote(str(data_dir))}"
    return f"`ibutsu-tasks up --reset{named}`"


def tells_of_damage(log: str) -> bool:
    """Tell whether a server that did not start has complained of its data."""
    return bool(_DAMAGE.search(log)) and not _NO_DAMAGE.search(log)


def _is_default(data_dir: Path) -> bool:
    with suppress(SettingsError):
        settings = load_settings()
        return "data_dir" not in settings.sources and settings.data_dir.resolve() == data_dir.resolve()
    return False
