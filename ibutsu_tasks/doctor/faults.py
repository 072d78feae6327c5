"""The shape of a row in the tables of causes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Fault:
    """One cause: how its error reads, its number, its sentence and its hint.

    The texts may use words in braces: `{place}` (where the service is), `{reason}` (the error itself)
    and what else the module with the rows fills in.
    """

    pattern: str
    number: str
    seen: str
    hint: str


def find_fault(faults: Iterable[Fault], text: str) -> Fault | None:
    """Give the first row whose pattern is found in an error's text."""
    return next((fault for fault in faults if re.search(fault.pattern, text, re.DOTALL)), None)
