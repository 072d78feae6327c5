"""Routes as Celery follows them: the first that fits counts, and a setting's stand before the packages'."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.celery_app import create_broker_celery_app
from ibutsu_tasks.packages import Route, broker_priority
from ibutsu_tasks.settings import load_settings, values
from ibutsu_tasks.settings.values import UnusableError

if TYPE_CHECKING:
    from celery import Celery

NAMES = st.lists(st.sampled_from(["a", "b", "shop", "*"]), min_size=1, max_size=4).map(".".join)
TASKS = NAMES.filter(lambda name: "*" not in name)
PRIORITIES = st.none() | st.integers(0, 9)
ROUTES = st.lists(st.builds(Route, NAMES, st.sampled_from(["x", "y", "z"]), PRIORITIES), max_size=6)


def route(app: Celery, task: str) -> tuple[str, int | None]:
    found: Any = app.amqp.router.route({}, task)
    return found["queue"].name, found.get("priority")


@given(ROUTES, TASKS)
def test_the_first_route_that_fits_is_followed(routes: list[Route], task: str) -> None:
    given_routes = ",".join(map(str, routes))
    app = create_broker_celery_app(
        "tests", load_settings({"broker_url": "redis://h/0", "routes": given_routes}, environ={})
    )
    fitting = next((one for one in routes if fnmatchcase(task, one.tasks)), Route("*", "celery"))
    assert route(app, task) == (fitting.queue, broker_priority(fitting.priority))
    app.close()


@given(ROUTES)
def test_routes_are_read_as_they_are_written(routes: list[Route]) -> None:
    assert values.routes(",".join(map(str, routes))) == tuple(dict.fromkeys(routes))


@pytest.mark.parametrize(
    "text", ["a.*", "=queue", "a.*=", "a.*=queue:", "a=b:10", "a=b:x", "a=b:-1", "a=b=c"]
)
def test_what_is_no_route_is_refused(text: str) -> None:
    with pytest.raises(UnusableError):
        values.routes(text)
