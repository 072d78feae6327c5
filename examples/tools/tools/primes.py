"""A tool to try: writes the primes up to a number into `primes.txt`, and says how far it is."""

from __future__ import annotations

import sys
from pathlib import Path

last = int(sys.argv[1])
primes: list[int] = []
for number in range(2, last + 1):
    if all(number % prime for prime in primes):
        primes.append(number)
    if number % 1000 == 0:
        print(f"{number}/{last}", flush=True)  # noqa: T201 - its output
Path("primes.txt").write_text("".join(f"{prime}\n" for prime in primes), encoding="utf-8")
