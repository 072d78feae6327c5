"""What the check of the database says besides: without some indexes, prunes refuse to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibutsu_tasks.database.indexes import read_catalogue
from ibutsu_tasks.doctor.report import Finding, finding
from ibutsu_tasks.ibutsu.database.models import TABLES
from ibutsu_tasks.ibutsu.operations.prune.due import missing_indexes

if TYPE_CHECKING:
    from sqlalchemy import Connection


def judge_indexes(connection: Connection) -> list[Finding]:
    """Look for the indexes of the retention rules. Raises SQLAlchemyError."""
    missing = missing_indexes(read_catalogue(connection, TABLES))
    return [finding("IBT-D30", f"Prunes refuse to run: {one.problem}", one.remedy) for one in missing]
