"""How imports look: one table of the runs made, a sentence for each file that made none."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ibutsu_tasks.cli.formats import NO_VALUE, format_seconds, plain
from ibutsu_tasks.cli.imports.files import NUMBERS
from ibutsu_tasks.cli.result import Result, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ibutsu_tasks.cli.exit_codes import ExitCode
    from ibutsu_tasks.cli.imports.files import FileImport
    from ibutsu_tasks.cli.result import Block

MAX_WARNINGS = 3
MAX_IDS = 5
"""As many imports are named for `--follow`; more would fill the terminal."""

COLUMNS = (*NUMBERS, "pass %", "duration", "took")


def result_of(imports: Sequence[FileImport], exit_code: ExitCode, notes: Sequence[Block] = ()) -> Result:
    """Give what became of the files: a table of the runs, and sentences about the others."""
    names = _tell_apart(imports)
    rows = [_cells(one, name) for one, name in zip(imports, names, strict=True) if not one.has_failed]
    table = [Table(["file", "run id", *COLUMNS], rows, right=COLUMNS, heads=2)] if rows else []
    findings = [each for one, name in zip(imports, names, strict=True) for each in _findings(one, name)]
    return Result({"imports": [one.as_json() for one in imports]}, [*table, *notes], findings, exit_code)


def how_to_follow(sentence: str, imports: Sequence[FileImport]) -> list[str]:
    """Name the imports that have not ended behind a sentence; the first few, the JSON document has all."""
    ids = [one.import_id for one in imports if not one.has_ended]
    if not ids:
        return []
    command = " ".join(["ibutsu-tasks import", *(f"--follow {one}" for one in ids[:MAX_IDS])])
    rest = f" and {len(ids) - MAX_IDS} more; --json lists all" if len(ids) > MAX_IDS else ""
    return [f"[yellow]{plain(sentence)}[/] Look again with: {command}{rest}"]


def _tell_apart(imports: Sequence[FileImport]) -> list[str]:
    """Give each file's name, or what it was asked for by where several have the same."""
    counts = Counter(one.filename for one in imports)
    asked = [one.path or str(one.import_id or one.filename) for one in imports]
    return [
        one.filename if counts[one.filename] == 1 else path for one, path in zip(imports, asked, strict=True)
    ]


def _cells(one: FileImport, name: str) -> list[str]:
    facts = one.as_json()
    run_id = facts["run_id"] or f"({one.status})"
    percent = NO_VALUE if facts["pass_percent"] is None else f"{facts['pass_percent']} %"
    return [
        plain(name),
        run_id,
        *(NO_VALUE if facts[name] is None else str(facts[name]) for name in NUMBERS),
        percent,
        format_seconds(facts["duration_seconds"]),
        format_seconds(one.took_seconds),
    ]


def _findings(one: FileImport, name: str) -> Iterator[str]:
    if one.error:
        yield f"[bold red]Not imported:[/] {plain(_named(one.error, name))}"
        return
    if one.outcome and one.outcome.partial:
        yield f"[bold yellow]Imported in part:[/] {plain(_named(one.outcome.partial, name))}"
    warnings = one.outcome.warnings if one.outcome else ()
    for warning in warnings[:MAX_WARNINGS]:
        yield f"[yellow]Warning:[/] {plain(f'{name}: {warning}')}"
    if len(warnings) > MAX_WARNINGS:
        yield f"[yellow]Warning:[/] {plain(name)}: and {len(warnings) - MAX_WARNINGS} more"


def _named(sentence: str, name: str) -> str:
    """Name the file, as most sentences do themselves; one about a killed worker does not."""
    return sentence if name in sentence else f"{name}: {sentence}"
