"""What `import` and `up --once` share: store files, send their messages, follow them, show the runs."""

from __future__ import annotations

import json
import stat
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ibutsu_tasks.cli import import_view
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.import_view import FileImport
from ibutsu_tasks.cli.options import check_name
from ibutsu_tasks.cli.output import plain
from ibutsu_tasks.errors import (
    BrokerUnreachableError,
    InvalidImportError,
    ServiceUnreachableError,
    UsageError,
)
from ibutsu_tasks.operations.chosen_project import choose_project
from ibutsu_tasks.operations.following import read_outcomes
from ibutsu_tasks.operations.uploads import StoredUpload, UploadRequest, store_upload
from ibutsu_tasks.sending import messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.tasks.base import DatabaseCelery

DEFAULT_WAIT_SECONDS = 3600.0
WORKER_DOUBT_SECONDS = 3.0
"""After this long without any sign of work, the workers are asked whether there are any."""

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 1.0
PAUSE_GROWTH = 1.1

MAX_IDS = 5
"""As many imports are named for `--follow`; more would fill the terminal."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What goes along with every file, and how long the command stays."""

    project: str | None = None
    create_project: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    source: str | None = None
    keeps_partial: bool = False
    wait_seconds: float = DEFAULT_WAIT_SECONDS
    """0: send and do not wait."""


def import_files(
    output: Output, app: DatabaseCelery, files: Sequence[Path], options: ImportOptions | None = None
) -> ExitCode:
    """Send `files` through the queue and show the runs they became; `app` is a `create_client_app`.

    Gives DONE when all were imported, BAD_NEWS when some were not, TIMED_OUT when some are still on
    their way. Raises RefusedError for an unknown project, DatabaseUnreachableError and
    BrokerUnreachableError; the latter names what was stored and not sent.
    """
    options = options or ImportOptions()
    messages.check_broker(app)
    project_id = _choose_project(app, options)
    imports = [_import_file(app, path, project_id, options) for path in files]
    return _finish(output, app, imports, options.wait_seconds)


def follow_imports(
    output: Output,
    app: DatabaseCelery,
    import_ids: Sequence[UUID],
    wait_seconds: float = DEFAULT_WAIT_SECONDS,
) -> ExitCode:
    """Follow imports that were sent before, and end as `import_files` does."""
    imports = [FileImport(str(import_id), import_id=import_id) for import_id in import_ids]
    return _finish(output, app, imports, wait_seconds)


def refuse_unreadable(files: Sequence[Path]) -> list[FileImport]:
    """Give those of `files` that can be refused without any service, each with its sentence."""
    found = [(path, _reason_to_refuse(path)) for path in files]
    return [_refused(path, reason) for path, reason in found if reason]


def check_project(name: str, *, create: bool) -> None:
    """Raise UsageError for an empty name, or one that no project may be created with."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError("--project is no UTF-8 text.") from None
    if create or not name.strip():
        check_name("--project", name)


def parse_metadata(assignments: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` words; a value that parses as JSON is JSON, any other is text.

    Raises UsageError for a word without a key and `=`, or a key given twice.
    """
    metadata: dict[str, Any] = {}
    for word in assignments:
        key, separator, text = word.partition("=")
        if not separator or not key:
            raise UsageError(f"--metadata {word!r} is not of the form KEY=VALUE.")
        if key in metadata:
            raise UsageError(f"--metadata {key} is given twice.")
        try:
            metadata[key] = json.loads(text)
        except ValueError:
            metadata[key] = text
    return metadata


def parse_ids(words: Sequence[str]) -> list[UUID]:
    """Read the ids of imports. Raises UsageError for one that is none."""
    try:
        return [UUID(word) for word in words]
    except ValueError:
        raise UsageError("--follow needs the id of an import, such as --json shows.") from None


def _choose_project(app: DatabaseCelery, options: ImportOptions) -> UUID | None:
    if options.project is None:
        return None
    with app.resources.session() as session:
        return choose_project(session, options.project, create=options.create_project)


def _import_file(
    app: DatabaseCelery, path: Path, project_id: UUID | None, options: ImportOptions
) -> FileImport:
    reason = _reason_to_refuse(path)
    if reason:
        return _refused(path, reason)
    request = UploadRequest(
        path.name,
        path,
        project_id=project_id,
        metadata=options.metadata or None,
        source=options.source,
        keeps_partial=options.keeps_partial,
    )
    try:
        with app.resources.session() as session:
            stored = store_upload(session, request)
    except InvalidImportError as error:
        return _refused(path, str(error))
    _publish(app, path, stored)
    return FileImport(path.name, str(path), import_id=stored.import_id)


def _refused(path: Path, reason: str) -> FileImport:
    return FileImport(path.name or str(path), str(path), refusal=reason)


def _reason_to_refuse(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return f"{path} is a directory."
        # To open a pipe is to wait for its other end.
        if not stat.S_ISREG(mode):
            return f"{path} is no regular file."
        path.open("rb").close()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    return None


def _publish(app: DatabaseCelery, path: Path, stored: StoredUpload) -> None:
    try:
        messages.send(app, stored.wire_name, [stored.message])
    except BrokerUnreachableError as error:
        task = stored.wire_name.rpartition(".")[2]
        raise BrokerUnreachableError(
            f"{path} is stored and stays pending, for its message could not be sent: {error}",
            f"""Send it later: ibutsu-tasks enqueue {task} import_='{{"id": "{stored.import_id}"}}'""",
        ) from error


def _finish(output: Output, app: DatabaseCelery, imports: list[FileImport], wait_seconds: float) -> ExitCode:
    try:
        if wait_seconds > 0:
            _Follower(output, app, imports).follow(wait_seconds)
    except KeyboardInterrupt:
        if output.json_wanted:
            import_view.show(output, imports)
        raise
    import_view.show(output, imports)
    if wait_seconds <= 0 and not output.json_wanted:
        _say_how_to_look(output, "The imports go on.", imports)
    if any(one.has_failed for one in imports):
        return ExitCode.BAD_NEWS
    still_there = wait_seconds > 0 and any(not one.has_ended for one in imports)
    return ExitCode.TIMED_OUT if still_there else ExitCode.DONE


def _say_how_to_look(output: Output, sentence: str, imports: Sequence[FileImport]) -> None:
    """Name the imports that have not ended; the first few, where the rest is in the JSON document."""
    ids = [one.import_id for one in imports if not one.has_ended]
    if not ids:
        return
    command = " ".join(["ibutsu-tasks import", *(f"--follow {one}" for one in ids[:MAX_IDS])])
    rest = f" and {len(ids) - MAX_IDS} more; --json lists all" if len(ids) > MAX_IDS else ""
    output.say(f"[yellow]{plain(sentence)}[/] Look again with: {command}{rest}")


class _Follower:
    """Asks the database how far the imports have come, until all have ended."""

    def __init__(self, output: Output, app: DatabaseCelery, imports: list[FileImport]) -> None:
        self._output = output
        self._app = app
        self._imports = [one for one in imports if one.import_id]
        self._began = time.monotonic()
        self._has_asked = False

    def follow(self, timeout_seconds: float) -> None:
        """Follow with a bar on stderr; end early when `timeout_seconds` have passed."""
        try:
            with self._output.progress("importing", total=len(self._imports)) as (bar, bar_task):
                pause_seconds = FIRST_PAUSE_SECONDS
                while self._refresh():
                    bar.update(bar_task, completed=len(self._imports) - len(self._open()))
                    if self._seconds() > timeout_seconds:
                        break
                    self._doubt_workers()
                    time.sleep(pause_seconds)
                    pause_seconds = min(pause_seconds * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)
        except KeyboardInterrupt:
            _say_how_to_look(self._output, "Interrupted; the imports go on.", self._imports)
            raise
        if self._open():
            sentence = f"Not all imports have ended after {timeout_seconds:g} s; they go on."
            _say_how_to_look(self._output, sentence, self._imports)

    def _refresh(self) -> bool:
        """Read the state of the open imports; say whether there are any left."""
        waiting = self._open()
        with self._app.resources.session() as session:
            outcomes = read_outcomes(session, [one.import_id for one in waiting if one.import_id])
        for one, outcome in zip(waiting, outcomes, strict=True):
            one.outcome = outcome
            one.filename = outcome.filename or one.filename
            if outcome.has_ended:
                one.took_seconds = time.monotonic() - one.began
        return bool(self._open())

    def _open(self) -> list[FileImport]:
        return [one for one in self._imports if not one.has_ended]

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _doubt_workers(self) -> None:
        if self._has_asked or self._seconds() < WORKER_DOUBT_SECONDS:
            return
        self._has_asked = True
        if any(one.status != "pending" for one in self._imports):
            return
        try:
            answered = messages.consumed_queues(self._app)
        except ServiceUnreachableError:
            # The database goes on telling; that the broker went away is not what was asked for.
            return
        if not answered:
            self._output.say("[yellow]No worker answers.[/] Start one with `ibutsu-tasks worker`.")
