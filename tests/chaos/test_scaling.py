"""What the scaling of `examples/kubernetes` does for a burst of imports, with workers in place of pods."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.ibutsu.database.models import Import, Result, Run
from ibutsu_tasks.ibutsu.operations.imports.uploads import store_upload
from tests.chaos.scaling import Autoscaler, Point, simulate
from tests.commands import services
from tests.worker_system import import_message, message_text

if TYPE_CHECKING:
    from redis import Redis

REPORT = b'<testsuite><testcase name="a" time="1"/><testcase name="b" time="1"/></testsuite>'
IMPORT_SECONDS = 0.2
"""What each import waits for its database: else two processors, not the workers, would be the limit."""

CURVE_LINES = 24


def test_the_autoscaler_doubles_a_minute_and_waits_before_it_shrinks() -> None:
    autoscaler = Autoscaler.of_the_example()
    pods, curve = autoscaler.least, []
    for second in range(0, 1500, 15):
        pods = autoscaler.decide(second, pods, 1000.0 if second < 300 else 0.0)
        curve.append(pods)
    assert curve[:9] == [6, 6, 6, 6, 12, 12, 12, 12, 12]
    assert curve[: 600 // 15 - 1] == [*curve[:8], *[12] * (600 // 15 - 9)]
    assert max(before - after for before, after in zip(curve, curve[4:], strict=False)) == 1
    assert curve[-1] == autoscaler.least


def slow_down(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN PERFORM pg_sleep({IMPORT_SECONDS}); RETURN NEW; END $$"
            )
        )
        connection.execute(
            text("CREATE TRIGGER wait BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION wait()")
        )


def send_burst(engine: Engine, client: Redis, number: int) -> None:
    with Session(engine, expire_on_commit=False) as session:
        ids = [store_upload(session, f"burst-{one}.xml", REPORT).import_id for one in range(number)]
        session.commit()
        rows = {row.id: row for row in session.scalars(select(Import))}
    for one in ids:
        client.lpush("celery", message_text("importers.run_junit_import", import_message(rows[one]))[1])


def told(curve: list[Point]) -> str:
    """Give the curve as lines of text."""
    step = max(1, len(curve) // CURVE_LINES)
    lines = [
        f"{one.seconds:6.0f} s  {one.pods:2} pods  load {one.load:7.1f}  {one.ended:6} ended" for one in curve
    ]
    return "\n".join([*lines[:-1:step], lines[-1]])


@pytest.mark.soak
@pytest.mark.parametrize(("imports", "speed"), [(10_000, 10)])
def test_a_burst_is_met_with_more_workers_that_are_drained_afterwards(
    broker_url: str, database_url: str, engine: Engine, imports: int, speed: float
) -> None:
    autoscaler = Autoscaler.of_the_example()
    slow_down(engine)

    def ended() -> int:
        with engine.connect() as connection:
            query = select(func.count()).where(Import.status.in_(("done", "error")))
            return connection.scalar(query.select_from(Import)) or 0

    with closing(build_client(broker_url)) as client:
        send_burst(engine, client, imports)
        curve, pods = simulate(services(broker_url, database_url), speed, ended, imports, 1200)
    print(told(curve))  # noqa: T201 - the result
    assert max(point.pods for point in curve) == autoscaler.most
    assert curve[-1].pods == autoscaler.least
    assert {pod.process.returncode for pod, _ in pods.leaving} == {0}
    with Session(engine) as session:
        states = session.execute(select(Import.status, func.count()).group_by(Import.status)).all()
        assert [tuple(row) for row in states] == [("done", imports)]
        assert session.scalar(select(func.count()).select_from(Run)) == imports
        assert session.scalar(select(func.count()).select_from(Result)) == 2 * imports
    # Drained workers leave nothing to others.
    received = sum(
        "run_junit_import" in line and "received" in line for pod in pods.all for line in pod.lines
    )
    assert received == imports
