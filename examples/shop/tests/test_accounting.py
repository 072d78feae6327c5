"""Depreciation: exact in sum, once for each month."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from shop.models import Asset, Depreciation
from shop.tasks.accounting import parts_of

if TYPE_CHECKING:
    from examples.shop.tests.conftest import Shop


def asset(cost: str, months: int, bought_on: date = date(2020, 11, 15), residual: str = "0") -> Asset:
    return Asset(
        name="a press", cost=Decimal(cost), residual=Decimal(residual), months=months, bought_on=bought_on
    )


@pytest.mark.parametrize(
    ("cost", "residual", "months"), [("100", "0", 3), ("0.05", "0", 7), ("999.99", "99", 36)]
)
def test_all_parts_together_are_what_was_paid(cost: str, residual: str, months: int) -> None:
    parts = parts_of(asset(cost, months, residual=residual), date(2040, 1, 1))
    amounts = [Decimal(str(part["amount"])) for part in parts]
    assert sum(amounts) == Decimal(cost) - Decimal(residual)
    assert max(amounts) - min(amounts) <= Decimal("0.01")
    assert len(parts) == months


def test_a_part_is_for_a_month_that_is_over() -> None:
    parts = parts_of(asset("120", 12), date(2021, 2, 1))
    assert [part["month"] for part in parts] == [date(2020, 11, 1), date(2020, 12, 1), date(2021, 1, 1)]
    assert parts_of(asset("120", 12), date(2020, 11, 30)) == []


def test_each_month_is_written_off_once_however_often_the_task_runs(shop: Shop) -> None:
    shop.add(asset("100", 3), asset("1000", 12))
    ids = [shop.send("shop.accounting.depreciate") for _ in range(4)]
    assert sorted(shop.outcome(one).result for one in ids) == [0, 0, 0, 15]
    with shop.session() as session:
        months = session.scalars(select(Depreciation.month).order_by(Depreciation.month)).all()
        assert session.scalar(select(func.sum(Depreciation.amount))) == 1100
    assert all(first <= second for first, second in pairwise(months))
