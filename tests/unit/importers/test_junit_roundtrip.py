"""Any tree of suites comes back as exactly its cases, and any bytes end in rows or in a sentence."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from ibutsu_tasks.errors import InvalidImportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OUTCOMES = {
    None: "passed", "failure": "failed", "error": "error", "skipped": "skipped", "xfailure": "xfailed",
    "xpassed": "xpassed",
}  # fmt: skip
# What XML itself keeps: no controls, and no carriage returns, which parsers turn into line feeds.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)


@dataclass
class Case:
    name: str
    outcome: str | None
    text: str


@dataclass
class Suite:
    name: str
    children: list[Any] = field(default_factory=list)


CASES = st.builds(Case, TEXT, st.sampled_from(list(OUTCOMES)), TEXT)
SUITES = st.recursive(
    st.builds(Suite, TEXT, st.lists(CASES, max_size=4)),
    lambda inner: st.builds(Suite, TEXT, st.lists(CASES | inner, max_size=4)),
    max_leaves=8,
)


def element(node: Any) -> ET.Element:
    if isinstance(node, Case):
        made = ET.Element("testcase", name=node.name)
        if node.outcome:
            ET.SubElement(made, node.outcome).text = node.text
        return made
    made = ET.Element("testsuite", name=node.name)
    made.extend([element(child) for child in node.children])
    return made


def cases(node: Any) -> Iterator[Case]:
    if isinstance(node, Case):
        yield node
    else:
        for child in node.children:
            yield from cases(child)


class Dribble(io.BytesIO):
    step = 1

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(self.step, size) if size and size > 0 else size)


@settings(deadline=None)
@given(suite=SUITES, step=st.integers(1, 300), encoding=st.sampled_from(["utf-8", "utf-16", "us-ascii"]))
def test_every_tree_comes_back(read: Callable[..., Any], suite: Suite, step: int, encoding: str) -> None:
    content = Dribble(ET.tostring(element(suite), encoding=encoding))
    content.step = step
    got = read(content)
    expected = list(cases(suite))
    assert [result.result for result in got.results] == [OUTCOMES[case.outcome] for case in expected]
    for number, (result, case) in enumerate(zip(got.results, expected, strict=True), 1):
        assert result.test_id == (case.name.rpartition(".")[2] or case.name or f"test case {number}")
    texts = [c.text for c in expected if c.text.strip() and c.outcome not in {None, "skipped"}]
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
