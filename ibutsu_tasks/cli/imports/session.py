"""What `import` and `up --once` share: store files, send their messages, follow them, show the runs."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.cli.imports.files import FileImport, how_to_follow, result_of
from ibutsu_tasks.cli.imports.following import Follower
from ibutsu_tasks.cli.options import check_name
from ibutsu_tasks.cli.result import Note, Result
from ibutsu_tasks.errors import BrokerUnreachableError, InvalidImportError, UsageError
from ibutsu_tasks.operations.imports.projects import choose_project
from ibutsu_tasks.operations.imports.uploads import StoredUpload, store_upload
from ibutsu_tasks.sending import messages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.tasks.base import DatabaseCelery

DEFAULT_WAIT_SECONDS = 3600.0


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
    their way. Raises RefusedError for an unknown project, DatabaseUnreachableError and
    BrokerUnreachableError; the latter names what was stored and not sent.
    """
    messages.check_broker(app)
    if project is not None:
        with app.resources.session() as session:
            said["project_id"] = choose_project(session, project, create=create_project)
    return _finish(output, app, [_import_file(app, path, said) for path in files], wait_seconds)


def follow_imports(
    output: Output,
    app: DatabaseCelery,
    import_ids: Sequence[UUID],
    wait_seconds: float = DEFAULT_WAIT_SECONDS,
) -> Result:
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


def _import_file(app: DatabaseCelery, path: Path, said: Mapping[str, Any]) -> FileImport:
    reason = _reason_to_refuse(path)
    if reason:
        return _refused(path, reason)
    try:
        with app.resources.session() as session:
            stored = store_upload(session, path.name, path, **said)
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


def _finish(output: Output, app: DatabaseCelery, imports: list[FileImport], wait_seconds: float) -> Result:
    if wait_seconds <= 0:
        notes = map(Note, how_to_follow("The imports continue.", imports))
        return result_of(imports, _exit_code(imports, still_there=ExitCode.DONE), list(notes))
    try:
        Follower(output, app, imports).follow(wait_seconds)
    except KeyboardInterrupt:
        return Result(result_of(imports, ExitCode.INTERRUPTED).data, exit_code=ExitCode.INTERRUPTED)
    return result_of(imports, _exit_code(imports, still_there=ExitCode.TIMED_OUT))


def _exit_code(imports: Sequence[FileImport], *, still_there: ExitCode) -> ExitCode:
    if any(one.has_failed for one in imports):
        return ExitCode.BAD_NEWS
    return ExitCode.DONE if all(one.has_ended for one in imports) else still_there
