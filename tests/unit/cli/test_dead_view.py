"""Messages that were set aside, as a list shows them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.cli.dead.view import SHORTEST_ID, shortest_ids

ALIKE = st.text("ab", max_size=12).map(lambda end: "0123456" + end)


@given(st.lists(ALIKE | st.text(), unique=True))
def test_the_beginning_that_is_shown_of_an_id_is_its_alone_and_no_longer_than_that_takes(
    ids: list[str],
) -> None:
    for one, shown in shortest_ids(ids).items():
        assert one.startswith(shown)
        others = [other for other in ids if other != one]
        assert shown == one or not any(other.startswith(shown) for other in others)
        assert len(shown) <= SHORTEST_ID or any(other.startswith(shown[:-1]) for other in others)
