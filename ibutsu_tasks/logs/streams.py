"""What a process writes past all logging becomes JSON objects too: prints, last words, tracebacks."""

from __future__ import annotations

import atexit
import io
import logging
import os
import re
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ibutsu_tasks.logs.lines import FACTS

if TYPE_CHECKING:
    from typing import TextIO

TRACEBACK = "Traceback (most recent call last):"

MAX_LINE_CHARACTERS = 64 * 1024
"""What waits for the end of its line: a progress bar may never end it."""

_SENTENCE = re.compile(r"(?P<level>Error|Warning): (?P<message>.*?)(?:\nTry: (?P<hint>.*))?\n", re.DOTALL)
"""What commands and roles say last, in one piece."""


class LinesAsRecords(io.TextIOBase):
    """Stands for stdout or stderr: each line becomes a record, and so does a whole traceback.

    `below` is the stream that takes the objects.
    """

    def __init__(self, name: str, below: TextIO) -> None:
        self.below = below
        self._logger = name
        self._pieces: list[str] = []
        self._characters = 0
        self._traceback: list[str] = []

    def write(self, text: str) -> int:
        """Take a piece of text; what follows its last line end waits for more, within bounds."""
        if sentence := _SENTENCE.fullmatch(text):
            # Somebody else's line that was never ended must not hide it.
            self.end()
            hint = {"hint": sentence["hint"]} if sentence["hint"] else {}
            say(sentence["level"].lower(), sentence["message"], self._logger, **hint)
            return len(text)
        self._pieces.append(text)
        self._characters += len(text)
        if "\n" in text or self._characters > MAX_LINE_CHARACTERS:
            self._take_lines()
        return len(text)

    def _take_lines(self) -> None:
        *lines, rest = "".join(self._pieces).split("\n")
        if len(rest) > MAX_LINE_CHARACTERS:
            lines, rest = [*lines, rest], ""
        self._pieces, self._characters = [rest], len(rest)
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """Write what waits for more."""
        if self._characters:
            self.write("\n")

    def _take(self, line: str) -> None:
        if self._traceback or line == TRACEBACK:
            self._traceback.append(line)
            if line == TRACEBACK or line.startswith(" "):
                return
            # The first line that is not indented names the error, and is the last one.
            say("error", line, self._logger, traceback="\n".join(self._traceback))
            self._traceback.clear()
        elif line.strip():
            say("info" if self._logger == "stdout" else "warning", line, self._logger)

    def fileno(self) -> int:
        """Give the number of the stream below."""
        return self.below.fileno()

    def flush(self) -> None:
        """Flush the stream below."""
        self.below.flush()

    def writable(self) -> bool:
        """Say yes."""
        return True


def bare(stream: Any) -> Any:
    """Give the stream below one that makes records."""
    return stream.below if isinstance(stream, LinesAsRecords) else stream


def take_over() -> None:
    """Have all that this process writes past logging become records from here on."""
    for name in ("stdout", "stderr"):
        if not isinstance(stream := getattr(sys, name), LinesAsRecords):
            lines = LinesAsRecords(name, stream)
            atexit.register(lines.end)
            setattr(sys, name, lines)
            setattr(sys, f"__{name}__", lines)
    sys.excepthook = _uncaught
    threading.excepthook = sys.unraisablehook = _uncaught_elsewhere
    # The signal handlers of a worker write to the terminal, for logging may hang there.
    if worker := sys.modules.get("celery.apps.worker"):
        vars(worker)["safe_say"] = _say_from_a_signal_handler


def say(level: str, message: str, logger: str = "ibutsu_tasks", **facts: Any) -> None:
    """Write a record with `facts` among its keys, whatever the level of the log."""
    _handle(_record(level, message, logger, facts))


def pass_on(line: str) -> None:
    """Write a line that is an object already."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.lock:
            with handler.lock:
                handler.stream.write(f"{line}\n")
                handler.flush()


def _record(level: str, message: str, logger: str, facts: Any) -> logging.LogRecord:
    number = logging.getLevelNamesMapping()[level.upper()]
    record = logging.LogRecord(logger, number, "", 0, message, None, None)
    setattr(record, FACTS, facts)
    return record


def _uncaught(kind: Any, error: Any, traceback: Any) -> None:
    record = _record("critical", f"uncaught {kind.__name__}: {error}", "ibutsu_tasks", {})
    record.exc_info = (kind, error, traceback)
    _handle(record)


def _uncaught_elsewhere(failed: Any) -> None:
    """Write an error that ended a thread, or that Python could hand to nobody."""
    _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)


def _handle(record: logging.LogRecord) -> None:
    logging.getLogger().handle(record)


def _say_from_a_signal_handler(message: str, *_: object) -> None:
    """Write a line as Celery does in its signal handlers, past all locks."""
    (handler,) = logging.getLogger().handlers
    line = handler.format(_record("info", message, "celery.apps.worker", {}))
    with suppress(OSError):
        os.write(2, f"{line}\n".encode())
