from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibutsu_tasks.errors import TaskArgumentsError, UsageError
from ibutsu_tasks.sending.arguments import (
    TaskSignature,
    check_arguments,
    find_task,
    list_tasks,
    parse_assignments,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def read(name: str, *words: str) -> dict[str, Any]:
    task = find_task(name)
    values = parse_assignments(task, words)
    check_arguments(task, (), values)
    return values


def test_every_task_has_a_short_name_of_its_own() -> None:
    tasks = list_tasks()
    assert len(tasks) == 13
    for task in tasks:
        assert find_task(task.short_name) == find_task(task.wire_name) == task
        assert task.summary.endswith(".")


def test_signature_is_shown_as_python_writes_it() -> None:
    assert str(find_task("update_run")) == "update_run(run_id: str)"
    assert str(find_task("seed_users")) == "seed_users(projects: dict[str, dict[str, Any]])"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("update_rn", "Did you mean update_run?"),
        ("ibutsu_server.tasks.runs.updat_run", "Did you mean update_run?"),
        ("prune_old_run", "prune_old_runs"),
        ("xyz", "The tasks are clear_import_file_content"),
    ],
)
def test_unknown_name_is_refused_with_what_comes_close(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        find_task(name)
    assert hint in caught.value.hint


def test_tasks_of_celery_itself_are_not_offered() -> None:
    with pytest.raises(UsageError):
        find_task("celery.backend_cleanup")


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("update_run", "run_id=123"), {"run_id": "123"}),
        (("update_run", "run_id=null"), {"run_id": "null"}),
        (("update_run", "run_id=a=b"), {"run_id": "a=b"}),
        (("prune_old_runs", "months=12"), {"months": 12}),
        (("prune_old_runs", 'months="12"'), {"months": "12"}),
        (("query_task", "filter_=null", "estimate=true"), {"filter_": None, "estimate": True}),
        (("query_task", 'filter_=["a=b"]', "tablename=runs"), {"filter_": ["a=b"], "tablename": "runs"}),
        (("run_junit_import", 'import_={"id": "x"}'), {"import_": {"id": "x"}}),
        (("sync_aborted_runs",), {}),
    ],
)
def test_values_are_json_where_the_task_takes_more_than_text(
    words: tuple[str, ...], values: dict[str, Any]
) -> None:
    assert read(*words) == values


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("update_run",), "update_run: missing a required argument: 'run_id'."),
        (("update_run", "run_ids=x"), "update_run has no argument run_ids. Did you mean run_id?"),
        (("update_run", "zzz=x"), "update_run has no argument zzz."),
        (("update_run", "x"), "'x' is not of the form NAME=VALUE."),
        (("update_run", "=x"), "'=x' is not of the form NAME=VALUE."),
        (("update_run", "run_id=x", "run_id=y"), "run_id is given twice."),
        (("sync_aborted_runs", "run_id=x"), "sync_aborted_runs has no argument run_id."),
        (("prune_old_runs", "months=soon"), 'months of prune_old_runs cannot be "soon".'),
        (("prune_old_runs", "months=1.5"), "months of prune_old_runs cannot be 1.5."),
        (("prune_old_runs", "months=true"), "months of prune_old_runs cannot be true."),
        (("query_task", "filter_=[1]"), "filter_ of query_task cannot be [1]."),
        (("run_junit_import", "import_=3"), "import_ of run_junit_import cannot be 3."),
    ],
)
def test_wrong_arguments_are_refused_with_the_signature(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(TaskArgumentsError) as caught:
        read(*words)
    assert str(caught.value) == sentence
    assert caught.value.hint == f"The task is {find_task(words[0])}."


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        (["a", "b"], {}, "update_run: too many positional arguments."),
        (["a"], {"run_id": "b"}, "update_run: multiple values for argument 'run_id'."),
        ([1], {}, "run_id of update_run cannot be 1."),
    ],
)
def test_positional_arguments_are_bound_like_a_call(
    args: list[Any], kwargs: dict[str, Any], sentence: str
) -> None:
    task = find_task("update_run")
    check_arguments(task, ["a"], {})
    with pytest.raises(TaskArgumentsError) as caught:
        check_arguments(task, args, kwargs)
    assert str(caught.value) == sentence


@given(text=st.text())
def test_text_arguments_are_never_changed(text: str) -> None:
    assert parse_assignments(find_task("update_run"), [f"run_id={text}"]) == {"run_id": text}


@given(value=JSON)
def test_any_json_is_taken_or_refused_in_one_sentence(value: object) -> None:
    task: TaskSignature = find_task("query_task")
    parsed = parse_assignments(task, [f"filter_={json.dumps(value)}"])
    assert parsed == {"filter_": value}
    fits = value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value))
    if fits:
        check_arguments(task, (), parsed)
    else:
        with pytest.raises(TaskArgumentsError, match=r"^filter_ of query_task cannot be .*\.$"):
            check_arguments(task, (), parsed)


@pytest.mark.parametrize("value", ['["env=\\ud800"]', '["env=\udcff"]'])
def test_what_is_no_text_is_refused_before_a_message_is_made_of_it(value: str) -> None:
    with pytest.raises(TaskArgumentsError, match=r"filter_ of query_task is no UTF-8 text\."):
        read("query_task", f"filter_={value}")
