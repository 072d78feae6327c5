"""The words by which reports say how a test ended, and the one status that several of them come to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WORST_FIRST = ("error", "failed", "xpassed", "xfailed", "skipped", "passed")
"""Of several statuses of one case the first of these counts."""

STATUS_ATTRIBUTES = ("status", "result", "outcome")
"""The attributes of a case that say how it ended."""

_WORDS = {
    "error": "error errored exception crash crashed abort aborted broken timeout timedout hookerror"
    " cleanuperror disconnected passedbutrunaborted",
    "failed": "failed fail failure failing failures regression ambiguous unsuccessful ko notok false",
    "xpassed": "xpassed xpass xpassing unexpectedpass unexpectedsuccess bxpass",
    "xfailed": "xfailed xfail xfailure expectedfail expectedfailure bfail bxfail",
    "skipped": "skipped skip skips ignored ignore disabled suppressed notrun notexecuted notrunnable"
    " notset untested undefined unexecuted pending todo blocked deselected excluded inconclusive omitted"
    " inactive assumptionfailure filtered",
    "passed": "passed pass passing success successful succeeded ok run ran completed complete executed done"
    " finished fixed bpass true",
}
_STATUS_OF_WORD = {word: status for status, words in _WORDS.items() for word in words.split()}
_FLAGS = {
    ("success", "false"): "failed",
    ("failed", "true"): "failed",
    ("executed", "false"): "skipped",
    ("skipped", "true"): "skipped",
    ("ignored", "true"): "skipped",
    ("disabled", "true"): "skipped",
}
"""What attributes that are true or false say of a case."""
_SAYING = frozenset(STATUS_ATTRIBUTES) | {name for name, _ in _FLAGS}
_BETWEEN_WORDS = re.compile(r"[\s_\-.]+")


def status_of_word(word: str) -> str | None:
    """Give the status that a word such as `Not Run`, `xfail` or `ERROR` means; None when it is unknown."""
    return _STATUS_OF_WORD.get(_BETWEEN_WORDS.sub("", word).lower())


def stated_statuses(attributes: Mapping[str, str]) -> Iterator[tuple[str, str, str | None]]:
    """Give name, word and status of each attribute that says how a case ended; None for unknown words."""
    if _SAYING.isdisjoint(attributes):
        return
    for name in STATUS_ATTRIBUTES:
        if word := attributes.get(name, "").strip():
            yield name, word, status_of_word(word)
    for (name, word), status in _FLAGS.items():
        if attributes.get(name, "").strip().lower() == word:
            yield name, attributes[name], status


def worst(statuses: Iterable[str]) -> str:
    """Give the one status of a case; one that says nothing passed."""
    return min(statuses, key=WORST_FIRST.index, default="passed")
