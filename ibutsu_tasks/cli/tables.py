"""How a table is drawn: one line a row, or two where the width does not suffice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table as RichTable
from rich.text import Text

from ibutsu_tasks.cli.formats import safe_markup, shorten, without_stand_ins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from ibutsu_tasks.cli.result import Table

GAP = 2
INDENT = "  "
MIN_NAME_WIDTH = 12


def read_markup(markup: str) -> Text:
    """Give a line of markup as styled text."""
    text = Text.from_markup(safe_markup(markup), emoji=False)
    text.plain = without_stand_ins(text.plain)
    return text


def draw(table: Table, width: int) -> RenderableType:
    """Give a table that fits `width` columns, as far as its own columns may be cut or wrapped."""
    rows = [[read_markup(cell) for cell in row] for row in table.rows]
    if table.heads and _width([*map(Text, table.columns)], rows) > width:
        return _two_lines_a_row(table, rows, width)
    drawn = RichTable(
        title=table.title, title_justify="left", title_style="bold", header_style="bold", box=None
    )
    for name in table.columns:
        drawn.add_column(
            name,
            justify="right" if name in table.right else "left",
            overflow="fold" if name in table.fold else "ellipsis",
            no_wrap=name not in table.fold,
        )
    for row in rows:
        drawn.add_row(*row)
    return drawn


def _width(head: Sequence[Text], rows: Sequence[Sequence[Text]]) -> int:
    return sum(max(cell.cell_len for cell in cells) + GAP for cells in zip(head, *rows, strict=True))


def _two_lines_a_row(table: Table, rows: Sequence[Sequence[Text]], width: int) -> Text:
    """Give the first columns of each row on one line, the first of them cut to fit, and the others below."""
    texts = [list(table.columns), *([cell.plain for cell in row] for row in rows)]
    upper = [row[: table.heads] for row in texts]
    lower = [row[table.heads :] if row is texts[0] else [*map(_tight, row[table.heads :])] for row in texts]
    others = max(len(" ".join(["", *row[1:]])) for row in upper)
    name_width = max(min(max(len(row[0]) for row in upper), width - others), MIN_NAME_WIDTH)
    widths = [max(map(len, cells)) for cells in zip(*lower, strict=True)]
    lines = []
    for above, below in zip(upper, lower, strict=True):
        lines.append(" ".join([shorten(above[0], name_width).ljust(name_width), *above[1:]]))
        cells = (cell.rjust(size) for cell, size in zip(below, widths, strict=True))
        lines.append(INDENT + " ".join(cells))
    text = Text("\n").join(map(Text, lines))
    text.stylize("bold", 0, len("\n".join(lines[:2])))
    return text


def _tight(cell: str) -> str:
    """Write `3 min 20 s` as `3m20s`."""
    return cell.replace(" min ", "m").replace(" ", "")
