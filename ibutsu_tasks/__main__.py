"""The `ibutsu-tasks` command, also as `python -m ibutsu_tasks`."""

from __future__ import annotations

import sys

from ibutsu_tasks import __version__


def main() -> None:
    """Answer `--version` before anything is imported; leave the rest to the command line."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"ibutsu-tasks {__version__}\n")
        return
    from ibutsu_tasks.cli import main as run_command_line  # noqa: PLC0415 - keeps --version instant

    sys.exit(run_command_line())


if __name__ == "__main__":
    if not sys.flags.safe_path:
        # With `-m` the working directory comes first; a redis.py there is not the library.
        del sys.path[0]
    main()
