from __future__ import annotations

from ibutsu_tasks.packages import Check, Missed, Queue, Route, ScheduleRow, Setting, Subject, TaskPackage
from ibutsu_tasks.settings.values import seconds, whole_number


def pins(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


TOKEN = Setting("workshop_token", ("WORKSHOP_TOKEN",), "What the workshop shows at the door.", secret=True)
HOOK = Setting("workshop_hook", ("WORKSHOP_HOOK",), "Where it tells what it made.", secret=True)
PINS = Setting("workshop_pins", ("WORKSHOP_PINS",), "Numbers of its locks.", parse=pins, secret=True)
PAUSE = Setting("workshop_pause", ("WORKSHOP_PAUSE",), "Between two attempts.", 60.0, parse=seconds, unit="s")
SIZE = Setting("workshop_size", ("WORKSHOP_SIZE",), "Pieces at a time.", 7, parse=whole_number(1))

PACKAGE = TaskPackage(
    name="workshop",
    tasks=("workshop.tasks",),
    queues=(Queue("work"), Queue("later")),
    routes=(
        Route("workshop.first", "work", priority=9),
        Route("workshop.second", "work", priority=5),
        Route("workshop.third", "work", priority=2),
        Route("workshop.last", "work", priority=0),
        Route("workshop.aside", "later"),
        Route("workshop.*", "work"),
    ),
    schedule=(
        ScheduleRow("every-second", 1.0, "workshop.note", ("second",), priority=3),
        ScheduleRow("every-minute", "* * * * *", "workshop.first", ("minute",)),
        ScheduleRow("made-up-for", 3600, "workshop.note", ("made up for",)),
        ScheduleRow("left-out", 3600, "workshop.note", ("left out",), missed=Missed.SKIP),
    ),
    settings=(TOKEN, HOOK, PINS, PAUSE, SIZE),
    checks=(
        Check("doors", "WS-D", "workshop.checks:check_doors"),
        Check("tools", "WS-T", "workshop.checks:check_tools", ("broker",)),
    ),
    subjects=(Subject("piece_id", ("workshop.make", "workshop.deadly")),),
    tables="workshop.models:METADATA",
)
