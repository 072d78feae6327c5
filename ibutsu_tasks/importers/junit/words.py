"""How a test case ended in the words of its attributes, and where its elements say otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.importers.findings import shown
from ibutsu_tasks.importers.statuses import RED, counted_statuses, stated_statuses

if TYPE_CHECKING:
    from ibutsu_tasks.importers.junit.case import Case
    from ibutsu_tasks.importers.junit.xml_stream import XmlStream

UNKNOWN_OUTCOME = (
    "which is no known outcome; the test case counts as passed unless something else says how it ended"
)


def take_words(case: Case, attributes: dict[str, str], stream: XmlStream) -> None:
    """Put what the attributes say of the outcome into `case`; note a word that is not known."""
    words = list(counted_statuses(attributes))
    for name, word, status in stated_statuses(attributes):
        if status is not None:
            words.append((name, word, status))
        else:
            what = f'has {name}="{shown(word)}", {UNKNOWN_OUTCOME}; it is in data.attributes'
            stream.note("word", what)
    case.words = words or None


def note_contradiction(case: Case, stream: XmlStream) -> None:
    """Tell of a case that an attribute calls red and an element does not; elements go first."""
    red = next((f'{name}="{word}"' for name, word, status in case.words or () if status in RED), None)
    if red is not None and (status := case.status()) not in RED:
        what = f"ends a test case with {shown(red)} whose elements say {status}, which was taken"
        stream.note("contradiction", f"{what}; the other is in data.attributes")
