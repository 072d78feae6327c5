"""Following imports to their end: the database knows it, and workers publish their progress on Redis."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from ibutsu_tasks.broker import build_client
from ibutsu_tasks.cli.imports.bars import import_bars
from ibutsu_tasks.cli.imports.view import how_to_follow
from ibutsu_tasks.errors import ServiceUnreachableError
from ibutsu_tasks.job_updates import Listener
from ibutsu_tasks.operations.imports.outcomes import ENDED, read_outcomes
from ibutsu_tasks.sending import messages
from ibutsu_tasks.sending.results import ResultReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibutsu_tasks.cli.imports.bars import ImportBars
    from ibutsu_tasks.cli.imports.files import FileImport
    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.job_updates import JobUpdate
    from ibutsu_tasks.tasks.base import DatabaseCelery

WORKER_DOUBT_SECONDS = 3.0
"""After this long without any sign of work, the workers are asked whether there are any."""

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.1

LISTEN_TIMEOUT_SECONDS = 1.0
"""Progress is not worth a longer wait: the database is asked in any case."""


class Follower:
    """Asks the database how far the imports have come, until all have ended; listens in the pauses."""

    def __init__(self, output: Output, app: DatabaseCelery, imports: Sequence[FileImport]) -> None:
        self._output = output
        self._app = app
        self._imports = {str(one.import_id): one for one in imports if one.import_id}
        self._ended_by_word: set[str] = set()
        self._began = time.monotonic()
        self._has_asked = False
        self._cases = _CasesDone(app)

    def follow(self, timeout_seconds: float) -> None:
        """Follow with bars on stderr; end early when `timeout_seconds` have passed."""
        try:
            with (
                build_client(self._app.resources.settings.require_broker(), LISTEN_TIMEOUT_SECONDS) as client,
                closing(Listener(client)) as listener,
                import_bars(self._output) as bars,
            ):
                self._follow(listener, bars, timeout_seconds)
        except KeyboardInterrupt:
            self._say_how_to_follow("Interrupted; the imports continue.")
            raise
        self._say_how_to_follow(f"Not all imports have ended after {timeout_seconds:g} s; they continue.")

    def _say_how_to_follow(self, sentence: str) -> None:
        for line in how_to_follow(sentence, list(self._imports.values())):
            self._output.say(line)

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
                self._ended_by_word.add(update.import_id)
                bars.remove(update.import_id)
                if {str(open_.import_id) for open_ in self._open()} <= self._ended_by_word:
                    return
            elif update.done:
                bars.move(one.filename, update, self._cases.of(update))

    def _refresh(self) -> bool:
        """Read the state of the open imports; say whether there are any left."""
        waiting = self._open()
        with self._app.resources.session() as session:
            outcomes = read_outcomes(session, [one.import_id for one in waiting if one.import_id])
        for one, outcome in zip(waiting, outcomes, strict=True):
            one.see(outcome)
        return bool(self._open())

    def _open(self) -> list[FileImport]:
        return [one for one in self._imports.values() if not one.has_ended]

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _doubt_workers(self) -> None:
        if self._has_asked or self._seconds() < WORKER_DOUBT_SECONDS:
            return
        self._has_asked = True
        if any(one.status != "pending" for one in self._imports.values()):
            return
        try:
            answered = messages.consumed_queues(self._app)
        except ServiceUnreachableError:
            # The database still answers; that the broker went away is not what was asked for.
            return
        if not answered:
            self._output.say("[yellow]No worker answers.[/] Start one with `ibutsu-tasks worker`.")


class _CasesDone:
    """Reads from tasks' states how many test cases are done, until the result backend fails once."""

    def __init__(self, app: DatabaseCelery) -> None:
        self._app = app
        self._reader: ResultReader | None = None
        self._has_failed = False

    def of(self, update: JobUpdate) -> int | None:
        """Give the test cases done of the import behind an update; None when they are not known."""
        url = self._app.resources.settings.backend_url
        if self._has_failed or url is None:
            return None
        self._reader = self._reader or ResultReader(self._app, url)
        try:
            cases = self._reader.progress(update.task_id).get("cases")
        except ServiceUnreachableError:
            self._has_failed = True
            return None
        return cases if isinstance(cases, int) else None
