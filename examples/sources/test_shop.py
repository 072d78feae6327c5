# ruff: noqa: D101, D102, D103, D401, INP001, PLR2004, S101, T201 - written as people write tests
"""Tests of a small shop with every outcome pytest knows: the source of the pytest reports beside it."""

import logging
import warnings

import pytest

PRICES = {"tea": 3, "cake": 4}


def total(*articles: str) -> int:
    """Add up the prices of articles."""
    return sum(PRICES[article] for article in articles)


@pytest.fixture
def till() -> dict[str, int]:
    """A till that jams."""
    raise RuntimeError("the till is jammed")


class TestTotal:
    @pytest.mark.parametrize(("articles", "expected"), [(("tea",), 3), (("tea", "cake"), 7)])
    def test_adds_up(self, articles: tuple[str, ...], expected: int) -> None:
        print("adding", *articles)
        assert total(*articles) == expected

    def test_unknown_article_costs_nothing(self) -> None:
        logging.getLogger("shop").warning("no price for coffee")
        assert total("coffee") == 0

    def test_wrong_sum(self) -> None:
        warnings.warn("prices are from last year", stacklevel=1)
        assert total("tea", "cake") == 8


def test_pays_at_the_till(till: dict[str, int]) -> None:
    assert till["tea"] == 3


@pytest.mark.skip(reason="no card reader here")
def test_card() -> None:
    raise AssertionError


@pytest.mark.xfail(reason="discounts are not built yet")
def test_discount() -> None:
    assert total("tea", "tea", "tea") == 8


@pytest.mark.xfail(reason="thought to be broken")
def test_free_of_charge() -> None:
    assert total() == 0
