"""Following many imports: what is said of each costs the same, however many are open."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
from rich.progress import Progress

from ibutsu_tasks.broker.job_updates import JobUpdate
from ibutsu_tasks.cli.imports.files import FileImport
from ibutsu_tasks.cli.imports.following import Ends, Follower, ImportBars
from ibutsu_tasks.ibutsu.operations.imports.records import ImportOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_ASKED: Any = None


class Words:
    """The updates of a listener that heard them all at once."""

    def __init__(self, imports: list[FileImport]) -> None:
        self.left = [JobUpdate("t", str(one.import_id), "done", 1, 1, "w") for one in imports]

    def heard(self) -> Iterator[JobUpdate]:
        return self.wait(0)

    def wait(self, _wait_seconds: float) -> Iterator[JobUpdate]:
        while self.left:
            yield self.left.pop(0)


def _listen(number: int) -> tuple[list[JobUpdate], float]:
    """Let a follower of so many imports hear that all have ended, and one word more."""
    imports = [FileImport(f"{each}.xml", import_id=uuid4()) for each in range(number)]
    follower = Follower(NOT_ASKED, NOT_ASKED, imports)
    bars = Progress(disable=True)
    words = Words([*imports, imports[0]])
    began = time.process_time()
    follower._listen(cast("Any", words), ImportBars(bars, bars.add_task("", amount="")), 1)
    return words.left, time.process_time() - began


def test_the_last_word_ends_the_wait() -> None:
    left, _ = _listen(3)
    assert len(left) == 1


def test_time_follows_the_number_of_imports() -> None:
    for _ in range(4):
        few, many = _listen(1_000)[1], _listen(5_000)[1]
        if many < 15 * max(few, 0.01):
            return
    pytest.fail(f"1,000 imports take {few:.2f} s, 5,000 take {many:.2f} s")


DONE = ImportOutcome("a.xml", "done")


def test_what_a_file_took_is_told_by_the_worker_while_others_are_sent() -> None:
    first = FileImport("a.xml", "a.xml", uuid4())
    ends = Ends(cast("Any", Words([first])))
    ends.hear(first)
    first.began -= 60
    first.ended = first.began + 5
    ends.hear(FileImport("b.xml", "b.xml", uuid4()))
    first.see(DONE)
    assert first.took_seconds == 5


def test_the_end_that_is_heard_is_the_end() -> None:
    first, second = (FileImport(f"{name}.xml", f"{name}.xml", uuid4()) for name in "ab")
    Ends(cast("Any", Words([first, second]))).hear(second)
    assert (first.ended, second.ended is not None) == (None, True)


def test_an_import_that_is_followed_took_what_it_took_since_its_upload() -> None:
    followed = FileImport("an id", import_id=uuid4())
    followed.see(ImportOutcome("a.xml", "running", age_seconds=60))
    followed.see(DONE)
    assert followed.took_seconds is not None
    assert 60 <= followed.took_seconds < 65


def test_of_an_import_that_had_ended_nobody_knows_what_it_took() -> None:
    followed = FileImport("an id", import_id=uuid4())
    followed.see(ImportOutcome("a.xml", "done", age_seconds=60))
    assert followed.took_seconds is None
