"""As whom PostgreSQL runs: it refuses root, and its initdb refuses a user id without a name.

An ordinary user starts it directly. Otherwise a user namespace gives it another user id while every
file stays ours. Where namespaces are switched off, root starts it as an unprivileged account that owns
the cluster and, for all that lies around it, passes permissions of files as root does. No account is
created and no permission of a directory that is not ours is changed.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError

if TYPE_CHECKING:
    from pathlib import Path

ACCOUNTS = ("postgres", "nobody")

# The last one keeps access(2), by which PostgreSQL finds its programs, from forgetting the capability.
PASSES_PERMISSIONS = (
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--securebits=+no_setuid_fixup",
)


@dataclass(frozen=True, slots=True)
class Account:
    """What stands before PostgreSQL's commands, and who must own its cluster."""

    command_prefix: tuple[str, ...]
    user_id: int
    group_id: int


def choose_account(program: Path, data_dir: Path) -> Account:
    """Choose as whom `program` runs on `data_dir`. Raises LocalServersError when this user cannot run it."""
    user_id, group_id = os.geteuid(), os.getegid()
    with suppress(KeyError):
        if user_id != 0 and pwd.getpwuid(user_id):
            return Account((), user_id, group_id)
    other = next((entry for entry in pwd.getpwall() if entry.pw_name in ACCOUNTS and entry.pw_uid), None)
    if other is not None:
        names = (f"--map-user={other.pw_uid}", f"--map-group={other.pw_gid}")
        namespace = ("unshare", "--user", *names, "--")
        if _works(namespace, program, data_dir):
            return Account(namespace, user_id, group_id)
        ids = (f"--reuid={other.pw_uid}", f"--regid={other.pw_gid}", "--clear-groups")
        switch = ("setpriv", *ids, *PASSES_PERMISSIONS, "--")
        if user_id == 0 and _works(switch, program, data_dir):
            return Account(switch, other.pw_uid, other.pw_gid)
    who = (
        "PostgreSQL does not run as root"
        if user_id == 0
        else f"User id {user_id} has no name on this machine"
    )
    raise LocalServersError(
        f"{who}, and neither a user namespace nor another account can be had here.",
        "Run it as a user with a name, or use a PostgreSQL of your own: "
        "set the POSTGRESQL_* variables and CELERY_BROKER_URL.",
    )


def _works(command_prefix: tuple[str, ...], program: Path, data_dir: Path) -> bool:
    """Tell whether `program` runs this way and may write to `data_dir`: in a namespace root may not."""
    probe = ("/bin/sh", "-c", 'test -w "$1" && "$2" --version', "sh", str(data_dir), str(program))
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command of ours
            [*command_prefix, *probe], capture_output=True, cwd="/", check=False, timeout=10
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0
