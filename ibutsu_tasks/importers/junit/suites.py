"""What suites say that is kept once, in the run's data, within bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ibutsu_tasks.importers.junit.stated import STATED_COUNTS

MAX_SUITE_FACTS = 1_000
MAX_SUITE_FACT_CHARACTERS = 100_000

# Counts are taken anew from the cases; name and file are in every result.
_NOT_KEPT = frozenset({"name", "file", "disabled"}.union(*STATED_COUNTS.values()))


@dataclass(slots=True)
class SuiteFacts:
    """One entry per suite that says something; `is_cut` says that some had no place."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    is_cut: bool = False
    _characters: int = 0

    def add_root(self, path: tuple[str, ...], attributes: dict[str, str]) -> dict[str, str]:
        """Keep what the root says; its time is the run's. Gives what was kept."""
        kept = {key: value for key, value in _kept(attributes).items() if key != "time"}
        if not path and "name" in attributes:
            kept["name"] = attributes["name"]
        return self._add(path, "attributes", kept)

    def add_suite(self, path: tuple[str, ...], attributes: dict[str, str]) -> dict[str, str]:
        """Keep what a suite says, such as `timestamp` and `hostname`. Gives what was kept."""
        return self._add(path, "attributes", _kept(attributes))

    def add_late_property(self, path: tuple[str, ...], key: str, value: str) -> dict[str, str]:
        """Keep a property that stands behind the cases of its suite, whose results lack it therefore."""
        return self._add(path, "properties", {key: value})

    def _add(self, path: tuple[str, ...], kind: str, facts: dict[str, str]) -> dict[str, str]:
        if not facts:
            return facts
        self._characters += sum(len(key) + len(value) for key, value in facts.items()) + sum(map(len, path))
        if self._characters > MAX_SUITE_FACT_CHARACTERS or len(self.entries) >= MAX_SUITE_FACTS:
            self.is_cut = True
            return {}
        last = self.entries[-1] if self.entries else {}
        if last.get("path") == list(path) and kind in last and kind == "properties":
            last[kind].update(facts)
        else:
            self.entries.append({"path": list(path), kind: facts})
        return facts


def _kept(attributes: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in attributes.items()
        if key not in _NOT_KEPT and not key.startswith(("xmlns", "xsi:"))
    }
