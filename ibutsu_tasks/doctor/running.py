"""Runs checks side by side, each within its limit and all of them within ten seconds.

Every check has a daemon thread: one that is stuck in a library's connect is left behind and cannot
hold up the end of the process.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from ibutsu_tasks.doctor.codes import BROKE, NO_ANSWER, SKIPPED, Verdict, code_of
from ibutsu_tasks.doctor.report import Finding, finding, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    """One row of the table: the function, and the checks that must have gone well enough before."""

    run: Callable[[Settings], list[Finding]]
    needs: Callable[[Settings], tuple[str, ...]] = lambda _: ()


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
        self._deadlines: dict[str, float] = {}
        self._arrivals: SimpleQueue[tuple[str, list[Finding]]] = SimpleQueue()
        self.found: dict[str, list[Finding]] = {}

    def run(self, names: Sequence[str]) -> dict[str, list[Finding]]:
        """Run the named checks; give what each found."""
        end = time.monotonic() + TOTAL_SECONDS
        waiting = list(names)
        while waiting or self._deadlines:
            for name in [name for name in waiting if self._is_ready(name, names)]:
                waiting.remove(name)
                self._begin(name, end)
            self._take_arrival()
            self._expire()
        return self.found

    def _is_ready(self, name: str, names: Sequence[str]) -> bool:
        needs = self._checks[name].needs(self._settings)
        return all(need in self.found or need not in names for need in needs)

    def _begin(self, name: str, end: float) -> None:
        reason = self._why_skipped(name)
        if reason:
            self.found[name] = [finding(code_of(name, SKIPPED), reason)]
            return
        self._deadlines[name] = min(time.monotonic() + CHECK_SECONDS, end)
        threading.Thread(target=self._work, args=(name,), name=f"doctor-{name}", daemon=True).start()

    def _why_skipped(self, name: str) -> str:
        if name in self._obstacles:
            return f"Not tried: see {self._obstacles[name].code}."
        for need in self._checks[name].needs(self._settings):
            for item in self.found.get(need, ()):
                if item.verdict in HOLD_UPS or item.code.endswith(SKIPPED):
                    return f"Not tried: it needs the {need} (see {item.code})."
        return ""

    def _work(self, name: str) -> None:
        try:
            found = self._checks[name].run(self._settings)
        except Exception as error:  # noqa: BLE001 - whatever a check meets, the others must be reported
            reason = f"{type(error).__name__}: {reason_of(error, self._settings)}"
            found = [
                finding(
                    code_of(name, BROKE),
                    f"The check itself failed ({reason}).",
                    "This is a defect of ibutsu-tasks: please report it with this line.",
                )
            ]
        self._arrivals.put((name, found))

    def _take_arrival(self) -> None:
        if not self._deadlines:
            return
        try:
            name, found = self._arrivals.get(
                timeout=max(0.0, min(self._deadlines.values()) - time.monotonic())
            )
        except Empty:
            return
        # What comes after its deadline has been answered for already.
        if self._deadlines.pop(name, None) is not None:
            self.found[name] = found

    def _expire(self) -> None:
        now = time.monotonic()
        for name in [name for name, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[name]
            self.found[name] = [
                finding(
                    code_of(name, NO_ANSWER),
                    f"No end within {CHECK_SECONDS:g} s: name resolution or the network hangs, "
                    "or what answers is not what it should be.",
                    "Check the address with `ibutsu-tasks config`, then name resolution and firewall.",
                )
            ]
