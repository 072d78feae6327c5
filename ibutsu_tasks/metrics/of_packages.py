"""Numbers that task packages read: what one of them raises is logged once, and keeps no other number back."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Isolation:
    """Reads what packages give. `is_the_service_s` tells errors that concern all: these are raised.

    `explain` gives the reason of the others, without secrets.
    """

    is_the_service_s: Callable[[Exception], bool]
    explain: Callable[[Exception], str]
    _unread: set[str] = field(default_factory=set)

    def read(self, name: str, read: Callable[[], Iterable[Metric]]) -> tuple[Metric, ...]:
        """Give what `read` gives, nothing where it fails; `name` says whose numbers these are."""
        try:
            found = tuple(read())
        except Exception as error:
            if self.is_the_service_s(error):
                raise
            if name not in self._unread:
                logger.warning("The numbers of the %s are missing: %s", name, self.explain(error))
            self._unread.add(name)
            return ()
        self._unread.discard(name)
        return found
