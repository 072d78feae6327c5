"""As whom PostgreSQL runs: it refuses root, and its initdb refuses a user id without a name.

An ordinary user starts it directly. Otherwise a user namespace gives it another user id while every
file stays ours. Where namespaces are switched off, root hands it to an unprivileged account, which
needs a copy of the programs and a home it can reach: both are made under /var/lib. No account is
created and no permission of a directory that is not ours is changed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ibutsu_tasks.errors import LocalServersError
from ibutsu_tasks.local.servers.directories import check_is_ours, reset_command, restore_mode

if TYPE_CHECKING:
    from ibutsu_tasks.local.servers.binaries import Binaries

ACCOUNT_HOME = Path("/var/lib/ibutsu-tasks")
CLUSTER_LINK = "postgresql"
ACCOUNTS = ("postgres", "nobody")

EXTERNAL_HINT = (
    "Run it as a user with a name, or use a PostgreSQL of your own: "
    "set the POSTGRESQL_* variables and CELERY_BROKER_URL."
)


@dataclass(frozen=True, slots=True)
class Placement:
    """How and where PostgreSQL runs: a command prefix or an account, its programs, its directories."""

    programs: Path
    cluster: Path
    socket_directory: Path
    command_prefix: tuple[str, ...] = ()
    user_id: int | None = None
    group_id: int | None = None


def choose_placement(
    binaries: Binaries, data_dir: Path, socket_directory: Path, *, force_account: bool = False
) -> Placement:
    """Choose how PostgreSQL runs on `data_dir`; what an earlier start chose is kept.

    Raises LocalServersError when this user cannot run it at all.
    """
    link = data_dir / CLUSTER_LINK
    if link.is_symlink():
        return _account_placement(binaries, data_dir, _known_home(link))
    direct = Placement(binaries.postgresql, link, socket_directory)
    if _is_ordinary_user():
        return direct
    prefix = () if force_account else _namespace_prefix(direct, data_dir)
    if prefix:
        return Placement(direct.programs, link, socket_directory, command_prefix=prefix)
    if os.geteuid() != 0:
        raise LocalServersError(
            f"User id {os.geteuid()} has no name on this machine and user namespaces are switched off, "
            "so PostgreSQL cannot run.",
            EXTERNAL_HINT,
        )
    if link.exists():
        raise LocalServersError(
            f"{link} was created in a user namespace, and those are switched off now.",
            f"Switch them on again, or start with empty data: {reset_command(data_dir)}.",
        )
    return _account_placement(binaries, data_dir, _new_home(link))


def check_cluster(data_dir: Path) -> None:
    """Raise LocalServersError when what lies in place of the PostgreSQL data was not made by this program."""
    link = data_dir / CLUSTER_LINK
    if link.is_symlink():
        _known_home(link)
    elif link.exists():
        restore_mode(link)
        check_is_ours(link)


def remove_cluster(data_dir: Path) -> None:
    """Remove the PostgreSQL data of `data_dir`, wherever they lie. The servers must be stopped.

    Raises LocalServersError as `check_cluster` does.
    """
    check_cluster(data_dir)
    link = data_dir / CLUSTER_LINK
    if link.is_symlink():
        shutil.rmtree(_known_home(link))
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)


def _is_ordinary_user() -> bool:
    try:
        return os.geteuid() != 0 and bool(pwd.getpwuid(os.geteuid()))
    except KeyError:
        return False


def _namespace_prefix(placement: Placement, data_dir: Path) -> tuple[str, ...]:
    """Give the command prefix that hides our user id, or () where it does not work.

    Inside the namespace root has no power over other people's files, so the attempt includes running
    the program and writing the data directory.
    """
    unshare = shutil.which("unshare")
    named = next((entry for entry in pwd.getpwall() if entry.pw_uid != 0 and entry.pw_name == "nobody"), None)
    if unshare is None or named is None:
        return ()
    prefix = (unshare, "--user", f"--map-user={named.pw_uid}", f"--map-group={named.pw_gid}", "--")
    probe = ["/bin/sh", "-c", 'test -w "$1" && "$2" --version', "sh"]
    program = str(placement.programs / "bin" / "postgres")
    done = subprocess.run(  # noqa: S603 - a fixed command of ours
        [*prefix, *probe, str(data_dir), program], capture_output=True, cwd="/", check=False, timeout=10
    )
    return prefix if done.returncode == 0 else ()


def _new_home(link: Path) -> Path:
    ACCOUNT_HOME.mkdir(parents=True, exist_ok=True, mode=0o711)
    home = Path(tempfile.mkdtemp(prefix="cluster-", dir=ACCOUNT_HOME))
    home.chmod(0o711)
    user_id, group_id = _account()
    sockets = home / "run"
    sockets.mkdir(mode=0o700)
    os.chown(sockets, user_id, group_id)
    link.symlink_to(home / "data")
    return home


def _known_home(link: Path) -> Path:
    home = link.readlink().parent
    if home.parent != ACCOUNT_HOME or not home.name.startswith("cluster-"):
        raise LocalServersError(
            f"{link} is a symbolic link to {link.readlink()}, which was not made by this program.",
            "Remove the link, or choose another --data-dir.",
        )
    return home


def _account_placement(binaries: Binaries, data_dir: Path, home: Path) -> Placement:
    sockets = home / "run"
    if not sockets.is_dir():
        raise LocalServersError(
            f"The PostgreSQL data in {home} are gone.", f"Start with empty data: {reset_command(data_dir)}."
        )
    owner = sockets.stat()
    return Placement(
        _programs_for_everyone(binaries),
        home / "data",
        sockets,
        user_id=owner.st_uid,
        group_id=owner.st_gid,
    )


def _account() -> tuple[int, int]:
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise LocalServersError(
        f"PostgreSQL does not run as root, and there is no account {' or '.join(ACCOUNTS)}.", EXTERNAL_HINT
    )


def _programs_for_everyone(binaries: Binaries) -> Path:
    """Copy the programs to where every account can read them, once per build of them."""
    build = (binaries.postgresql / "bin" / "postgres").stat()
    shared = ACCOUNT_HOME / f"programs-{build.st_size:x}-{build.st_mtime_ns:x}"
    if not shared.exists():
        ACCOUNT_HOME.mkdir(parents=True, exist_ok=True, mode=0o711)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=ACCOUNT_HOME))
        _copy_for_everyone(binaries, draft)
        draft.rename(shared)
    return shared / binaries.postgresql.parent.name / binaries.postgresql.name


def _copy_for_everyone(binaries: Binaries, target: Path) -> None:
    root = binaries.postgresql_libraries.parent
    for source in (binaries.postgresql, binaries.postgresql_libraries):
        if source.exists():
            shutil.copytree(source, target / source.relative_to(root), symlinks=True)
    target.chmod(0o755)
    for path in target.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
