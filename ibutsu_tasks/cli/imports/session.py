"""What `import` and `up --once` share: store files, send their messages, follow them, show the runs."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copyfileobj
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ibutsu_tasks.cli.exit_codes import SIGNALLED, ExitCode
from ibutsu_tasks.cli.imports.files import FileImport, how_to_follow, result_of
from ibutsu_tasks.cli.imports.following import Ends, Follower, listening
from ibutsu_tasks.cli.options import check_name
from ibutsu_tasks.cli.output.formats import plain
from ibutsu_tasks.cli.output.result import Note, Result, failure
from ibutsu_tasks.errors import (
    BrokerUnreachableError,
    InvalidImportError,
    ServiceUnreachableError,
    UsageError,
)
from ibutsu_tasks.ibutsu.importers.formats import formats
from ibutsu_tasks.ibutsu.operations.imports.projects import choose_project
from ibutsu_tasks.ibutsu.operations.imports.uploads import StoredUpload, store_upload
from ibutsu_tasks.local.stop_signals import StopSignals
from ibutsu_tasks.sending import messages
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ibutsu_tasks.broker.job_updates import Listener
    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.tasks.base import DatabaseCelery

DEFAULT_WAIT_SECONDS = 3600.0

STDIN, STDIN_NAME = "-", "stdin"
"""The file that stands for stdin, and the name its import gets."""


def import_files(
    output: Output,
    app: DatabaseCelery,
    files: Sequence[Path],
    *,
    project: str | None = None,
    create_project: bool = False,
    wait_seconds: float = DEFAULT_WAIT_SECONDS,
    **said: Any,
) -> Result:
    """Send `files` through the queue and give the runs they became; `app` is a `create_client_app`.

    What is `said` of every file is that of `store_upload`; with 0 `wait_seconds` they are sent and left.
    Ends in DONE when all were imported, BAD_NEWS when some were not, TIMED_OUT when some are still on
    their way. Once a file is sent, an error or a signal ends it with what was sent until then: the first
    signal when the next file is in the queue, a second one at once. Raises UsageError when there is nothing
    that imports, RefusedError for an unknown project, DatabaseUnreachableError and BrokerUnreachableError;
    the latter names what was stored and not sent.
    """
    formats()
    messages.check_broker(app)
    if project is not None:
        with app.resources.session() as session:
            said["project_id"] = choose_project(session, project, create=create_project)
    with listening(app) as listener:
        return _import_files(output, app, listener, files, said, wait_seconds)


def _import_files(
    output: Output,
    app: DatabaseCelery,
    listener: Listener,
    files: Sequence[Path],
    said: Mapping[str, Any],
    wait_seconds: float,
) -> Result:
    imports: list[FileImport] = []
    signals, ends = StopSignals(SIGNALLED, only_first=True), Ends(listener)
    try:
        with signals:
            unsent = iter(files)
            while not signals.requested and (path := next(unsent, None)):
                imports.append(_import_file(app, path, said, signals))
                ends.hear(imports[-1])
    except KeyboardInterrupt:
        return _stopped(imports, files, signals)
    except ServiceUnreachableError as error:
        if not any(one.import_id for one in imports):
            raise
        return _failed(imports, files, error)
    if signals.requested:
        return _stopped(imports, files, signals)
    return _finish(output, app, listener, imports, wait_seconds)


def follow_imports(
    output: Output,
    app: DatabaseCelery,
    import_ids: Sequence[UUID],
    wait_seconds: float = DEFAULT_WAIT_SECONDS,
) -> Result:
    """Follow imports that were sent before, and end as `import_files` does."""
    imports = [FileImport(str(import_id), import_id=import_id) for import_id in import_ids]
    with listening(app) as listener:
        return _finish(output, app, listener, imports, wait_seconds)


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
            raise UsageError(f"--metadata {cut(word)!r} is not of the form KEY=VALUE.")
        if key in metadata:
            raise UsageError(f"--metadata {key} is given twice.")
        try:
            metadata[key] = json.loads(text)
        except ValueError:
            metadata[key] = text
    return metadata


def parse_ids(words: Sequence[str], what: str = "--follow") -> list[UUID]:
    """Read the ids of imports, given to `what`. Raises UsageError for one that is none."""
    try:
        return [UUID(word) for word in words]
    except ValueError:
        raise UsageError(f"{what} needs the id of an import, such as --json shows.") from None


def _import_file(
    app: DatabaseCelery, path: Path, said: Mapping[str, Any], signals: StopSignals
) -> FileImport:
    if str(path) == STDIN:
        with NamedTemporaryFile() as spooled:
            with signals.interrupting():
                copyfileobj(sys.stdin.buffer, spooled)
            spooled.flush()
            return _send_file(app, path, Path(spooled.name), STDIN_NAME, said)
    reason = _reason_to_refuse(path)
    return _refused(path, reason) if reason else _send_file(app, path, path, path.name, said)


def _send_file(
    app: DatabaseCelery, path: Path, content: Path, name: str, said: Mapping[str, Any]
) -> FileImport:
    try:
        with app.resources.session() as session:
            stored = store_upload(session, name, content, **said)
    except InvalidImportError as error:
        return _refused(path, str(error))
    task_id = _publish(app, path, stored)
    return FileImport(name, str(path), import_id=stored.import_id, task_id=task_id)


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


def _publish(app: DatabaseCelery, path: Path, stored: StoredUpload) -> str:
    try:
        return messages.send(app, stored.wire_name, [stored.message])
    except BrokerUnreachableError as error:
        task = stored.wire_name.rpartition(".")[2]
        raise BrokerUnreachableError(
            f"{path} is stored and stays pending, for its message could not be sent: {error}",
            f"""Send it later: ibutsu-tasks enqueue {task} import_='{{"id": "{stored.import_id}"}}'""",
        ) from error


def _finish(
    output: Output, app: DatabaseCelery, listener: Listener, imports: list[FileImport], wait_seconds: float
) -> Result:
    if wait_seconds <= 0:
        notes = map(Note, how_to_follow("The imports continue.", imports))
        return result_of(imports, _exit_code(imports, still_there=ExitCode.DONE), list(notes))
    signals = StopSignals(SIGNALLED, only_first=True)
    try:
        with signals, signals.interrupting():
            Follower(output, app, imports).follow(listener, wait_seconds)
    except KeyboardInterrupt:
        return _stopped(imports, (), signals)
    except ServiceUnreachableError as error:
        return _failed(imports, (), error)
    late = how_to_follow(f"Not all imports have ended after {wait_seconds:g} s; they continue.", imports)
    result = result_of(imports, _exit_code(imports, still_there=ExitCode.TIMED_OUT))
    return replace(result, messages=[*result.messages, *late])


def _stopped(imports: Sequence[FileImport], files: Sequence[Path], signals: StopSignals) -> Result:
    """Give what a signal ended, before all of `files` were sent or while they were followed."""
    code = SIGNALLED[signals.first] if signals.first else ExitCode.INTERRUPTED
    sent = how_to_follow("Interrupted; the imports continue.", imports, most=len(imports))
    return Result(_data(imports, files), messages=[*sent, *_not_sent(imports, files)], exit_code=code)


def _failed(imports: Sequence[FileImport], files: Sequence[Path], error: ServiceUnreachableError) -> Result:
    """Give what an error ended, before all of `files` were sent or while they were followed."""
    failed = failure(error, _data(imports, files))
    sent = how_to_follow("What was sent before continues.", imports, most=len(imports))
    return replace(failed, messages=[*failed.messages, *sent, *_not_sent(imports, files)])


def _data(imports: Sequence[FileImport], files: Sequence[Path]) -> dict[str, Any]:
    return {"imports": [one.as_json() for one in imports], "not_sent": [*map(str, files[len(imports) :])]}


def _not_sent(imports: Sequence[FileImport], files: Sequence[Path]) -> list[str]:
    rest = files[len(imports) :]
    if not rest:
        return []
    others = f" and all after it, {len(rest):,} in all" if len(rest) > 1 else ""
    return [f"[yellow]Not sent:[/] {plain(str(rest[0]))}{others}."]


def _exit_code(imports: Sequence[FileImport], *, still_there: ExitCode) -> ExitCode:
    if any(one.has_failed for one in imports):
        return ExitCode.BAD_NEWS
    return ExitCode.DONE if all(one.has_ended for one in imports) else still_there
