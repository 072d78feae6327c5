# ruff: noqa: D103, INP001, PLR0133, S101 - written as people write tests
"""Tests that record properties of the suite and of single tests."""

from collections.abc import Callable

import pytest


@pytest.fixture(scope="session", autouse=True)
def _properties(record_testsuite_property: Callable[[str, object], None]) -> None:
    record_testsuite_property("env", "staging")
    record_testsuite_property("component", "checkout")


@pytest.mark.parametrize("currency", ["EUR", "CZK"])
def test_receipt_names_the_currency(currency: str, record_property: Callable[[str, object], None]) -> None:
    record_property("requirement", "SHOP-42")
    record_property("currency", currency)
    assert currency in f"3 {currency}"


def test_receipt_is_signed(record_property: Callable[[str, object], None]) -> None:
    record_property("requirement", "SHOP-43")
    assert "signature" in "receipt"
