from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ibutsu_tasks.doctor.report import Finding, advice, unreachable, well, wrong
from workshop.package import SIZE, TOKEN

if TYPE_CHECKING:
    from ibutsu_tasks.settings import Settings


def check_doors(settings: Settings) -> list[Finding]:
    """What it finds is said by a variable, so that each kind is seen."""
    token = settings.value(TOKEN)
    match os.environ.get("WORKSHOP_DOORS", "well"):
        case "well":
            return [well("WS-D00", f"{settings.value(SIZE)} doors are shut.")]
        case "advice":
            return [advice("WS-D10", "A door creaks.", "Oil it.")]
        case "wrong":
            return [wrong("WS-D01", "A door is open.", "Shut it.")]
        case "unreachable":
            return [unreachable("WS-D02", "A door is far away.", "Walk.")]
        case "raises":
            raise RuntimeError(f"no key fits but {token}")
        case "hangs":
            time.sleep(60)
    return []


def check_tools(_: Settings) -> list[Finding]:
    return [well("WS-T00", "All tools are there.")]
