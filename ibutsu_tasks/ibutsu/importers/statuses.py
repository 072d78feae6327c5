"""The words by which reports say how a test ended, and the one status that several of them come to."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ibutsu_tasks.ibutsu.importers.values import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

WORST_FIRST = ("error", "failed", "xpassed", "xfailed", "skipped", "passed")
"""Of several statuses of one case the first of these counts."""

_STATUS_NAMES = frozenset(
    {"status", "result", "outcome", "state", "verdict", "conclusion", "teststatus", "testresult"}
)
"""The attributes and elements that say how a case or a suite ended, in one spelling."""

RED = frozenset({"error", "failed"})

_WORDS = {
    "error": "error errored errors err exception crash crashed abort aborted broken timeout timedout"
    " hookerror cleanuperror disconnected passedbutrunaborted cancelled canceled interrupted killed"
    " terminated segfault",
    "failed": "failed fail failure failing failures regression ambiguous unsuccessful unstable ko nok notok"
    " notpassed false",
    "xpassed": "xpassed xpass xpassing unexpectedpass unexpectedsuccess bxpass",
    "xfailed": "xfailed xfail xfailure expectedfail expectedfailure bfail bxfail",
    "skipped": "skipped skip skips ignored ignore disabled suppressed notrun notexecuted notrunnable"
    " notset untested undefined unexecuted pending todo blocked deselected excluded inconclusive omitted"
    " inactive assumptionfailure filtered",
    "passed": "passed pass passing success successful succeeded ok run ran completed complete executed done"
    " finished fixed bpass true",
}
_STATUS_OF_WORD = {word: status for status, words in _WORDS.items() for word in words.split()}
_TRUE, _FALSE = frozenset({"true", "yes", "y", "t", "1"}), frozenset({"false", "no", "n", "f", "0"})
_FLAGS = {
    **dict.fromkeys(
        ("success", "successful", "issuccess", "succeeded", "passed", "ispassed", "pass", "ok"),
        (_FALSE, "failed"),
    ),
    **dict.fromkeys(("failed", "fail", "failure", "isfailed", "isfailure", "hasfailed"), (_TRUE, "failed")),
    **dict.fromkeys(("error", "iserror", "haserror", "haserrors"), (_TRUE, "error")),
    "executed": (_FALSE, "skipped"),
    "skipped": (_TRUE, "skipped"),
    "ignored": (_TRUE, "skipped"),
    "disabled": (_TRUE, "skipped"),
}
"""What attributes that are true or false say of a case: the words that say it, and the status."""
_COUNTS = {
    **dict.fromkeys(("failures", "failurecount", "failedcount", "numfailures", "numfailed"), "failed"),
    **dict.fromkeys(("errors", "errorcount", "numerrors"), "error"),
}
"""What a count of more than none says, on a case."""
_TROUBLE = frozenset({"error", "errors", "failure", "failures", "failed", "exception"})
"""What a name has in it whose value tells of what broke, such as `error-message`."""
_NO_FAILURE = _TRUE | _FALSE | {"", "none", "null", "nil", "-"}
_GRADES = frozenset({"severity", "level", "loglevel", "priority"})
"""Attributes whose words, such as error, say nothing of how a case ended."""
_BETWEEN_WORDS = re.compile(r"[\s_\-.]+")
_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+")
_USUAL_CHARACTERS = 100


def status_of_word(word: str) -> str | None:
    """Give the status that a word such as `Not Run`, `xfail` or `ERROR` means; None when it is unknown."""
    return _STATUS_OF_WORD.get(_BETWEEN_WORDS.sub("", word).lower())


def status_of_phrase(phrase: str) -> str | None:
    """Give the status a value such as `FAILED: timeout` means: a longer one by its first word, if red."""
    if status := status_of_word(phrase):
        return status
    first = _WORD.match(phrase.strip())
    status = status_of_word(first[0]) if first else None
    return status if status in RED else None


def names_red(name: str) -> bool:
    """Whether the name of an element, such as `setup-failure`, holds a word that means red."""
    return any(status_of_word(word) in RED for word in _WORD.findall(name))


def red_claim(attributes: Mapping[str, str]) -> str | None:
    """Give the first attribute by which a suite says that it ended red, as `status="failed"`."""
    claims = stated_statuses(attributes)
    return next((f'{name}="{word}"' for name, word, status in claims if status in RED), None)


def stated_statuses(attributes: Mapping[str, str]) -> Iterator[tuple[str, str, str | None]]:
    """Give name, word and status of each attribute that says how a case ended; None for unknown words.

    However the name is written: `Status`, `test-result`, `x:status`.
    """
    for name, value in attributes.items():
        known, word = _one_spelling(name), value.strip()
        if known in _STATUS_NAMES:
            if word:
                yield name, word, status_of_phrase(word)
        elif known in _FLAGS:
            words, status = _FLAGS[known]
            if word.lower() in words:
                yield name, value, status


def flag_status(name: str, word: str) -> str | None:
    """Give the status that a flag such as `passed`, with the word it has, says; None when it says none."""
    words, status = _FLAGS.get(_one_spelling(name), (frozenset(), None))
    return status if word.lower() in words else None


def red_hint(attributes: Mapping[str, str]) -> str | None:
    """Give the first attribute that sounds red and says nothing of the end for certain.

    That is `error="it broke"`, `error-message="it broke"`, or a red word by a name that is not known or in
    place of true or false.
    """
    for name, value in attributes.items():
        known, word = _one_spelling(name), value.strip()
        if known not in _STATUS_NAMES | _GRADES and (_is_red_value(word) or _tells_of_trouble(name, word)):
            return f'{name}="{value}"'
    return None


def _is_red_value(word: str) -> bool:
    return word.lower() not in _NO_FAILURE and status_of_word(word) in RED


def _tells_of_trouble(name: str, word: str) -> bool:
    if word.lower() in _NO_FAILURE:
        return False
    words, status = _FLAGS.get(_one_spelling(name), (_FALSE, None))
    if words is _TRUE:
        return status in RED
    names = {part.lower() for part in _WORD.findall(name)}
    return not names.isdisjoint(_TROUBLE) and "expected" not in names and count(word) is None


def names_broken(path: str, said: str) -> bool:
    """Whether an element within another, such as `<failed/>` in `<steps>`, is named by a red word.

    Not where it says that there is none of it, or a number.
    """
    _, is_within, name = path.rpartition("/")
    is_red = bool(is_within) and status_of_word(name) in RED
    return is_red and said.lower() not in (_NO_FAILURE - _TRUE - {""}) and count(said) is None


def names_status(name: str) -> bool:
    """Whether an element is named as an attribute is that says how a case ended."""
    return _one_spelling(name) in _STATUS_NAMES


def _one_spelling(name: str) -> str:
    # A name may be megabytes, which would be kept.
    return _usual_spelling(name) if len(name) <= _USUAL_CHARACTERS else _spelling(name)


def _spelling(name: str) -> str:
    return _BETWEEN_WORDS.sub("", name.rpartition(":")[2]).lower()


_usual_spelling = lru_cache(maxsize=1024)(_spelling)


def counted_statuses(attributes: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Give name, value and status of each attribute by which a case counts failures of its own."""
    for name, value in attributes.items():
        status = _COUNTS.get(_one_spelling(name))
        if status is not None and (count(value) or value.strip().lower() in _TRUE):
            yield name, value, status


def worst(statuses: Iterable[str]) -> str:
    """Give the one status of a case; one that says nothing passed."""
    return min(statuses, key=WORST_FIRST.index, default="passed")
