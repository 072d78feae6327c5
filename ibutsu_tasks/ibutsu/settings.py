"""The settings that Ibutsu's tasks and commands have beside those of every Celery system."""

from __future__ import annotations

from ibutsu_tasks.ibutsu.retention import parse_project_ages
from ibutsu_tasks.packages import Setting
from ibutsu_tasks.settings.values import seconds, whole_number

IMPORT_MAX_UNPACKED_BYTES = Setting(
    "import_max_unpacked_bytes",
    ("IBUTSU_TASKS_IMPORT_MAX_UNPACKED_BYTES",),
    "What an archive may unpack to.",
    4 * 1024**3,
    parse=whole_number(1, 2**63 - 1),
    unit="bytes",
)
IMPORT_STUCK_SECONDS = Setting(
    "import_stuck_seconds",
    ("IBUTSU_TASKS_IMPORT_STUCK_SECONDS",),
    "An import older than this that has not ended and is nowhere is sent again.",
    600.0,
    parse=seconds,
    unit="s",
)
QUERY_MAX_ROWS = Setting(
    "query_max_rows",
    ("IBUTSU_TASKS_QUERY_MAX_ROWS",),
    "Largest page `query_task` answers.",
    50_000,
    parse=whole_number(1),
)
RETENTION = Setting(
    "retention",
    ("IBUTSU_TASKS_RETENTION",),
    "Ages of projects that differ from a rule's: `demo:results=120d,archive:runs=never`.",
    (),
    parse=parse_project_ages,
    default_text="none",
)

SETTINGS = (IMPORT_MAX_UNPACKED_BYTES, IMPORT_STUCK_SECONDS, QUERY_MAX_ROWS, RETENTION)
