"""What the doctor says of held messages."""

from __future__ import annotations

import pytest

from ibutsu_tasks.doctor.checks.held import Message, judge

NOW = 1_000_000.0
LIVE = Message("celery@a:1f", NOW - 70, NOW + 15)
DEAD = Message("celery@b:2e", NOW - 90, NOW - 30)
STOCK = Message(None, NOW - 60, NOW + 3540)
FORGOTTEN = Message(None, NOW - 4000, NOW - 400)


@pytest.mark.parametrize(
    ("messages", "has_worker", "codes", "said"),
    [
        ([], True, ["IBT-H00"], "No message is held."),
        ([LIVE], True, ["IBT-H00"], "1 message is held by celery@a (1); the oldest for 70 s."),
        ([LIVE, LIVE], True, ["IBT-H00"], "2 messages are held by celery@a (2)"),
        ([DEAD._replace(till=NOW - 3)], True, ["IBT-H00"], "others are about to have them"),
        ([DEAD._replace(till=NOW - 3)], False, ["IBT-H01"], "workers that are gone: celery@b (1)"),
        ([DEAD], True, ["IBT-H01"], "the oldest for 90 s"),
        ([STOCK], True, ["IBT-H00"], "without a lease; if it is gone, given back in 59 min"),
        ([FORGOTTEN, LIVE], True, ["IBT-H02"], "for more than an hour"),
        ([FORGOTTEN, DEAD], False, ["IBT-H01", "IBT-H02"], "gone"),
    ],
)
def test_judging(messages: list[Message], has_worker: bool, codes: list[str], said: str) -> None:
    found = judge(messages, NOW, has_worker=has_worker)
    assert [one.code for one in found] == codes
    assert said in found[0].seen
    assert all(bool(one.hint) is (one.code != "IBT-H00") for one in found)
