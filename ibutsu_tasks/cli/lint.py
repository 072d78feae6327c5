"""Look into files without any service: what an import would make of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.cli import lint_view
from ibutsu_tasks.cli.exit_codes import ExitCode
from ibutsu_tasks.importers.linting import Lint, lint
from ibutsu_tasks.importers.parsed import ImportLimits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.settings import Settings


def lint_files(output: Output, settings: Settings, files: Sequence[Path]) -> ExitCode:
    """Show what was found in each file; BAD_NEWS when one would not import."""
    limits = ImportLimits(
        unpacked_bytes=settings.import_max_unpacked_bytes, members=settings.import_max_members
    )
    documents = []
    failed = False
    for path in files:
        found = _lint_file(output, path, limits)
        failed = failed or found.error is not None
        if output.json_wanted:
            documents.append(lint_view.as_json(found))
        else:
            lint_view.show(output, found)
    if output.json_wanted:
        output.show_json({"files": documents})
    return ExitCode.BAD_NEWS if failed else ExitCode.DONE


def _lint_file(output: Output, path: Path, limits: ImportLimits) -> Lint:
    name = str(path)
    if path.exists() and not path.is_file():
        kind = "is a directory" if path.is_dir() else "is no regular file"
        return Lint(name, 0, error=f"{name} {kind}.")
    try:
        with path.open("rb") as content, output.progress(path.name) as (bar, task):
            return lint(
                content,
                name,
                path.stat().st_size,
                limits,
                lambda results: bar.update(task, completed=results),
            )
    except OSError as error:
        return Lint(name, 0, error=f"{name} cannot be read: {error.strerror or error}.")
