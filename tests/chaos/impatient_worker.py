"""A worker that soon asks whether the database is silent."""

from __future__ import annotations

import sys

from ibutsu_tasks.database import silence
from ibutsu_tasks.roles.start import run_worker
from ibutsu_tasks.settings import load_settings

ANSWER_SECONDS = 4.0


def main() -> int:
    silence.LOOK_SECONDS = 0.25
    silence.PATIENCE_SECONDS = 1.0
    silence.ANSWER_SECONDS = ANSWER_SECONDS
    return run_worker(load_settings(), sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
