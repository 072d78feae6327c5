"""What the settings alone tell, with nothing to connect to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.doctor import examine, names
from ibutsu_tasks.doctor.checks.settings import check_settings, obstacles, unusable_settings
from ibutsu_tasks.doctor.codes import Verdict
from ibutsu_tasks.doctor.report import MAX_REASON_CHARACTERS, reason_of, variable_of
from ibutsu_tasks.errors import SettingsError
from ibutsu_tasks.settings import load_settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"broker_url": "redis://h/0", "database_url": "postgresql://u@h/n"}


def codes(**values: Any) -> list[str]:
    return [item.code for item in check_settings(read_settings(values, environ={}))]


def test_nothing_set_names_every_variable() -> None:
    report = examine(load_settings(environ={}))
    assert report.verdict is Verdict.SETTINGS
    told = str(report.as_json())
    assert "CELERY_BROKER_URL" in told
    assert "POSTGRESQL_HOST" in told
    assert "ibutsu-tasks up" in told
    assert {item.severity for item in report.findings if item.check not in {"settings", "packages"}} == {
        "skipped"
    }


def test_only_what_the_chosen_check_needs_is_missed() -> None:
    report = examine(load_settings(environ={}), ["database"])
    assert [item.code for item in report.findings] == ["IBT-S02", "IBT-D80"]
    report = examine(load_settings(environ={}), ["beat"])
    assert [item.code for item in report.findings] == ["IBT-S01", "IBT-T80"]


def test_all_well() -> None:
    assert codes(**GOOD) == ["IBT-S00"]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"broker_url": "redis://h:port/0"}, "IBT-S03"),
        ({"broker_url": "redis://h:99999/0"}, "IBT-S03"),
        ({"result_backend": "redis://[::1/0"}, "IBT-S03"),
        ({"database_url": "postgresql://u@h:port/n"}, "IBT-S03"),
        ({"postgresql_port": "many"}, "IBT-S03"),
        ({"worker_concurrency": "many"}, "IBT-S04"),
        ({"scratch_dir": "/proc/nowhere"}, "IBT-S04"),
        ({"flower_url": "localhost:5555"}, "IBT-S03"),
        ({"flower_url": "http://[::1"}, "IBT-S03"),
        ({"task_soft_time_limit_seconds": 60.0, "task_time_limit_seconds": 60.0}, "IBT-S10"),
        ({"flower_address": "0.0.0.0"}, "IBT-S11"),  # noqa: S104 - the address to be warned of
        ({"postgresql_host": "elsewhere"}, "IBT-S12"),
    ],
)
def test_what_is_wrong(values: dict[str, Any], code: str) -> None:
    assert codes(**GOOD | values) == [code]


@pytest.mark.parametrize(
    "values",
    [
        {"flower_address": "0.0.0.0", "flower_basic_auth": "op:pass"},  # noqa: S104 - behind a password
        {"task_soft_time_limit_seconds": 50.0, "task_time_limit_seconds": 60.0},
        {"flower_url": "https://flower.example/base"},
    ],
)
def test_what_is_not_wrong(values: dict[str, Any]) -> None:
    assert codes(**GOOD | values) == ["IBT-S00"]


def test_an_unusable_backend_does_not_hold_up_the_broker() -> None:
    settings = read_settings({**GOOD, "result_backend": "redis://h:port/0"}, environ={})
    assert obstacles(settings, names()).keys() == {"backend"}


def test_a_file_of_settings_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ={}, env_file=tmp_path)
    found = unusable_settings(caught.value)
    assert (found.code, found.verdict) == ("IBT-S04", Verdict.SETTINGS)
    assert "regular file" in found.seen


def test_every_unusable_setting_is_a_finding_of_its_own_line() -> None:
    environ = {"CELERY_BROKER_URL": "amqp://h", "FLOWER_PORT": "many", "CELERY_TASK_TIME_LIMIT": "0"}
    report = examine(read_settings(environ=environ), ["settings"])
    found = {item.code: item for item in report.findings}
    assert [item.code for item in report.findings] == ["IBT-S03", "IBT-S02", "IBT-S04", "IBT-S04"]
    assert all("\n" not in item.seen + item.hint for item in report.findings)
    assert found["IBT-S03"].hint == "Correct CELERY_BROKER_URL."


def test_what_has_no_effect_is_remarked_on() -> None:
    environ = {"CELERY_BROKER_URL": "redis://h", "POSTGRESQL_HOST": "h", "POSTGRESQL_DB": "n"}
    settings = read_settings(environ=environ | {"IBUTSU_TASKS_QUERY_MAX_ROW": "1"})
    [found] = check_settings(settings)
    assert (found.code, found.verdict) == ("IBT-S13", Verdict.GOOD)
    assert "IBUTSU_TASKS_QUERY_MAX_ROWS" in found.seen


def test_hints_name_what_the_value_came_from() -> None:
    assert variable_of(load_settings({"broker_url": "redis://h"}, environ={}), "broker_url") == "--broker-url"
    from_environment = load_settings(environ={"CELERY_RESULT_BACKEND_URL": "redis://h"})
    assert variable_of(from_environment, "result_backend") == "CELERY_RESULT_BACKEND_URL"
    assert variable_of(from_environment, "broker_url") == "CELERY_BROKER_URL"


PASSWORDS = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=4, max_size=30)


@given(PASSWORDS, st.text(max_size=300))
def test_a_reason_never_tells_a_password(password: str, around: str) -> None:
    settings = load_settings({"postgresql_password": f"p{password}"}, environ={})
    told = reason_of(ValueError(f"{around} p{password} {around}"), settings)
    assert f"p{password}" not in told
    assert "\n" not in told
    assert len(told) <= MAX_REASON_CHARACTERS + 1


def test_a_reason_never_tells_the_password_of_a_url() -> None:
    settings = load_settings({"broker_url": "redis://:p%40ss-word@h:1/0"}, environ={})
    told = reason_of(ValueError("no p@ss-word and p%40ss-word in redis://:p%40ss-word@h:1/0"), settings)
    assert "ss-word" not in told
