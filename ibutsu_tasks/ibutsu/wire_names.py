"""The names of tasks and queue in messages: a public interface, which an Ibutsu API server speaks."""

from __future__ import annotations

RUN_JUNIT_IMPORT = "ibutsu_server.tasks.importers.run_junit_import"
RUN_ARCHIVE_IMPORT = "ibutsu_server.tasks.importers.run_archive_import"
UPDATE_RUN = "ibutsu_server.tasks.runs.update_run"
SYNC_ABORTED_RUNS = "ibutsu_server.tasks.runs.sync_aborted_runs"
ADD_RESULT_START_TIME = "ibutsu_server.tasks.results.add_result_start_time"
QUERY_TASK = "ibutsu_server.tasks.query.query_task"
PRUNE_OLD_FILES = "ibutsu_server.tasks.db.prune_old_files"
PRUNE_OLD_RESULTS = "ibutsu_server.tasks.db.prune_old_results"
PRUNE_OLD_RUNS = "ibutsu_server.tasks.db.prune_old_runs"
PRUNE_OLD_IMPORT_FILES = "ibutsu_server.tasks.db.prune_old_import_files"
CLEAR_IMPORT_FILE_CONTENT = "ibutsu_server.tasks.db.clear_import_file_content"
SEED_USERS = "ibutsu_server.tasks.db.seed_users"

RECONCILE_IMPORTS = "ibutsu_tasks.imports.reconcile_imports"
"""A task of our own, which the workers of an unmodified Ibutsu server do not know."""

OWN_QUEUE = "ibutsu-tasks"
"""The queue of our own tasks: workers of an unmodified server do not consume it, so none throws them away."""
