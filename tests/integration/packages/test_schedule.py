"""The rows of a package's schedule, sent by a real beat that has no database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ibutsu_tasks.broker.layout import BEAT_LAST_RUNS_KEY, redis_list
from tests.commands import role, run, until
from tests.packaged import WORKSHOP

if TYPE_CHECKING:
    from ibutsu_tasks.resources import Resources


def sent(resources: Resources, priority: int = 0) -> list[str]:
    """The arguments of messages of the workshop with a priority of the broker's."""
    found = resources.redis.lrange(redis_list("work", priority), 0, -1)
    return [json.loads(one)["headers"]["argsrepr"] for one in found]


def test_beat_sends_rows_by_crontab_and_by_seconds(broker_url: str, resources: Resources) -> None:
    env = {"CELERY_BROKER_URL": broker_url, **WORKSHOP, "IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu"}
    long_ago = (datetime.now(UTC) - timedelta(days=2, minutes=30)).isoformat()
    missed = dict.fromkeys(("made-up-for", "left-out", "every-minute"), long_ago)
    resources.redis.hset(BEAT_LAST_RUNS_KEY, mapping=missed)
    with role("beat", env=env) as beat:
        # By seconds, with the row's own priority; of its three lists in Redis the second.
        until(lambda: len(sent(resources, 6)) >= 2)
        listed = run("schedule", "--json", env=env)
        beat.stop()
    assert set(sent(resources, 6)) == {"('second',)"}
    # By crontab, with the priority of its route; a run that was missed, once.
    by_route = sent(resources)
    assert by_route.count("('made up for',)") == 1
    assert 1 <= by_route.count("('minute',)") <= 2
    assert "('left out',)" not in by_route
    entries = {one["name"]: one for one in json.loads(listed.stdout)["entries"]}
    assert list(entries) == ["every-second", "every-minute", "made-up-for", "left-out"], listed.stderr
    assert resources.redis.llen("celery") == 0
