"""Filters as nobody would write them, each piece a user chose marked, so that it can be found again."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from ibutsu_tasks.ibutsu.database.models import Result, Run

MARK = "481516"
"""In every path key and value; digits, so that numbers, times and identifiers can hold it as well."""

SIGNS = ("=", "!", ">", "<", ")", ">=", "(", "<=", "~", "*", "%", "@")
COLUMNS = sorted({*Result.__table__.columns.keys(), *Run.__table__.columns.keys()})
_SPECIAL = (
    "'",
    '"',
    ";",
    "%",
    "%%",
    "%s",
    "%(a)s",
    ":a",
    "::",
    "\\",
    "$$",
    "--",
    "/*",
    "?",
    "{}",
    "()",
    "\n",
)
_PIECES = st.lists(st.text(max_size=8) | st.sampled_from(_SPECIAL), max_size=6).map("".join)


@dataclass(frozen=True, slots=True)
class WildFilter:
    """A filter's three pieces; `keys` are those of its path that were made up."""

    field: str
    keys: tuple[str, ...]
    sign: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}{self.sign}{self.value}"


def _marked(before: str, after: str, times: int) -> str:
    return (before + MARK + after) * times


def marked_texts() -> st.SearchStrategy[str]:
    """Any text around the mark, now and then a very long one."""
    return st.builds(_marked, _PIECES, _PIECES, st.sampled_from((1, 1, 1, 1, 1, 1, 1, 2_000)))


def path_keys() -> st.SearchStrategy[str]:
    """Any text a path can name: without the signs, without a dot, and bare at its ends."""
    return st.builds(_marked, _PIECES, _PIECES, st.sampled_from((1, 1, 1, 1, 1, 50))).map(
        lambda key: key.translate(dict.fromkeys(map(ord, "=!><)(~*%@."))).strip()
    )


def _filter(root: str, keys: list[str], last: str, sign: str, value: str) -> WildFilter:
    return WildFilter(".".join(filter(None, (root, *keys, last))), tuple(keys), sign, value)


_TYPED_VALUES = st.one_of(
    st.integers().map(lambda number: f"{number}{MARK}.5"),
    st.datetimes().map(lambda moment: f"{moment:%Y-%m-%dT%H:%M}:00.{MARK}".zfill(26)),
    st.uuids().map(lambda identifier: str(identifier)[:-6] + MARK),
    st.sampled_from(("y", "no")),
)
_ROOTS = ("metadata", "data", "summary")
_LAST_KEYS = ("", "", "tags", "markers", "pass_percent", "failures")


def wild_filters() -> st.SearchStrategy[WildFilter]:
    """Filters that follow the grammar, on columns and on paths of any keys."""
    return st.builds(
        _filter,
        st.sampled_from(_ROOTS),
        st.lists(path_keys(), max_size=4),
        st.sampled_from(_LAST_KEYS),
        st.sampled_from(SIGNS),
        marked_texts() | _TYPED_VALUES,
    ) | st.builds(
        WildFilter,
        st.sampled_from(COLUMNS),
        st.just(()),
        st.sampled_from(SIGNS),
        marked_texts() | _TYPED_VALUES,
    )


def wild_texts() -> st.SearchStrategy[str]:
    """Text that may or may not be a filter."""
    anything = st.builds("".join, st.tuples(marked_texts(), st.sampled_from(("", *SIGNS)), marked_texts()))
    return anything | wild_filters().map(str)
