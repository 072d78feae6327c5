"""Ibutsu as a task package, and the model of every other."""

from __future__ import annotations

from uuid import uuid4

from ibutsu_tasks.ibutsu.retention import RETENTION_RULES
from ibutsu_tasks.ibutsu.schedule import SCHEDULE
from ibutsu_tasks.ibutsu.settings import SETTINGS
from ibutsu_tasks.ibutsu.wire_names import (
    ADD_RESULT_START_TIME,
    CLEAR_IMPORT_FILE_CONTENT,
    OWN_QUEUE,
    RECONCILE_IMPORTS,
    RUN_ARCHIVE_IMPORT,
    RUN_JUNIT_IMPORT,
    UPDATE_RUN,
)
from ibutsu_tasks.packages import Canary, Check, Importer, Queue, Route, Subject, TaskPackage
from ibutsu_tasks.wire_names import DEFAULT_QUEUE

_ROOM = "ibutsu_tasks.ibutsu"

PACKAGE = TaskPackage(
    name="ibutsu",
    tasks=(
        f"{_ROOM}.tasks.imports",
        f"{_ROOM}.tasks.reconciliation",
        f"{_ROOM}.tasks.runs",
        f"{_ROOM}.tasks.query",
        f"{_ROOM}.tasks.db",
    ),
    signatures=f"{_ROOM}.signatures:STUBS",
    # An unmodified API server publishes to the first and to no other.
    queues=(Queue(DEFAULT_QUEUE, always=True), Queue(OWN_QUEUE, always=True)),
    routes=(Route(RECONCILE_IMPORTS, OWN_QUEUE),),
    schedule=SCHEDULE,
    subjects=(
        Subject("import_id", (CLEAR_IMPORT_FILE_CONTENT,)),
        Subject("run_id", (UPDATE_RUN, ADD_RESULT_START_TIME)),
    ),
    importers=(
        Importer(
            "junit",
            RUN_JUNIT_IMPORT,
            recognizes=f"{_ROOM}.importers.detection:is_junit",
            reads=f"{_ROOM}.importers.junit.reader:parse_junit",
            help="JUnit XML",
        ),
        Importer(
            "archive",
            RUN_ARCHIVE_IMPORT,
            recognizes=f"{_ROOM}.importers.detection:is_archive",
            reads=f"{_ROOM}.importers.archive.reader:parse_archive",
            help="an archive written by pytest-ibutsu",
        ),
    ),
    settings=SETTINGS,
    checks=(Check("imports", "IBT-I", f"{_ROOM}.doctor.imports:check_imports", ("broker", "database")),),
    retention=RETENTION_RULES,
    canary=Canary(UPDATE_RUN, lambda: (str(uuid4()),)),
    tables=f"{_ROOM}.database.models:METADATA",
    create_tables=f"{_ROOM}.database.models:create_tables",
    migrate="Run the migrations of the Ibutsu API server on it.",
    sent_at=f"{_ROOM}.operations.imports.uploads:sent_at",
    reopen=f"{_ROOM}.operations.imports.content:reopen_message",
    database_metrics=f"{_ROOM}.metrics:of_database",
)
