"""Commands as whole processes, against Celery's own commands on the same broker."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.measuring import Figure, interleave, ratio, seconds, single
from tests.benchmarks.system import ROOT
from tests.commands import CELERY, PROGRAM, environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.system import Bench, BenchSystem

ROUNDS = 15
TASK = "ibutsu_server.tasks.runs.update_run"
RUN_ID = "5a4be2d1-0d0c-4b4c-9a3b-0d5b1a5f9a11"
LINTED = str(ROOT / "examples/results/pytest-junit.xml")

PYTHON, CELERY_HELP, CELERY_CALL = "python -c pass", "celery --help", "celery call"

TARGETS = {
    "--version": (PYTHON, 4.0),
    "--help": (CELERY_HELP, 0.35),
    "worker --help": (CELERY_HELP, 0.35),
    "prune --help": (CELERY_HELP, 0.35),
    "config": (CELERY_HELP, 0.35),
    f"lint {LINTED}": (CELERY_HELP, 0.35),
    "doctor --only broker": (CELERY_HELP, 0.5),
    f"enqueue {TASK} run_id={RUN_ID}": (CELERY_CALL, 0.8),
}
"""Arguments of ours, what they are held against, and the part of its time they may take."""

TABS = {"Tab: a command": "ibutsu-tasks pr", "Tab: an option": "ibutsu-tasks prune --"}
"""The command line when Tab is pressed, its last word unfinished."""

TAB_SECONDS = 0.2


def run(bench: Bench) -> list[Figure]:
    """Start every command once per round, in turns; each sends its message to a broker without workers."""
    with bench.system() as system:
        commands = _commands(system)
        sides = [partial(_process_seconds, argv, env) for argv, env in commands.values()]
        for warm_up in sides:
            warm_up()
        medians = dict(zip(commands, interleave(*sides, rounds=ROUNDS), strict=True))
    return [
        *(
            ratio(_label(arguments), medians[arguments], medians[reference], "s", at_most=bound)
            for arguments, (reference, bound) in TARGETS.items()
        ),
        *(single(label, medians[label], "s", at_most=TAB_SECONDS) for label in TABS),
    ]


def _label(arguments: str) -> str:
    """Shorten the words of a command to those that choose it."""
    first, *others = arguments.split()
    return first if first in {"lint", "enqueue"} else " ".join([first, *others])


def _commands(system: BenchSystem) -> dict[str, tuple[list[str], Mapping[str, str]]]:
    # Bytecode is there after an installation, and after the warm-up here.
    env = environment(PYTHONDONTWRITEBYTECODE="", **system.env)
    call = ["-b", system.broker_url, "call", TASK, "--kwargs", f'{{"run_id": "{RUN_ID}"}}']
    return {
        PYTHON: ([sys.executable, "-c", "pass"], env),
        CELERY_HELP: ([CELERY, "--help"], env),
        CELERY_CALL: ([CELERY, *call], env),
        **{arguments: ([PROGRAM, *arguments.split()], env) for arguments in TARGETS},
        **{label: ([PROGRAM], env | _completion_request(line)) for label, line in TABS.items()},
    }


def _completion_request(line: str) -> dict[str, str]:
    """Give the variables with which bash asks for completions of the last word."""
    words = line.split(" ")
    return {
        "_IBUTSU_TASKS_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }


def _process_seconds(argv: list[str], env: Mapping[str, str]) -> float:
    return seconds(lambda: subprocess.run(argv, env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL))
