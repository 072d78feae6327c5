"""A probe as a whole process, against an interpreter that does nothing and `celery inspect ping`."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.measuring import Figure, interleave, ratio, seconds, speedup
from tests.benchmarks.system import ROOT
from tests.commands import CELERY, PROGRAM, environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.system import Bench

ROUNDS = 15
PING_ROUNDS = 5

FAST_SECONDS = 0.04
"""A probe may take this, or 2.5 times an empty interpreter where that is longer."""


def run(bench: Bench) -> list[Figure]:
    """Ask a worker that is idle, in turns."""
    with bench.system() as system:
        # Bytecode is there after an installation, and after the warm-up here.
        env = environment(PYTHONDONTWRITEBYTECODE="", **system.env)
        probe = [PROGRAM, "probe", "live", "--role", "worker"]
        ping = [CELERY, "-b", system.broker_url, "inspect", "ping", "--timeout", "1"]
        with system.worker("--concurrency", "1"):
            _run(probe, env)
            ours, empty = interleave(
                lambda: seconds(partial(_run, probe, env)),
                lambda: seconds(partial(_run, [sys.executable, "-c", "pass"], env)),
                rounds=ROUNDS,
            )
            our_cpu, ping_cpu = interleave(
                partial(_cpu_seconds, probe, env), partial(_cpu_seconds, ping, env), rounds=PING_ROUNDS
            )
    return [
        ratio("python -c pass", ours, empty, "s", at_most=max(2.5, FAST_SECONDS / empty)),
        speedup("CPU of inspect ping", our_cpu, ping_cpu, "s", at_least=15),
    ]


def _run(argv: list[str], env: Mapping[str, str]) -> None:
    subprocess.run(argv, env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _cpu_seconds(argv: list[str], env: Mapping[str, str]) -> float:
    before = _children_seconds()
    _run(argv, env)
    return _children_seconds() - before


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
