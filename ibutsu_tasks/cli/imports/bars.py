"""The bars of `import`: one counts the files, and each large file that is being imported has its own."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ibutsu_tasks.cli.formats import format_bytes, shorten, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

    from ibutsu_tasks.cli.output import Output
    from ibutsu_tasks.job_updates import JobUpdate

MAX_FILE_BARS = 8
"""As many fit below each other on any terminal; the other files are only counted."""

NAME_WIDTH = 20


@dataclass(slots=True)
class ImportBars:
    """Bars on a terminal, nothing elsewhere."""

    _bars: Progress
    _files: TaskID
    _of_file: dict[str, TaskID] = field(default_factory=dict)

    def count(self, ended: int, total: int) -> None:
        """Show how many of the files have ended."""
        self._bars.update(self._files, completed=ended, total=total, amount=f"{ended:,}/{total:,} files")

    def move(self, name: str, update: JobUpdate, cases: int | None) -> None:
        """Show how far the import of a file is: by its bytes, and by its test cases when they are known."""
        bar = self._bar(name, update)
        if bar is not None:
            amount = f"{format_bytes(update.done)} of {format_bytes(update.total)}"
            amount += "" if cases is None else f", {cases:,} tests"
            self._bars.update(bar, completed=update.done, total=update.total, amount=amount)

    def remove(self, import_id: str) -> None:
        """Take away the bar of a file, whose import has ended."""
        bar = self._of_file.pop(import_id, None)
        if bar is not None:
            self._bars.remove_task(bar)

    def _bar(self, name: str, update: JobUpdate) -> TaskID | None:
        known = self._of_file.get(update.import_id)
        if known is not None or len(self._of_file) >= MAX_FILE_BARS:
            return known
        shown = shorten(visible(name), NAME_WIDTH)
        bar = self._of_file[update.import_id] = self._bars.add_task(shown, amount="")
        return bar


@contextmanager
def import_bars(output: Output) -> Iterator[ImportBars]:
    """Show the bars while the block runs."""
    with output.bars() as bars:
        yield ImportBars(bars, bars.add_task("importing", amount=""))
