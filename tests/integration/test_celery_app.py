"""The applications: names, wire names, schedule, and engines that never cross a fork."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

import ibutsu_tasks
from ibutsu_tasks import celery_app
from ibutsu_tasks.errors import DatabaseSchemaError, DatabaseUnreachableError, SettingsError
from ibutsu_tasks.ibutsu.schedule import SCHEDULE
from ibutsu_tasks.resources import Resources
from ibutsu_tasks.settings import load_settings
from tests.commands import environment, services

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings

WIRE_NAMES = {
    "ibutsu_server.tasks.importers.run_junit_import": ["import_"],
    "ibutsu_server.tasks.importers.run_archive_import": ["import_"],
    "ibutsu_server.tasks.runs.update_run": ["run_id"],
    "ibutsu_server.tasks.runs.sync_aborted_runs": [],
    "ibutsu_server.tasks.results.add_result_start_time": ["run_id"],
    "ibutsu_server.tasks.query.query_task": ["filter_", "page", "page_size", "estimate", "tablename"],
    "ibutsu_server.tasks.db.prune_old_files": ["months"],
    "ibutsu_server.tasks.db.prune_old_results": ["months"],
    "ibutsu_server.tasks.db.prune_old_runs": ["months"],
    "ibutsu_server.tasks.db.prune_old_import_files": ["days"],
    "ibutsu_server.tasks.db.clear_import_file_content": ["import_id"],
    "ibutsu_server.tasks.db.seed_users": ["projects"],
    "ibutsu_tasks.imports.reconcile_imports": [],
}


def test_the_tasks_are_the_contracts(settings: Settings) -> None:
    app = celery_app.create_celery_app(settings=settings)
    own = {name: task for name, task in app.tasks.items() if task.__module__.startswith("ibutsu_tasks.")}
    assert {name: list(inspect.signature(task.run).parameters) for name, task in own.items()} == WIRE_NAMES


def test_the_schedule_is_the_contracts_and_its_arguments_fit(settings: Settings) -> None:
    app = celery_app.create_celery_app(celery_app.SCHEDULER_NAME, settings)
    assert {name: str(entry["schedule"]) for name, entry in app.conf.beat_schedule.items()} == {
        "prune-old-import-files": "<crontab: 0 2 * * * (m/h/dM/MY/d)>",
        "prune-old-artifact-files": "<crontab: 0 4 * * 6 (m/h/dM/MY/d)>",
        "prune-old-results": "<crontab: 0 5 * * 6 (m/h/dM/MY/d)>",
        "prune-old-runs": "<crontab: 0 6 * * 6 (m/h/dM/MY/d)>",
        "sync-aborted-runs": "<crontab: */30 * * * * (m/h/dM/MY/d)>",
        "reconcile-imports": "<crontab: */5 * * * * (m/h/dM/MY/d)>",
    }
    for row in SCHEDULE:
        inspect.signature(app.tasks[row.task].run).bind(*row.args)
    assert {row.name: row.args for row in SCHEDULE} == {
        "prune-old-import-files": (7,),
        "prune-old-artifact-files": (3,),
        "prune-old-results": (5,),
        "prune-old-runs": (12,),
        "sync-aborted-runs": (),
        "reconcile-imports": (),
    }


def test_tasks_of_our_own_go_where_no_stock_worker_takes_them(settings: Settings) -> None:
    for app in (
        celery_app.create_celery_app(settings=settings),
        celery_app.create_client_app(settings),
        celery_app.create_broker_celery_app(settings=settings),
    ):
        for name in WIRE_NAMES:
            queue = app.amqp.router.route({}, name)["queue"].name
            assert queue == ("celery" if name.startswith("ibutsu_server.") else "ibutsu-tasks")


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("flower_app", "ibutsu_server_flower"),
        ("worker_app", "ibutsu_server_worker"),
        ("scheduler_app", "ibutsu_server_scheduler"),
    ],
)
def test_the_variants_have_the_contracts_names(
    attribute: str, name: str, broker_url: str, database_url: str
) -> None:
    program = f"import ibutsu_tasks; print(ibutsu_tasks.{attribute}.main)"
    env = environment(**services(broker_url, database_url))
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == name


def test_the_broker_app_needs_no_database_and_knows_no_tasks(broker_url: str) -> None:
    program = (
        "from ibutsu_tasks.celery_app import create_broker_celery_app\n"
        "app = create_broker_celery_app()\n"
        "print([name for name in app.tasks if not name.startswith('celery.')])"
    )
    env = environment(CELERY_BROKER_URL=broker_url)
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_an_unknown_attribute_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_app"):
        ibutsu_tasks.no_such_app  # noqa: B018


def test_an_app_without_settings_names_what_is_missing() -> None:
    with pytest.raises(SettingsError, match="CELERY_BROKER_URL and POSTGRESQL_HOST"):
        celery_app.create_celery_app(settings=load_settings(environ={}))


def test_a_connection_never_crosses_a_fork(resources: Resources) -> None:
    with resources.session() as session:
        parents = session.scalar(text("select pg_backend_pid()"))
    child = os.fork()
    if child == 0:
        resources.drop_after_fork()
        with resources.session() as session:
            own = session.scalar(text("select pg_backend_pid()"))
        os._exit(0 if own != parents else 1)
    assert os.waitpid(child, 0)[1] == 0
    with resources.session() as session:
        assert session.scalar(text("select pg_backend_pid()")) == parents


def test_a_session_commits_and_rolls_back(resources: Resources) -> None:
    with resources.session() as session:
        session.execute(text("create table kept (n int)"))
    with pytest.raises(ZeroDivisionError), resources.session() as session:  # noqa: PT012 - the error ends the transaction
        session.execute(text("insert into kept values (1)"))
        raise ZeroDivisionError
    with resources.session() as session:
        assert session.scalar(text("select count(*) from kept")) == 0


def test_a_lost_connection_is_an_error_worth_a_second_try(resources: Resources) -> None:
    with pytest.raises(DatabaseUnreachableError, match="did not work"), resources.session() as session:
        session.execute(text("select pg_terminate_backend(pg_backend_pid())"))
    with resources.session() as session:
        assert session.scalar(text("select 1")) == 1


def test_a_database_without_our_tables_is_said_to_be_so(empty_database_url: str) -> None:
    settings = load_settings({"database_url": empty_database_url}, environ={})
    resources = Resources(settings, "test")
    with (
        pytest.raises(DatabaseSchemaError, match='relation "runs" does not exist'),
        resources.session() as session,
    ):
        session.execute(text("select id from runs"))
    resources.close()


def test_an_unreachable_database_is_named_without_its_password() -> None:
    settings = load_settings(environ={"SQLALCHEMY_DATABASE_URI": "postgresql://u:hunter2@127.0.0.1:1/x"})
    with pytest.raises(DatabaseUnreachableError) as caught, Resources(settings, "test").session() as session:
        session.execute(text("select 1"))
    assert "127.0.0.1:1" in str(caught.value)
    assert "hunter2" not in str(caught.value)
