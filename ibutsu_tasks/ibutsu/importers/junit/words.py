"""How a test case ended in the words of its attributes, and where its elements say otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.ibutsu.importers.findings import shown
from ibutsu_tasks.ibutsu.importers.spool import chunks_of
from ibutsu_tasks.ibutsu.importers.statuses import (
    RED,
    counted_statuses,
    flag_status,
    names_broken,
    names_status,
    red_claim,
    red_hint,
    stated_statuses,
    status_of_phrase,
    status_of_word,
)

if TYPE_CHECKING:
    from ibutsu_tasks.ibutsu.importers.junit.case import Case
    from ibutsu_tasks.ibutsu.importers.junit.xml_stream import XmlStream
    from ibutsu_tasks.ibutsu.importers.parsed import Content

MOST_WORD_BYTES = 200

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
    case.red_hint = red_hint(attributes)


def take_element(
    case: Case, name: str, attributes: dict[str, str], text: Content | None, stream: XmlStream
) -> None:
    """Take a red word of an element that JUnit does not know: `<status>FAIL</status>` is as the attribute.

    So is `<passed>false</passed>`. Elsewhere, as in `<assertion result="failed"/>`, it is noted.
    """
    said = next(iter(chunks_of(text or b"")))[:MOST_WORD_BYTES].decode(errors="ignore").strip()
    claim = red_claim(attributes)
    word, status = said, flag_status(name.rpartition("/")[2], said)
    if any(map(names_status, name.split("/"))):
        word = attributes.get("value", said).strip()
        if (status := status_of_phrase(word)) is None:
            word = next((one for one in attributes.values() if status_of_word(one) in RED), word)
            status = status_of_word(word)
    if status in RED and status:
        if "/" not in name:
            case.words = case.words or []
            case.words.append((name, word, status))
            return
        claim = claim or word
    elif names_broken(name, said):
        claim = claim or said or name
    if case.statuses is None and claim:
        with_what = "" if claim == name else f" with {shown(claim)}"
        what = f"holds <{shown(name)}>{with_what}, which is not said of the test case itself"
        stream.note("red element", f"{what}; it counts as passed unless something else says how it ended")


def note_contradiction(case: Case, stream: XmlStream) -> None:
    """Tell of a case that an attribute calls red and an element does not; elements go first."""
    if not (case.words or case.red_hint) or (status := case.status()) in RED:
        return
    red = next((f'{name}="{word}"' for name, word, said in case.words or () if said in RED), None)
    if red is not None:
        what = f"ends a test case with {shown(red)} whose elements say {status}, which was taken"
        stream.note("contradiction", f"{what}; the other is in the result's data")
    elif case.red_hint:
        stream.note("red hint", f"ends a test case with {shown(case.red_hint)}, {UNKNOWN_OUTCOME}")
