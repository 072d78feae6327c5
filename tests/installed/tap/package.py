from __future__ import annotations

from ibutsu_tasks.packages import Importer, Queue, Route, TaskPackage

PACKAGE = TaskPackage(
    name="tap",
    tasks=("tap.tasks",),
    queues=(Queue("tap"),),
    routes=(Route("tap.*", "tap"),),
    importers=(Importer("tap", "tap.import", "tap.reader:is_tap", "tap.reader:read_tap", help="TAP"),),
)
