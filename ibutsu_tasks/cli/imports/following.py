"""Following imports to their end: the database knows it, and workers publish their progress on Redis."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.broker.job_updates import Listener
from ibutsu_tasks.cli.output.formats import format_bytes, shorten
from ibutsu_tasks.cli.output.queues import DOUBT_SECONDS, warn_if_unread
from ibutsu_tasks.ibutsu.operations.imports.records import ENDED, read_outcomes
from ibutsu_tasks.text.control_characters import visible
from ibutsu_tasks.text.words import counted
from ibutsu_tasks.wire_names import DEFAULT_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress, TaskID

    from ibutsu_tasks.broker.job_updates import JobUpdate
    from ibutsu_tasks.cli.imports.files import FileImport
    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.tasks.base import DatabaseCelery

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.1

LISTEN_TIMEOUT_SECONDS = 1.0
"""Progress is not worth a longer wait: the database is asked in any case."""

MAX_FILE_BARS = 8
"""As many fit below each other on any terminal; the other files are only counted."""

NAME_WIDTH = 20


@dataclass(slots=True)
class ImportBars:
    """One counts the files, and each large file that is being imported has its own."""

    _bars: Progress
    _files: TaskID
    _of_file: dict[str, TaskID] = field(default_factory=dict)

    def count(self, ended: int, total: int) -> None:
        """Show how many of the files have ended."""
        self._bars.update(
            self._files, completed=ended, total=total, amount=f"{ended:,}/{counted(total, 'file')}"
        )

    def move(self, name: str, update: JobUpdate) -> None:
        """Show how far the import of a file is, by its bytes."""
        bar = self._of_file.get(update.import_id)
        if bar is None and len(self._of_file) < MAX_FILE_BARS:
            shown = shorten(visible(name), NAME_WIDTH)
            bar = self._of_file[update.import_id] = self._bars.add_task(shown, amount="")
        if bar is not None:
            amount = f"{format_bytes(update.done)} of {format_bytes(update.total)}"
            self._bars.update(bar, completed=update.done, total=update.total, amount=amount)

    def remove(self, import_id: str) -> None:
        """Take away the bar of a file, whose import has ended."""
        bar = self._of_file.pop(import_id, None)
        if bar is not None:
            self._bars.remove_task(bar)


@contextmanager
def listening(app: DatabaseCelery) -> Iterator[Listener]:
    """Hear the workers within the block; one that opens before a file is sent misses no end."""
    with (
        build_client(app.resources.settings.require_broker(), LISTEN_TIMEOUT_SECONDS) as client,
        closing(Listener(client)) as listener,
    ):
        yield listener


class Ends:
    """Hears of imports that end while others are still being sent."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._sent: dict[str, FileImport] = {}

    def hear(self, sent: FileImport) -> None:
        """Take one more that was sent, and what workers have said by now."""
        self._sent[str(sent.import_id)] = sent
        for update in self._listener.heard():
            if update.status in ENDED and (one := self._sent.get(update.import_id)):
                one.hear_end()


class Follower:
    """Asks the database how far the imports have come, until all have ended; listens in the pauses."""

    def __init__(self, output: Output, app: DatabaseCelery, imports: Sequence[FileImport]) -> None:
        self._output = output
        self._app = app
        self._imports = {str(one.import_id): one for one in imports if one.import_id}
        self._open = {key: one for key, one in self._imports.items() if not one.has_ended}
        self._unheard = set(self._open)
        """Ids of the open imports that no worker said to have ended."""
        self._began = time.monotonic()
        self._has_asked = False

    def follow(self, listener: Listener, timeout_seconds: float) -> None:
        """Follow with bars on stderr; end early when `timeout_seconds` have passed."""
        with self._output.bars("{task.fields[amount]}") as bars:
            files = bars.add_task("importing", amount="")
            self._follow(listener, ImportBars(bars, files), timeout_seconds)

    def _follow(self, listener: Listener, bars: ImportBars, timeout_seconds: float) -> None:
        pause_seconds = FIRST_PAUSE_SECONDS
        while self._refresh():
            self._show(bars)
            if self._seconds() > timeout_seconds:
                return
            self._doubt_workers()
            self._listen(listener, bars, pause_seconds)
            pause_seconds = min(pause_seconds * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)

    def _show(self, bars: ImportBars) -> None:
        ended = [import_id for import_id, one in self._imports.items() if one.has_ended]
        bars.count(len(ended), len(self._imports))
        for import_id in ended:
            bars.remove(import_id)

    def _listen(self, listener: Listener, bars: ImportBars, pause_seconds: float) -> None:
        """Show the updates that arrive; leave early when all imports are said to have ended."""
        for update in listener.wait(pause_seconds):
            one = self._imports.get(update.import_id)
            if one is None:
                continue
            if update.status in ENDED:
                one.hear_end()
                self._unheard.discard(update.import_id)
                bars.remove(update.import_id)
                if not self._unheard:
                    return
            elif update.done:
                bars.move(one.filename, update)

    def _refresh(self) -> bool:
        """Read the state of the open imports; say whether there are any left."""
        waiting = list(self._open.values())
        with self._app.resources.session() as session:
            outcomes = read_outcomes(session, [one.import_id for one in waiting if one.import_id])
        for one, outcome in zip(waiting, outcomes, strict=True):
            one.see(outcome)
        self._open = {key: one for key, one in self._open.items() if not one.has_ended}
        self._unheard &= self._open.keys()
        return bool(self._open)

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _doubt_workers(self) -> None:
        if self._has_asked or self._seconds() < DOUBT_SECONDS:
            return
        self._has_asked = True
        if all(one.status == "pending" for one in self._imports.values()):
            warn_if_unread(self._output, self._app, DEFAULT_QUEUE)
