"""Rules of a task package with odd tables: what goes, what stays whatever happens, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    CHAR,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    TypeDecorator,
    Uuid,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.orm import Session

from ibutsu_tasks.errors import RefusedError, SettingsError
from ibutsu_tasks.packages import choose, loaded
from ibutsu_tasks.retention import plan as prune_plan
from ibutsu_tasks.retention import run_prune
from ibutsu_tasks.retention.batches import BatchTuner
from ibutsu_tasks.retention.due import DueRows, missing_indexes
from ibutsu_tasks.retention.monitor import PruneMonitor, PruneProgress
from ibutsu_tasks.retention.sweep import SweepConflictError, Sweeper
from ibutsu_tasks.retention.tables import problem_of, root_of
from ibutsu_tasks.retention.vacuum import vacuum
from ibutsu_tasks.retention.watch import what_is_behind
from ibutsu_tasks.settings import load_settings, setting_rows
from tests.factories import opener, utc_now
from tests.packaged import INSTALLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from ibutsu_tasks.packages import RetentionRule

SETTINGS = load_settings(environ={})

BOXES = 'Odd "boxes" of 100%'


@pytest.fixture(autouse=True)
def _attic_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(INSTALLED)
    choose(("attic.package", "attic.wrong"), (), setting_rows().values())


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    from attic.models import METADATA  # noqa: PLC0415 - it is on the path of these tests alone

    # In a time zone that is none of the dates'.
    engine = create_engine(empty_database_url, connect_args={"options": "-c TimeZone=Asia/Tokyo"})
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def rule_of(name: str) -> RetentionRule:
    return loaded().retention[name]


STORE = (
    'insert into "Odd ""boxes"" of 100%" values (:label, :packed_at, :state)',
    'insert into "attic_Things" (box) select :label from generate_series(1, :things)',
    *2 * ('insert into attic_parts (thing) select number from "attic_Things" where box = :label',),
    "insert into attic_notes (box) values (:label)",
)


def store_box(engine: Engine, label: str, days: float = 60, things: int = 0, state: str = "packed") -> None:
    """Store a box, each of its things of two parts, and a note."""
    packed_at = datetime.now(UTC) - timedelta(days=days)
    values = {"label": label, "packed_at": packed_at, "state": state, "things": things}
    with engine.begin() as connection:
        for statement in STORE:
            connection.execute(text(statement), values)


def labels(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(select(root_of(rule_of("old-boxes")).c.label)))


def count(engine: Engine, table: str) -> int:
    tables = root_of(rule_of("old-boxes")).metadata.tables
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(tables[table])) or 0


def prune(engine: Engine, name: str = "old-boxes", **tuning: Any) -> run_prune.PruneSummary:
    tuner = BatchTuner(**{"pause_seconds": 0.01} | tuning)
    rule = rule_of(name)
    return run_prune.prune(opener(engine), rule, rule.default_age_days, SETTINGS, tuner=tuner)


def plan(engine: Engine, name: str = "old-boxes") -> prune_plan.PrunePlan:
    with Session(engine) as session:
        return prune_plan.plan(session, rule_of(name), rule_of(name).default_age_days, SETTINGS)


def test_what_is_planned_goes_two_levels_deep_and_the_rest_stays(engine: Engine) -> None:
    for number, state in enumerate(("packed", "kept", 'of "100%"')):
        store_box(engine, f"it's \\ {number} ü%", things=number + 1, state=state)
    store_box(engine, "young", days=29, things=1)

    planned, summary = plan(engine), prune(engine)

    assert planned.missing_indexes == ()
    assert {one.table: one.rows for one in planned.tables} == dict(summary.deleted)
    assert dict(summary.deleted) == {BOXES: 2, "attic_Things": 4, "attic_parts": 8}
    assert planned.tables[0].oldest is not None
    assert abs(utc_now() - timedelta(days=60) - planned.tables[0].oldest) < timedelta(minutes=5)
    assert sum(one.size_bytes for one in planned.tables) == summary.size_bytes > 0
    assert labels(engine) == ["it's \\ 1 ü%", "young"]
    # PostgreSQL sets null what the models say that it does: a note depends on no box.
    assert count(engine, "attic_notes") == 4
    assert plan(engine).rows == 0


def test_the_cutoff_is_a_moment_in_utc(engine: Engine) -> None:
    for hours in (-1, 1):
        store_box(engine, f"{hours} h", days=30 + hours / 24)
    assert plan(engine).rows == prune(engine).deleted[BOXES] == 1
    assert labels(engine) == ["-1 h"]


def test_a_locked_row_is_passed_over_and_one_that_is_kept_is_never_in_use(engine: Engine) -> None:
    for label, state in (("locked", "packed"), ("free", "packed"), ("kept", "kept")):
        store_box(engine, label, things=2, state=state)
    with Session(engine) as other:
        boxes = root_of(rule_of("old-boxes"))
        other.execute(select(boxes).where(boxes.c.label.in_(["locked", "kept"])).with_for_update()).all()
        summary = prune(engine)
        assert (summary.left, summary.deleted[BOXES]) == (1, 1)
        assert labels(engine) == ["kept", "locked"]
    assert dict(prune(engine).deleted) == {BOXES: 1, "attic_Things": 2, "attic_parts": 4}
    assert labels(engine) == ["kept"]


def test_a_row_with_too_many_dependants_is_taken_apart_and_one_that_is_kept_is_not(engine: Engine) -> None:
    store_box(engine, "full", things=1500)
    store_box(engine, "kept", things=1500, state="kept")
    due = DueRows(rule_of("old-boxes"), utc_now() - timedelta(days=30))
    with pytest.raises(SweepConflictError), Session(engine) as session:
        Sweeper(due, 500).sweep(session, None, 10)
    for label in ("kept", "full"):
        (things,) = due.dependants(label)
        with Session(engine) as session:
            swept = Sweeper(things, 500).sweep(session, None, 10)
        assert swept.rows_of(things.root) == (0 if label == "kept" else 10)
    assert dict(prune(engine, weight=50, highest_weight=500).deleted) == {
        BOXES: 1,
        "attic_Things": 1500,
        "attic_parts": 3000,
    }
    assert (labels(engine), count(engine, "attic_parts")) == (["kept"], 3000)


def test_a_row_that_is_kept_from_now_on_stays_with_what_is_left_of_it(engine: Engine) -> None:
    """Its dependants go in batches: each asks the row anew."""
    store_box(engine, "full", things=100)
    due = DueRows(rule_of("old-boxes"), utc_now() - timedelta(days=30))
    (things,) = due.dependants("full")
    for state, gone in (("packed", 10), ("kept", 0)):
        with Session(engine) as session, session.begin():
            session.execute(due.root.update().values(state=state))
            assert Sweeper(things, 500).sweep(session, None, 10).rows_of(things.root) == gone
    assert prune(engine).deleted[BOXES] == 0
    assert count(engine, "attic_Things") == 90


class Reports(PruneMonitor):
    def __init__(self) -> None:
        self.batches = 0

    def report(self, progress: PruneProgress) -> None:
        self.batches = progress.batches


@pytest.mark.parametrize("rows", [0, 19, 20, 21, 100])
def test_rows_that_are_kept_are_passed_over_in_batches_of_their_own(engine: Engine, rows: int) -> None:
    for number in range(rows):
        store_box(engine, f"kept {number}", days=300 - number, state="kept")
    for number in range(5):
        store_box(engine, f"packed {number}", days=200 + number * 20)
    monitor = Reports()
    # A window of twenty rows.
    rule, tuner = rule_of("old-boxes"), BatchTuner(1, 1, 1)
    summary = run_prune.prune(opener(engine), rule, 30, monitor=monitor, tuner=tuner)
    assert (summary.deleted[BOXES], summary.left, monitor.batches) == (5, 0, 5)
    assert len(labels(engine)) == rows


def test_a_date_that_is_the_key_goes_and_the_newest_stays(engine: Engine) -> None:
    newest = utc_now().date() - timedelta(days=366)
    with engine.begin() as connection:
        days = text("insert into attic_days select cast(:newest as date) - generate_series(0, 49)")
        connection.execute(days, {"newest": newest})
        connection.execute(text("insert into attic_days values ('0044-03-15 BC'), ('-infinity')"))
    planned = plan(engine, "old-days").tables[0]
    assert (planned.rows, planned.oldest) == (51, datetime.min)  # noqa: DTZ901
    assert prune(engine, "old-days", weight=7, highest_weight=7).deleted == {"attic_days": 51}
    with engine.connect() as connection:
        assert connection.scalar(text("select day from attic_days")) == newest


class Cents(TypeDecorator[Any]):
    """A type of whose values none is ever made."""

    impl, cache_ok = Integer, True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        raise NotImplementedError

    process_result_value = process_bind_param


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Uuid(), "gen_random_uuid()"),
        (Numeric(), "n / 7.0"),
        (CHAR(20), "'x ' || n"),
        (LargeBinary(), "decode(md5(n::text), 'hex')"),
        (DateTime(timezone=True), "now() + n * interval '1 us'"),
        (Cents(), "n"),
    ],
)
def test_a_key_may_be_of_any_type(engine: Engine, kind: Any, value: str) -> None:
    rule = replace(rule_of("old-days"), table="typed", date_column="at", where=None)
    metadata = root_of(rule_of("old-days")).metadata
    key = Column("key", kind, primary_key=True, autoincrement=False)
    table = Table("typed", metadata, key, Column("at", DateTime, index=True))
    try:
        table.create(engine)
        with engine.begin() as connection:
            insert = f"insert into typed select {value}, '2020-01-01' from generate_series(1, 20) n"  # noqa: S608
            connection.execute(text(insert))
        assert len(DueRows(rule, utc_now()).choose(Session(engine), None, 7)) == 7
        tuner = BatchTuner(7, 7, 7)
        assert run_prune.prune(opener(engine), rule, 360, tuner=tuner).deleted == {"typed": 20}
    finally:
        metadata.remove(table)


@pytest.mark.parametrize("name", ["old-boxes", "old-days"])
def test_a_sweep_reads_no_table_from_end_to_end(engine: Engine, name: str) -> None:
    plans = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "DELETE" in statement:
            cursor.execute(f"explain {statement}", parameters)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))

    event.listen(engine, "before_cursor_execute", explain)
    due = DueRows(rule_of(name), utc_now())
    for rows in (due, *due.dependants("x")):
        with Session(engine) as session:
            Sweeper(rows, 1000).sweep(session, None, 1000)
    assert plans
    assert all("Index" in one and "Seq Scan" not in one for one in plans)


def test_without_an_index_a_prune_refuses_and_names_what_makes_it(engine: Engine) -> None:
    store_box(engine, "old")
    rule = rule_of("old-boxes")
    with engine.begin() as connection:
        for index in ('"ix_Odd ""boxes"" of 100%_Packed at"', '"ix_attic_Things_box"', "ix_attic_notes_box"):
            connection.execute(text(f"drop index {index}"))
    missing = plan(engine).missing_indexes
    assert [one.column for one in missing] == ["Packed at", "box", "box"]
    with pytest.raises(RefusedError, match="old-boxes is not pruned: no index begins with"):
        prune(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for one in missing:
            connection.exec_driver_sql(one.statement.replace("%", "%%"))
        assert missing_indexes(connection, [rule]) == ()
    assert prune(engine).deleted[BOXES] == 1


def test_a_table_of_several_parts_is_refused_for_a_place_is_in_each_of_them(engine: Engine) -> None:
    store_box(engine, "old", things=1)
    with engine.begin() as connection:
        connection.execute(text("create table attic_more_parts () inherits (attic_parts)"))
        connection.execute(text("insert into attic_more_parts values (7, 7), (8, 8)"))
    for attempt in (plan, prune):
        with pytest.raises(RefusedError, match="old-boxes is not pruned: attic_parts has partitions"):
            attempt(engine)
    with engine.begin() as connection:
        connection.execute(text("alter table attic_more_parts no inherit attic_parts"))
    assert prune(engine).deleted["attic_parts"] == 2
    assert plan(engine).rows == 0


def test_tables_of_any_name_are_vacuumed_and_waited_for(engine: Engine) -> None:
    names = [BOXES, "attic_Things"]
    assert [(one.table, one.problem) for one in vacuum(engine, names, lambda _: None)] == [
        (name, None) for name in names
    ]
    with Session(engine) as session:
        assert what_is_behind(session, names) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no-table", "names the table attic_cellars, which its package wrong does not have"),
        ("no-column", "names the column built_at, which the table attic_shelves does not have"),
        ("no-date", "goes by attic_shelves.colour, which is no date"),
        ("days-in-a-row", "goes by attic_shelves.lent, which is no date"),
        ("two-keys", "cannot be run: the key of attic_visits is not one column"),
        ("two-keys-below", "cannot be run: the key of attic_marks is not one column"),
        ("of-itself", "cannot be run: rows refer to rows of their own table, by attic_nodes"),
        ("in-a-circle", "cannot be run: rows refer to rows of their own table, by attic_"),
        ("of-another-schema", "cannot be run: ladders has a schema of its own"),
        ("more-than-the-key", "cannot be run: attic_doors.floor refers to attic_rooms by more than its key"),
        ("raises", "names as where ended with RuntimeError('no luck')"),
        ("exits", "names as where ended with SystemExit(3)"),
        ("gives_a_text", "names as where gives no condition of SQLAlchemy"),
        ("is_nowhere", "names as where cannot be imported: AttributeError"),
    ],
)
def test_what_a_prune_cannot_take_is_one_sentence(engine: Engine, name: str, why: str) -> None:
    for attempt in (plan, prune):
        with pytest.raises(SettingsError, match=r"^(The retention rule|What the rule) .+\.$") as caught:
            attempt(engine, name)
        assert name in str(caught.value)
        assert why in str(caught.value)
        assert caught.value.hint
    assert problem_of(rule_of(name)) == str(caught.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no_ages_but_raises", "ended with RuntimeError('no luck')"),
        ("no_ages_but_exits", "ended with SystemExit(3)"),
        ("no_ages_but_a_text", "gives no OwnCutoffs"),
    ],
)
def test_own_ages_that_cannot_be_told_are_one_sentence(engine: Engine, name: str, why: str) -> None:
    for attempt in (plan, prune):
        with pytest.raises(SettingsError) as caught:
            attempt(engine, name)
        assert str(caught.value) == f"What the rule {name} names as own_ages {why}."
        assert caught.value.hint == f"Repair attic.conditions:{name}."
