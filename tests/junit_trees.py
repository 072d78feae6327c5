"""JUnit documents of any shape, for properties: what was put in, and the XML it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS_BY_ELEMENT = {
    "error": "error", "failure": "failed", "xpassed": "xpassed", "xfailure": "xfailed", "skipped": "skipped",
}  # fmt: skip
"""In the order in which they count when one case has several."""

# What XML itself keeps: no controls, and no carriage returns, which parsers turn into line feeds.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)


@dataclass
class Case:
    """A test case; `outcomes` are elements in it, each with its text."""

    name: str | None
    classname: str | None = None
    outcomes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def status(self) -> str:
        elements = {element for element, _ in self.outcomes}
        return next((status for name, status in STATUS_BY_ELEMENT.items() if name in elements), "passed")

    @property
    def traceback(self) -> str:
        """What its texts are joined to, those of XML's own white space left out; a skipped test has none."""
        return "\n".join(text for name, text in self.outcomes if name != "skipped" and text.strip(" \t\r\n"))

    def test_id(self, number: int) -> str:
        """Give the id of the case that is the `number`-th of its file."""
        if not self.name:
            return self.classname or f"test case {number}"
        return ".".join(part.rpartition(".")[2] or part for part in (self.classname, self.name) if part)


@dataclass
class Suite:
    name: str | None
    children: list[Any] = field(default_factory=list)

    def cases(self) -> Iterator[Case]:
        """Give the cases of all suites in it, in the order of the file."""
        for child in self.children:
            if isinstance(child, Case):
                yield child
            else:
                yield from child.cases()


OUTCOMES = st.lists(st.tuples(st.sampled_from(list(STATUS_BY_ELEMENT)), TEXT), max_size=3)
CASES = st.builds(Case, st.none() | TEXT, st.none() | TEXT, OUTCOMES)
SUITES = st.recursive(
    st.builds(Suite, st.none() | TEXT, st.lists(CASES, max_size=4)),
    lambda inner: st.builds(Suite, st.none() | TEXT, st.lists(CASES | inner, max_size=4)),
    max_leaves=8,
)


def as_element(node: Case | Suite) -> ET.Element:
    if isinstance(node, Case):
        made = _element("testcase", name=node.name, classname=node.classname)
        for element, text in node.outcomes:
            ET.SubElement(made, element).text = text
        return made
    made = _element("testsuite", name=node.name)
    made.extend([as_element(child) for child in node.children])
    return made


def _element(tag: str, **attributes: str | None) -> ET.Element:
    return ET.Element(tag, {name: value for name, value in attributes.items() if value is not None})


def as_xml(suite: Suite, encoding: str = "utf-8", **attributes: str) -> bytes:
    """Give the file of a suite, `attributes` being those of its root."""
    root = as_element(suite)
    root.attrib.update(attributes)
    return bytes(ET.tostring(root, encoding=encoding))
