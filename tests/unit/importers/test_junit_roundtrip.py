"""Any tree of suites comes back as exactly its cases, and any bytes end in rows or in a sentence."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ibutsu_tasks.errors import InvalidImportError
from tests.junit_trees import SUITES, Case, Suite, as_xml

if TYPE_CHECKING:
    from collections.abc import Callable


class Dribble(io.BytesIO):
    step = 1

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(self.step, size) if size and size > 0 else size)


# A no-break space is text: only XML's own white space is none.
@example(suite=Suite(None, [Case(None, None, [("error", "\xa0")])]), step=1, encoding="utf-8")
@settings(deadline=None)
@given(suite=SUITES, step=st.integers(1, 300), encoding=st.sampled_from(["utf-8", "utf-16", "us-ascii"]))
def test_every_tree_comes_back(read: Callable[..., Any], suite: Suite, step: int, encoding: str) -> None:
    content = Dribble(as_xml(suite, encoding))
    content.step = step
    got = read(content)
    expected = list(suite.cases())
    assert [(result.test_id, result.result) for result in got.results] == [
        (case.test_id(number), case.status) for number, case in enumerate(expected, 1)
    ]
    texts = [case.traceback for case in expected if case.traceback]
    assert [artifact.content.decode() for artifact in got.artifacts] == texts
    assert len({row.id for row in got.rows}) == len(got.rows)


@settings(deadline=None)
@given(data=st.binary(max_size=200), prefix=st.sampled_from([b"", b"<testsuite>", b"<testsuite><testcase>"]))
def test_arbitrary_bytes_are_refused_or_read(read: Callable[..., Any], data: bytes, prefix: bytes) -> None:
    assert sentence_of(read, prefix + data).isprintable()


def sentence_of(read: Callable[..., Any], data: bytes) -> str:
    """Read a file that may be refused, and give the sentence; rows must be fit for PostgreSQL."""
    try:
        got = read(data)
    except InvalidImportError as refusal:
        return str(refusal)
    assert not re.search("[\0\ud800-\udfff]", repr(got.rows))
    return ""


REPORT = (
    "<?xml version='1.0' encoding='utf-8'?>\n<!DOCTYPE testsuites>\n<testsuites tests='2' time='1.5' "
    "timestamp='2026-11-21T06:09:29Z'><properties><property name='env' value='é&#27;'/></properties>\n"
    "<testsuite name='s'><testcase classname='a.b' name='t' time='1,5'><failure message='m' type='E'>"
    "<![CDATA[x]]>&amp;</failure><system-out>\x1b</system-out></testcase></testsuite></testsuites>"
).encode()


@settings(deadline=None, max_examples=300)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(REPORT)), st.binary(max_size=4), st.integers(0, 6)), max_size=4
    ),
    cut=st.integers(0, len(REPORT)),
)
def test_damaged_reports_are_refused_or_read(
    read: Callable[..., Any], edits: list[tuple[int, bytes, int]], cut: int
) -> None:
    data = bytearray(REPORT)
    for position, new, removed in edits:
        data[position : position + removed] = new
    for damaged in (bytes(data), bytes(data[:cut])):
        assert sentence_of(read, damaged).isprintable()
