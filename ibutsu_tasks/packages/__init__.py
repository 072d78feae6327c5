"""Task packages: what one declares, and which are loaded."""

from ibutsu_tasks.packages.declaration import (
    HIGHEST_PRIORITY,
    Canary,
    Check,
    Importer,
    Missed,
    Queue,
    Route,
    ScheduleRow,
    Setting,
    Subject,
    TaskPackage,
)
from ibutsu_tasks.packages.loading import Packages, broker_priority, choose, loaded, named_by, resolve

__all__ = [
    "HIGHEST_PRIORITY",
    "Canary",
    "Check",
    "Importer",
    "Missed",
    "Packages",
    "Queue",
    "Route",
    "ScheduleRow",
    "Setting",
    "Subject",
    "TaskPackage",
    "broker_priority",
    "choose",
    "loaded",
    "named_by",
    "resolve",
]
