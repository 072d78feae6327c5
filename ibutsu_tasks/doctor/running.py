"""Runs checks side by side, each within its limit and all of them within ten seconds.

Every check has a daemon thread: one that is stuck in a library's connect is left behind and cannot
hold up the end of the process.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ibutsu_tasks.doctor.codes import BROKE, NO_ANSWER, SKIPPED, Severity, Verdict
from ibutsu_tasks.doctor.report import Finding, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ibutsu_tasks.settings import Settings

CALL_SECONDS = 1.5
"""One connect or one answer; two round trips to another continent and its TLS take half of it."""

CHECK_SECONDS = 3.0
"""A check that takes longer (a name server that hangs, a peer that drips bytes) is given up."""

TOTAL_SECONDS = 8.0
"""All checks; two seconds are left for the start of the process and its end."""

HOLD_UPS = frozenset({Verdict.SETTINGS, Verdict.UNREACHABLE})
"""Verdicts on a service that make asking its dependants pointless."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: the function, how its codes begin, and the checks that must have gone well enough before."""

    run: Callable[[Settings], list[Finding]]
    code: str
    needs: tuple[str, ...] = ()


class Round:
    """One round of checks.

    `obstacles` gives, by name, why a check cannot even be tried. A check is started once those it
    needs are done, and skipped when one of them is down.
    """

    def __init__(
        self, settings: Settings, checks: Mapping[str, Check], obstacles: Mapping[str, Finding]
    ) -> None:
        self._settings = settings
        self._checks = checks
        self._obstacles = obstacles
        self._found: dict[str, list[Finding]] = {}

    def run(self) -> dict[str, list[Finding]]:
        """Run all checks; give what each found."""
        end = time.monotonic() + TOTAL_SECONDS
        waiting = list(self._checks)
        deadlines: dict[str, float] = {}
        answers: dict[str, Future[list[Finding]]] = {}
        while waiting or deadlines:
            for name in [name for name in waiting if self._is_ready(name)]:
                waiting.remove(name)
                if reason := self._why_skipped(name):
                    code = f"{self._checks[name].code}{SKIPPED}"
                    self._found[name] = [Finding(code, name, Severity.SKIPPED, reason)]
                else:
                    deadlines[name] = min(time.monotonic() + CHECK_SECONDS, end)
                    answers[name] = self._begin(name)
            pause = max(0.0, min(deadlines.values(), default=0.0) - time.monotonic())
            wait([answers[name] for name in deadlines], pause, FIRST_COMPLETED)
            for name, deadline in list(deadlines.items()):
                if answers[name].done():
                    self._found[name] = answers[name].result()
                elif time.monotonic() >= deadline:
                    self._found[name] = [_no_answer(name, self._checks[name])]
                if name in self._found:
                    del deadlines[name]
        return self._found

    def _is_ready(self, name: str) -> bool:
        return all(need in self._found or need not in self._checks for need in self._checks[name].needs)

    def _why_skipped(self, name: str) -> str:
        if name in self._obstacles:
            return f"Not tried: see {self._obstacles[name].code}."
        for need in self._checks[name].needs:
            for item in self._found.get(need, ()):
                if item.verdict in HOLD_UPS or item.code.endswith(SKIPPED):
                    return f"Not tried: it needs the {need} (see {item.code})."
        return ""

    def _begin(self, name: str) -> Future[list[Finding]]:
        answer: Future[list[Finding]] = Future()
        work = partial(self._work, name, answer)
        threading.Thread(target=work, name=f"doctor-{name}", daemon=True).start()
        return answer

    def _work(self, name: str, answer: Future[list[Finding]]) -> None:
        check = self._checks[name]
        try:
            answer.set_result([replace(item, check=name) for item in check.run(self._settings)])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a check meets, the others must be reported
            reason = f"{type(error).__name__}: {reason_of(error, self._settings)}"
            seen = f"The check itself failed ({reason})."
            hint = f"This is a defect of {check.run.__module__}: please report it with this line."
            code = f"{check.code}{BROKE}"
            answer.set_result([Finding(code, name, Severity.FAILURE, seen, hint, Verdict.BAD_NEWS)])


def _no_answer(name: str, check: Check) -> Finding:
    return Finding(
        f"{check.code}{NO_ANSWER}",
        name,
        Severity.FAILURE,
        f"No end within {CHECK_SECONDS:g} s: name resolution or the network hangs, "
        "or what answers is not what it should be.",
        "Check the address with `ibutsu-tasks config`, then name resolution and firewall.",
        Verdict.UNREACHABLE,
    )
