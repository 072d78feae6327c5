"""Log lines: one record is one line, or one object, whatever stands in it."""

from __future__ import annotations

import io
import json
import logging
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ibutsu_tasks.logs.lines import JsonFormatter, RunningTask, TextFormatter, current_task
from ibutsu_tasks.logs.streams import MAX_LINE_CHARACTERS, LinesAsRecords

FORGED = "a\n2026-01-31T12:00:00.000Z ERROR root forged\x1b[2J\x9b1m\r\u2028\u202e\udcff"
ANY_TEXT = st.text(st.characters(codec=None) | st.sampled_from("\x1b\n\r\x85\u2028\udcff"))


def record_of(message: str, error: Exception | None = None, **extra: object) -> logging.LogRecord:
    info = None
    if error is not None:
        try:
            raise error
        except type(error):
            info = sys.exc_info()
    record = logging.LogRecord("worker", logging.INFO, __file__, 1, message, None, info)
    vars(record).update(extra)
    return record


def same(text: str) -> str:
    return text


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
@example(FORGED, FORGED, FORGED)
def test_nothing_in_a_record_ends_its_line_or_moves_the_cursor(message: str, name: str, words: str) -> None:
    token = current_task.set(RunningTask(name, words))
    try:
        text = TextFormatter(same).format(record_of(message))
        failed = TextFormatter(same).format(record_of(message, ValueError(words)))
        document = JsonFormatter(same, "worker").format(record_of(message, ValueError(words)))
    finally:
        current_task.reset(token)
    assert "\n" not in text
    for line in failed.split("\n")[1:]:
        assert line.startswith("  ")
    assert not [one for one in text + failed.replace("\n", "") if unicodedata.category(one) in {"Cc", "Cs"}]
    assert document.isascii()
    assert document.isprintable() or "\x7f" in document
    entry = json.loads(document)
    assert (entry["message"], entry["task"], entry["task_id"]) == (message, name, words)


@pytest.mark.parametrize("facts", [{"id": "i\x1b", "name": "n"}, {"id": None, "name": 7, "args": "()"}])
def test_what_celery_says_of_a_task_names_it(facts: dict[str, object]) -> None:
    record = record_of("received", data=facts)
    entry = json.loads(JsonFormatter(same, "worker").format(record))
    assert (entry["task"], entry["task_id"]) == (str(facts["name"]), str(facts["id"]))
    assert "\x1b" not in TextFormatter(same).format(record)
    assert "task_id" not in json.loads(
        JsonFormatter(same, "worker").format(record_of("other", data={"id": 1}))
    )


def test_what_is_written_past_logging_is_a_record_a_line(caplog: pytest.LogCaptureFixture) -> None:
    lines = LinesAsRecords("stderr", io.StringIO())
    print("one", "two", file=lines)
    lines.write("half a ")
    lines.write("line\n\n")
    lines.write("Error: It failed:\n  - why\nTry: another.\n")
    lines.write('Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no\u2028good\n')
    lines.write("the rest")
    lines.end()
    assert [record.getMessage() for record in caplog.records] == [
        "one two",
        "half a line",
        "It failed:\n  - why",
        "ValueError: no\u2028good",
        "the rest",
    ]
    assert vars(caplog.records[2])["facts"] == {"hint": "another."}
    assert vars(caplog.records[3])["facts"]["traceback"].startswith("Traceback (most recent call last):\n")


def test_a_line_that_never_ends_is_written_in_parts(caplog: pytest.LogCaptureFixture) -> None:
    lines = LinesAsRecords("stdout", io.StringIO())
    for _ in range(3 * MAX_LINE_CHARACTERS // 8):
        lines.write("\r 50 % |")
    written = "".join(record.getMessage() for record in caplog.records)
    assert 2 * MAX_LINE_CHARACTERS < len(written) < 3 * MAX_LINE_CHARACTERS
    lines.end()
    assert sum(len(record.getMessage()) for record in caplog.records) == 3 * MAX_LINE_CHARACTERS


def test_secrets_are_hidden_in_every_value() -> None:
    record = record_of("it is s3cret", ValueError("s3cret"), facts={"hint": "s3cret", "seconds": 1.5})
    line = JsonFormatter(lambda text: text.replace("s3cret", "***"), "worker").format(record)
    assert "s3cret" not in line
    assert json.loads(line)["seconds"] == 1.5
