"""`prune` and what stands around it, for the rules of a task package, beside Ibutsu's and without them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text

from ibutsu_tasks.broker.connection import build_client
from ibutsu_tasks.retention.history import read_history
from tests.commands import run, run_here, services
from tests.packaged import ATTIC, INSTALLED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine

ALONE = ATTIC | {"IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu"}
NONE = {"IBUTSU_TASKS_WITHOUT_PACKAGES": "ibutsu"}
OLD = "now() - interval '60 days'"


@pytest.fixture(autouse=True)
def _attic_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(INSTALLED)


@pytest.fixture
def env(broker_url: str, empty_database_url: str) -> dict[str, str]:
    """A system of the attic alone."""
    env = services(broker_url, empty_database_url) | ALONE
    assert run_here("db", "create", env=env).returncode == 0
    return env


@pytest.fixture
def engine(env: dict[str, str]) -> Iterator[Engine]:
    engine = create_engine(env["SQLALCHEMY_DATABASE_URI"])
    yield engine
    engine.dispose()


def store_boxes(engine: Engine, *states: str) -> None:
    insert = text(f"""insert into "Odd ""boxes"" of 100%" values (:state, {OLD}, :state)""")  # noqa: S608
    with engine.begin() as connection:
        for state in states:
            connection.execute(insert, {"state": state})


def document(*arguments: str, env: Mapping[str, str]) -> Any:
    return json.loads(run_here(*arguments, "--json", env=env).stdout)


def test_a_rule_is_planned_run_and_recorded(env: dict[str, str], engine: Engine) -> None:
    store_boxes(engine, "packed", "kept")
    planned = document("prune", "old-boxes", "--dry-run", env=env)
    assert [table["rows"] for table in planned["plan"][0]["tables"]] == [1, 0, 0]
    done = run("prune", "all", "--yes", "--vacuum", env=env)
    assert done.returncode == 0, done.stderr
    assert "Deleted 1 row" in done.stderr
    assert 'Vacuumed Odd "boxes" of 100%' in done.stderr
    history = document("prune", "--history", env=env)["prunes"]
    assert [(one["rule"], one["state"], one["rows"]) for one in history] == [
        ("old-days", "done", 0),
        ("old-boxes", "done", 1),
    ]
    with engine.connect() as connection:
        assert connection.scalar(text('select label from "Odd ""boxes"" of 100%"')) == "kept"


def test_a_task_of_three_lines_runs_it(env: dict[str, str], engine: Engine, broker_url: str) -> None:
    store_boxes(engine, "packed", "kept")
    done = run("enqueue", "attic.clear", "days=30", "--local", "--json", env=env)
    result = json.loads(done.stdout)["result"]
    assert (result["rule"], result["deleted"]['Odd "boxes" of 100%'], result["left"]) == ("old-boxes", 1, 0)
    with build_client(broker_url) as client:
        assert [(one.rule, one.by) for one in read_history(client)] == [("old-boxes", "task")]
    refused = json.loads(run("enqueue", "attic.clear", "days=6", "--local", "--json", env=env).stdout)
    assert refused["result"]["skipped"] == "Skipped: days parameter (6) must be >= 7"


def test_enqueue_sends_the_task_of_a_rule(env: dict[str, str]) -> None:
    sent = document("prune", "all", "--enqueue", "--yes", env=env)["sent"]
    assert [(one["task"], one["arguments"]) for one in sent] == [
        ("attic.clear", {"days": 30}),
        ("attic.forget", {"months": 12}),
    ]


def test_help_names_the_rules_of_all_packages() -> None:
    told = " ".join(run("prune", "--help", env=ATTIC).stdout.split())
    assert "`runs`: runs, their results and artifacts, 360 days; `old-boxes`: boxes that nobody keeps" in told
    assert "`all`: those of all task packages" in told
    assert "old-boxes" not in run("prune", "--help").stdout
    assert "`runs`" not in run("prune", "--help", env=ALONE).stdout


@pytest.mark.parametrize(
    ("variables", "arguments", "said"),
    [
        (ALONE, ["old-box"], "Did you mean 'old-boxes'?"),
        (ALONE, ["runs"], "There is no retention rule 'runs'"),
        (ALONE, [], "Name a rule: old-boxes, old-days or all."),
        (ALONE, ["old-boxes", "--older-than", "6d"], "younger than 7 days are never deleted"),
        (ALONE, ["old-days", "--older-than", "45d", "--enqueue"], "counts whole months of 30 days"),
        (ALONE, ["old-days", "--archive", "x"], "what old-days deletes is never archived"),
        (ATTIC, ["all", "--archive", "x"], "what old-boxes, old-days deletes is never archived"),
        (NONE, ["all"], "No task package has a retention rule."),
        (NONE, ["runs"], "No task package has a retention rule."),
        (NONE, [], "No task package has a retention rule."),
        (NONE, ["--history"], "No task package has a retention rule."),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(
    variables: Mapping[str, str], arguments: list[str], said: str
) -> None:
    nowhere = services("redis://127.0.0.1:1/0", "postgresql://a@127.0.0.1:1/b")
    done = run_here("prune", *arguments, env=nowhere | variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())


def test_packages_lists_the_rules() -> None:
    shown = {one["name"]: one["retention"] for one in document("packages", env=ATTIC)["packages"]}
    assert shown == {"ibutsu": ["imports", "files", "results", "runs"], "attic": ["old-boxes", "old-days"]}
    assert "old-boxes, old-days" in " ".join(run_here("packages", env=ATTIC).stdout.split())


def test_the_doctor_and_the_metrics_know_them(env: dict[str, str], engine: Engine) -> None:
    def found() -> list[tuple[str, str]]:
        return [
            (one["code"], one["seen"]) for one in document("doctor", "--only", "prunes", env=env)["findings"]
        ]

    store_boxes(engine, "kept")
    assert [code for code, _ in found()] == ["IBT-P00"]
    store_boxes(engine, "packed")
    ((code, seen),) = found()
    assert (code, 'Rows of Odd "boxes" of 100% have been due' in seen) == ("IBT-P10", True)
    # Tables of another package that are not there hide nothing of this one.
    beside = env | {"IBUTSU_TASKS_WITHOUT_PACKAGES": ""}
    findings = document("doctor", "--only", "prunes", env=beside)["findings"]
    assert [one["code"] for one in findings] == ["IBT-D21", "IBT-P10"]
    assert run_here("prune", "old-boxes", "--yes", env=env).returncode == 0
    assert [code for code, _ in found()] == ["IBT-P00"]
    told = run_here("metrics", env=env).stdout
    assert 'ibutsu_tasks_prune_last_success_rows{rule="old-boxes"} 1.0' in told
    assert 'ibutsu_tasks_prune_last_success_timestamp_seconds{rule="old-days"} 0.0' in told
    with engine.begin() as connection:
        connection.execute(text('drop index "ix_attic_Things_box"'))
    indexes = document("doctor", "--only", "database", env=env)["findings"]
    assert ("IBT-D30", True) in [(one["code"], "attic_Things.box" in one["seen"]) for one in indexes]


def test_a_package_adds_to_what_is_said_of_its_tables_and_to_the_metrics(
    env: dict[str, str], engine: Engine, broker_url: str
) -> None:
    (found,) = document("doctor", "--only", "database", env=env)["findings"]
    assert (found["code"], found["hint"]) == ("AT-D10", "Write today down.")
    with engine.begin() as connection:
        connection.execute(text("insert into attic_days values (current_date)"))
    (found,) = document("doctor", "--only", "database", env=env)["findings"]
    assert found["code"] == "IBT-D00"
    with build_client(broker_url) as client:
        client.rpush("attic:visitors", "cat", "mouse")
        assert "ibutsu_tasks_attic_visitors 2.0" in run_here("metrics", env=env).stdout
        client.set("attic:visitors", "no list")
        told = run_here("metrics", env=env).stdout
    assert "attic_visitors" not in told
    assert "ibutsu_tasks_prune_last_success_timestamp_seconds" in told


def test_without_any_rule_nothing_is_said_of_prunes() -> None:
    assert "prunes" in run_here("doctor", "--only", "x", env=ATTIC).stderr
    assert "prunes" not in run_here("doctor", "--only", "x", env=NONE).stderr


def test_the_doctor_names_rules_that_no_prune_can_run(env: dict[str, str]) -> None:
    env |= {"IBUTSU_TASKS_PACKAGES": "attic.package,attic.wrong"}
    findings = document("doctor", "--only", "packages", env=env)["findings"]
    assert {one["code"] for one in findings} == {"IBT-K05"}
    assert len(findings) == 14
    done = run_here("prune", "two-keys", "--dry-run", env=env)
    assert (done.returncode, "the key of attic_visits is not one column" in done.stderr) == (3, True)
