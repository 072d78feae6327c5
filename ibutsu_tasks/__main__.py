"""The `ibutsu-tasks` command, also as `python -m ibutsu_tasks`."""

from __future__ import annotations

import sys
from contextlib import suppress

from ibutsu_tasks import __version__
from ibutsu_tasks.text import streams

INTERRUPTED = 130


def main() -> None:
    """Answer `--version` before anything is imported; leave the rest to the command line."""
    sink, code = streams.prepare(), INTERRUPTED
    # In the first moments, Ctrl-C comes while the command line is still being imported.
    with suppress(KeyboardInterrupt):
        code = _run()
    if problem := streams.problem(sink):
        sys.stderr.write(f"Error: {problem}\nTry: free space there, or write somewhere else.\n")
        code = code or 1
    sys.exit(code)


def _run() -> int:
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"ibutsu-tasks {__version__}\n")
        return 0
    from ibutsu_tasks.cli import main as run_command_line  # noqa: PLC0415 - keeps --version instant

    return run_command_line()


if __name__ == "__main__":
    if not sys.flags.safe_path:
        # With `-m` the working directory comes first; a redis.py there is not the library.
        del sys.path[0]
    main()
