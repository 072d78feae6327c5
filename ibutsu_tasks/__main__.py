"""The `ibutsu-tasks` command, also as `python -m ibutsu_tasks`."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress

from ibutsu_tasks import __version__
from ibutsu_tasks.text import streams

INTERRUPTED = 130
TERMINATED = 143

FIRST_PROCESS = 1


class TerminatedError(BaseException):
    """SIGTERM came. No SystemExit: who loads task packages takes that for a fault of theirs, and goes on."""


def main() -> None:
    """Answer `--version` and plain probes before anything is imported; leave the rest to the command line."""
    # Python looks through everything once more at its end, which takes a third of a short command.
    atexit.register(gc.freeze)
    if os.getpid() == FIRST_PROCESS:
        _end_on_sigterm()
    sink, code = streams.prepare(), INTERRUPTED
    # In the first moments, Ctrl-C comes while the command line is still being imported.
    with suppress(KeyboardInterrupt):
        try:
            code = _run()
        except TerminatedError:
            code = TERMINATED
    if problem := streams.problem(sink):
        sys.stderr.write(f"Error: {problem}\nTry: free space there, or write somewhere else.\n")
        code = code or 1
    sys.exit(code)


def _end_on_sigterm() -> None:
    """Let SIGTERM end the first process of a container: Linux gives it no signal that it does not handle.

    Roles and commands that end in good order put their own handlers in its place.
    """
    import signal  # noqa: PLC0415 - no probe needs it

    def end(*_: object) -> None:
        raise TerminatedError

    signal.signal(signal.SIGTERM, end)


def _run() -> int:
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"ibutsu-tasks {__version__}\n")
        return 0
    if sys.argv[1:2] == ["probe"] and (code := _probe()) is not None:
        return code
    from ibutsu_tasks.cli import main as run_command_line  # noqa: PLC0415 - keeps --version instant

    return run_command_line()


def _probe() -> int | None:
    """Answer a plain probe; None when its words need the command line."""
    from ibutsu_tasks.health.probe import answer_plain, sentences  # noqa: PLC0415 - no other command needs it

    answers = answer_plain(sys.argv[1:], os.environ)
    if answers is None:
        return None
    sys.stdout.write("".join(f"{sentence}\n" for sentence in sentences(answers)))
    return 0 if all(answer.holds for answer in answers) else 1


if __name__ == "__main__":
    if not sys.flags.safe_path:
        # With `-m` the working directory comes first; a redis.py there is not the library.
        del sys.path[0]
    main()
