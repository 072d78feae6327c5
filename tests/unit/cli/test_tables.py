from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ibutsu_tasks.cli.output import Output
from ibutsu_tasks.cli.output.result import Result, Table

HISTORY = Table(
    ["started (UTC)", "rule", "rows", "size", "took", "by", "end"],
    [
        [
            "2026-11-26 12:00",
            "results",
            "1,234,567,890",
            "12.5 GB",
            "2 h 13 min",
            "command",
            "[red]failed[/]",
        ],
        ["2026-11-26 12:00", "files", "4", "1 B", "4 ms", "task", "done"],
    ],
    "The last prunes",
    right=["rows", "size", "took"],
    heads=2,
)
SENTENCES = Table(
    ["check", "what was seen"],
    [["database", "PostgreSQL at db.example.com:5432 (database ibutsu) did not answer within 5 s."]],
    "What was seen at postgresql.example.com:5432 (database ibutsu), which many words are about",
    fold=["what was seen"],
)
FINDINGS = Table(
    ["", "check", "code", "what was seen"],
    [
        ["[red]✗[/]", "database", "IBT-D02", "PostgreSQL at db.example.com:5432 did not answer within 5 s."],
        ["", "", "", "[bold]Try:[/] Check POSTGRESQL_HOST and what lies between (firewall, policy)."],
    ],
    fold=["what was seen"],
    heads=3,
)
WORDS = st.text("ab1,. ", min_size=1, max_size=40).map(lambda text: " ".join(text.split()))


def drawn(table: Table, width: int) -> str:
    output, stream = Output(), io.StringIO()
    output.stdout = Console(file=stream, width=width, highlight=False, emoji=False)
    output.render(Result(blocks=[table]))
    return stream.getvalue()


@pytest.mark.parametrize("table", [HISTORY, SENTENCES, FINDINGS])
@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_word_is_cut_or_broken(table: Table, width: int) -> None:
    shown = drawn(table, width)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    words = shown.split()
    for row in table.rows:
        for name, cell in zip(table.columns, row, strict=True):
            plain = cell.replace("[red]", "").replace("[bold]", "").replace("[/]", "")
            tight = plain.replace(" min ", "m").replace(" ", "")
            assert (
                tight in words if name in table.right and tight in words else set(plain.split()) <= set(words)
            )


def test_rows_are_stacked_where_they_do_not_fit() -> None:
    lines = drawn(HISTORY, 60).splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["The", "last", "prunes"],
        ["started", "(UTC)", "rule"],
        ["rows", "size", "took", "by", "end"],
    ]
    assert lines[3].split() == ["2026-11-26", "12:00", "results"]
    assert lines[4].split() == ["1,234,567,890", "12.5GB", "2h13min", "command", "failed"]


def test_a_wide_cell_is_broken_at_spaces_below_what_it_is_about() -> None:
    assert drawn(FINDINGS, 30).splitlines()[:4] == [
        "check code",
        "  what was seen",
        "✗ database IBT-D02",
        "  PostgreSQL at",
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_talk_on_a_terminal_is_broken_at_spaces_and_nowhere_else(width: int) -> None:
    sentence = "Not imported: a.xml looks like plain text; expected JUnit XML or an archive " + "x" * 90
    stream = io.StringIO()
    output = Output()
    output.stderr = Console(file=stream, width=width, force_terminal=True, color_system=None)
    output.say(sentence, "", f"List:\n  - {sentence}")
    first, _, second = stream.getvalue().partition("\n\nList:\n")
    assert first.split() == sentence.split()
    assert second.split() == ["-", *sentence.split()]
    assert all(line.startswith("  ") for line in second.splitlines())
    assert all(len(line) <= width or len(line.split()) == 1 for line in stream.getvalue().splitlines())


@given(
    st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=4),
    st.integers(20, 200),
    st.sets(st.sampled_from("abc")),
    st.integers(1, 3),
)
def test_whatever_is_in_it_every_word_is_there(
    rows: list[tuple[str, str, str]], width: int, fold: set[str], heads: int
) -> None:
    shown = drawn(Table(["a", "b", "c"], rows, fold=sorted(fold), heads=heads), width)
    assert set(" ".join(" ".join(row) for row in rows).split()) <= set(shown.split())
