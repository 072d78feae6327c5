"""What the application declares."""

from ibutsu_tasks.packages import TaskPackage

PACKAGE = TaskPackage(name="notes", tasks=("tests.notes.tasks",))
