"""How tables and sentences fit a width: lines are broken at spaces alone, and nothing is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from ibutsu_tasks.cli.output.formats import safe_markup, without_stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from ibutsu_tasks.cli.output.result import Table

GAP = 2
INDENT = "  "


def read_markup(markup: str) -> Text:
    """Give a line of markup as styled text."""
    text = Text.from_markup(safe_markup(markup), emoji=False)
    text.plain = without_stand_ins(text.plain)
    return text


def wrapped(text: Text, width: int) -> Text:
    """Give lines of text that fit `width` columns, as far as no word is wider; each keeps its indentation."""
    lines: list[Text] = []
    for line in text.split("\n", allow_blank=True):
        indent = " " * (len(line) - len(line.plain.lstrip(" ")))
        lines += list(_filled([line[len(indent) :]], width, indent)) or [line]
    return Text("\n").join(lines)


def draw(table: Table, width: int) -> RenderableType:
    """Give a table that fits `width` columns, as far as no word is wider."""
    head = [Text(name) for name in table.columns]
    rows = [[read_markup(cell) for cell in row] for row in table.rows]
    columns = list(zip(head, *rows, strict=True))
    least = [
        max(map(_longest_word if name in table.fold else _width, column))
        for name, column in zip(table.columns, columns, strict=True)
    ]
    room = width - sum(least) - GAP * len(least)
    if room < 0:
        return _stack(table, [head, *rows], width)
    drawn = RichTable(header_style="bold", box=None)
    wanted = [max(map(_width, column)) for column in columns]
    for name, size in zip(table.columns, _share(room, least, wanted), strict=True):
        drawn.add_column(name, justify="right" if name in table.right else "left", width=size)
    for row in rows:
        drawn.add_row(*row)
    return Group(*_title(table, width), drawn)


def _title(table: Table, width: int) -> list[Text]:
    return [wrapped(read_markup(f"[bold]{table.title}[/]"), width)] if table.title else []


def _width(text: Text) -> int:
    return text.cell_len


def _longest_word(text: Text) -> int:
    return max((Text(word).cell_len for word in text.plain.split()), default=0)


def _share(room: int, least: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Give the widths of columns that share some room, those that want little first."""
    widths = list(least)
    by_need = sorted(range(len(widths)), key=lambda number: wanted[number] - least[number])
    for done, number in enumerate(by_need):
        more = min(wanted[number] - least[number], room // (len(widths) - done))
        widths[number] += more
        room -= more
    return widths


def _stack(table: Table, rows: Sequence[Sequence[Text]], width: int) -> Text:
    """Give the first columns of each row on one line, and the others below, aligned if they fit on one."""
    heads = table.heads
    numbers = [name in table.right for name in table.columns[heads:]]
    below = [
        [
            _tight(cell) if is_number else cell.copy()
            for cell, is_number in zip(row[heads:], numbers, strict=True)
        ]
        for row in rows
    ]
    sizes = [max(map(_width, column)) for column in zip(*below, strict=True)]
    is_aligned = len(INDENT) + sum(sizes) + len(sizes) - 1 <= width
    lines = _title(table, width)
    for row, cells in zip(rows, below, strict=True):
        for cell, size in zip(cells, sizes, strict=True):
            if is_aligned:
                cell.pad_left(size - cell.cell_len)
        filled = [*_filled(row[:heads], width, ""), *_filled(cells, width, INDENT)]
        if row is rows[0]:
            for line in filled:
                line.stylize("bold")
        lines += filled
    return Text("\n").join(lines)


def _filled(cells: Sequence[Text], width: int, indent: str) -> Iterator[Text]:
    """Give the cells on as few lines as they fit on; a wider one begins a line and is broken at spaces."""
    line = Text(indent)
    for cell in cells:
        is_wide = len(indent) + cell.cell_len > width
        for number, piece in enumerate(cell.split(" ", allow_blank=True) if is_wide else [cell]):
            begins = is_wide and number == 0
            if len(line) > len(indent) and (begins or line.cell_len + 1 + piece.cell_len > width):
                yield line
                line = Text(indent)
            if len(line) > len(indent):
                line.append(" ")
            line.append_text(piece)
    if len(line) > len(indent):
        yield line


def _tight(cell: Text) -> Text:
    """Write `3 min 20 s` as `3m20s`."""
    return Text(cell.plain.replace(" min ", "m").replace(" ", ""))
