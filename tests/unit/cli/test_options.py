from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.cli import COMMANDS, load_command
from ibutsu_tasks.cli.options import MAX_SECONDS, check_name, parse_seconds
from ibutsu_tasks.errors import UsageError


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e300", "1e12", "99999999999", "-1", "", "soon"])
def test_a_time_that_is_none_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_seconds("--wait", text)
    sentence = f"--wait must be a number of seconds from 0 to 31536000 (a year), not {text!r}."
    assert str(caught.value) == sentence


@given(st.text() | st.floats().map(repr) | st.integers().map(str))
def test_any_text_is_a_time_of_a_year_at_most_or_refused(text: str) -> None:
    try:
        seconds = parse_seconds("--wait", text, 0.1)
    except UsageError:
        return
    assert math.isfinite(seconds)
    assert 0.1 <= seconds <= MAX_SECONDS


@pytest.mark.parametrize("name", ["", "  ", "a\x1b[31m", "a\nb", "a\udcff"])
def test_a_name_nobody_could_read_is_refused(name: str) -> None:
    check_name("--queue", "slow queue, übrigens")
    with pytest.raises(UsageError, match="--queue"):
        check_name("--queue", name)


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_completion_is_installed_by_the_program_and_not_by_its_commands(row: object) -> None:
    command = load_command(row)  # type: ignore[arg-type]
    assert not [one.name for one in command.params if "completion" in str(one.name)]


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_arguments_are_named_in_upper_case(row: object) -> None:
    command = load_command(row)  # type: ignore[arg-type]
    shown = [one.metavar or one.name for one in command.params if one.param_type_name == "argument"]
    assert shown == [name.upper() for name in shown]
