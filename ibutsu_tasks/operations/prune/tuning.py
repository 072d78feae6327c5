"""How much goes in one transaction of a prune, so that none is long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET_SECONDS = 0.25
"""What a batch is to take: a disk or a neighbour four times slower than before still keeps it under 1 s."""

START_WEIGHT = 500
LOWEST_WEIGHT = 10
HIGHEST_WEIGHT = 10_000

BYTES_PER_WEIGHT = 8192
"""Content is kept in pieces of 2 KB, each deleted as a row without indexes: four cost as much as a row."""

LARGEST_STEP = 2.0
DEEPEST_CUT = 0.25


class BatchTuner:
    """Weighs batches and learns from their times; a row weighs 1, and 1 more for every 8 KB it holds.

    `weight` is what the next batch may weigh. It starts small, at most doubles from batch to batch, and
    falls to a quarter at once. `root_weight` is what a row of the rule's table weighed lately, with all that
    hung on it.
    """

    def __init__(self) -> None:
        self.weight = START_WEIGHT
        self.root_weight = 1.0

    def roots(self, most: int) -> int:
        """Give the number of rows of the rule's table to choose next, one to `most`."""
        return max(1, min(most, int(self.weight / self.root_weight)))

    def learn_root_weight(self, roots: int, weight: float) -> None:
        """Learn that this many rows of the rule's table weighed this with all that hung on them."""
        if roots:
            self.root_weight = max(1.0, weight / roots)

    def take_note(self, weight: float, seconds: float) -> None:
        """Learn from a batch that weighed `weight` and took `seconds`."""
        factor = TARGET_SECONDS / max(seconds, 0.001)
        # What a batch far from full says of time is mostly its fixed part: no reason to grow.
        if factor > 1 and weight < self.weight / 2:
            return
        wanted = self.weight * min(max(factor, DEEPEST_CUT), LARGEST_STEP)
        self.weight = round(min(max(wanted, LOWEST_WEIGHT), HIGHEST_WEIGHT))

    def fitting(self, sizes_bytes: Sequence[int]) -> int:
        """Give the number of rows, from the first on, that one batch takes; one at least, if there is one."""
        weight = 0.0
        for number, size_bytes in enumerate(sizes_bytes):
            weight += weigh(1, size_bytes)
            if number and weight > self.weight:
                return number
        return len(sizes_bytes)


def weigh(rows: int, size_bytes: int) -> float:
    """Give the weight of rows that hold `size_bytes` together."""
    return rows + size_bytes / BYTES_PER_WEIGHT
