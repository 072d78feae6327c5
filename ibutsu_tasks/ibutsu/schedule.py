"""What beat sends of Ibutsu's and when, one row each (contract of the Ibutsu server, section 6)."""

from __future__ import annotations

from ibutsu_tasks.ibutsu.wire_names import (
    PRUNE_OLD_FILES,
    PRUNE_OLD_IMPORT_FILES,
    PRUNE_OLD_RESULTS,
    PRUNE_OLD_RUNS,
    RECONCILE_IMPORTS,
    SYNC_ABORTED_RUNS,
)
from ibutsu_tasks.packages import Missed, ScheduleRow

SCHEDULE = (
    ScheduleRow("prune-old-import-files", "0 2 * * *", PRUNE_OLD_IMPORT_FILES, (7,)),
    ScheduleRow("prune-old-artifact-files", "0 4 * * 6", PRUNE_OLD_FILES, (3,)),
    ScheduleRow("prune-old-results", "0 5 * * 6", PRUNE_OLD_RESULTS, (5,)),
    ScheduleRow("prune-old-runs", "0 6 * * 6", PRUNE_OLD_RUNS, (12,)),
    ScheduleRow("sync-aborted-runs", "*/30 * * * *", SYNC_ABORTED_RUNS),
    ScheduleRow("reconcile-imports", "*/5 * * * *", RECONCILE_IMPORTS, missed=Missed.SKIP),
)
