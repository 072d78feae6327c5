from __future__ import annotations

import io
import json
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ibutsu_tasks.cli.output import Output
from ibutsu_tasks.cli.output.formats import plain, without_markup
from ibutsu_tasks.cli.output.result import Document, Note, Result, Table, failure
from ibutsu_tasks.cli.output.tables import read_markup
from ibutsu_tasks.errors import UsageError
from ibutsu_tasks.text.control_characters import visible

if TYPE_CHECKING:
    from collections.abc import Callable

ANY_TEXT = st.text(st.characters(codec=None) | st.sampled_from("\x1b[]\n\\\x9b\u202e\udcff"))
NASTY = "a\x1b[31m\x1b]0;title\x07\r\x9b1m\nb\u202e.xml"


def written(write: Callable[[Output], None]) -> str:
    output, stream = Output(), io.StringIO()
    output.stdout = output.stderr = Console(file=stream, width=400, highlight=False, emoji=False)
    write(output)
    return stream.getvalue()


def test_controls_are_shown_and_not_obeyed() -> None:
    assert visible("a\x1b[31m\r\n\tb\x9b\u202e\udcff") == r"a\x1b[31m\x0d\x0a\x09b\x9b\u202e\xff"
    assert visible("Grüße 漢字 👩‍🚀.xml") == "Grüße 漢字 👩‍🚀.xml"


@given(ANY_TEXT)
def test_nothing_from_outside_moves_the_cursor_or_ends_a_line(text: str) -> None:
    shown = visible(text)
    assert not [one for one in shown if unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"}]
    shown.encode()
    assert read_markup(f"[bold]{plain(text)}[/]").plain == shown
    assert without_markup(f"[bold]{plain(text)}[/]") == shown


@pytest.mark.parametrize(
    "write",
    [
        lambda output: output.say(plain(NASTY)),
        lambda output: output.render(Result(blocks=[plain(NASTY)])),
        lambda output: output.render(Result(blocks=[Note(plain(NASTY))])),
        lambda output: output.render(failure(UsageError(NASTY, ""))),
        lambda output: output.render(Result(blocks=[Table(["file"], [[plain(NASTY)]], width_limit=400)])),
    ],
)
def test_every_way_out_shows_them(write: Callable[[Output], None]) -> None:
    text = written(write)
    assert r"a\x1b[31m\x1b]0;title\x07\x0d\x9b1m\x0ab\u202e.xml" in text
    assert not [one for one in text if unicodedata.category(one) == "Cc" and one != "\n"]


def test_lists_of_our_own_keep_their_lines() -> None:
    text = written(lambda output: output.render(failure(UsageError("These are wrong:\n  - a\n  - b", ""))))
    assert text == "Error: These are wrong:\n  - a\n  - b\n"


def test_a_name_between_colons_is_no_picture() -> None:
    assert written(lambda output: output.say(plain(":bomb:.xml"))) == ":bomb:.xml\n"


@given(ANY_TEXT)
def test_json_keeps_every_character_and_writes_none_a_terminal_obeys(text: str) -> None:
    shown = written(lambda output: output.render(Result(blocks=[Document({"file": text})])))
    assert json.loads(shown) == {"file": text}
    shown.encode()
    assert not [one for one in shown if unicodedata.category(one) == "Cc" and one != "\n"]


RESULT = Result({"rows": 1}, ["[bold]1 row[/]", Note("[dim]for people[/]")], ["[yellow]Warning:[/] odd"])


def test_machines_get_one_versioned_document_and_what_is_said_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Output(json_wanted=True)
    output.show_now(["too early"])
    output.render(RESULT)
    written_out = capsys.readouterr()
    assert json.loads(written_out.out) == {"version": 1, "rows": 1}
    assert written_out.err == "Warning: odd\n"


def test_people_get_the_same_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    Output().render(RESULT)
    written_out = capsys.readouterr()
    assert written_out.out == "1 row\n"
    assert written_out.err == "for people\nWarning: odd\n"
