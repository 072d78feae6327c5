"""Inputs changed at random for some seconds: what leads somewhere new is changed on, what fails is kept.

`FUZZ_SECONDS=600 pytest tests/fuzz` looks longer. An input that failed once stays in `tests/fuzz/corpus`
and is tried again for ever.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CORPUS = Path(__file__).parent / "corpus"
SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
MAX_BYTES = 100_000
MAX_CPU_SECONDS = 20
"""For one input, a thousand times what the largest takes: one that needs more hangs."""

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def corpus(kind: str) -> list[Path]:
    """Name the inputs that failed once."""
    return sorted(path for path in (CORPUS / kind).iterdir() if path.suffix != ".md")


def fuzz(kind: str, seeds: Sequence[bytes], tokens: Sequence[bytes], check: Callable[[bytes], str]) -> int:
    """Give `check` changed inputs until the time is over; give the number of inputs.

    `check` raises for what is wrong, and says for what is right what came of it: an input with an answer
    that no other had becomes a seed itself.
    """
    seed = random.randrange(2**32)  # noqa: S311 - not a secret
    chance = random.Random(seed)  # noqa: S311 - not a secret
    pool, answers, tried = list(seeds), {check(data) for data in seeds}, 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        data = _changed(chance, pool, tokens)[:MAX_BYTES]
        tried += 1
        try:
            answer = limited(check, data)
        except Exception as error:  # noqa: BLE001 - whatever it is, the input is kept
            path = CORPUS / kind / hashlib.sha256(data).hexdigest()[:12]
            path.write_bytes(data)
            pytest.fail(f"{type(error).__name__}: {error}; seed {seed}, input {tried}, now in {path}")
        if answer not in answers:
            answers.add(answer)
            pool.append(data)
    return tried


def limited(check: Callable[[bytes], str], data: bytes) -> str:
    """Run a check; raise TimeoutError when it takes far more of the processor than any input needs."""
    before = signal.signal(signal.SIGVTALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_VIRTUAL, MAX_CPU_SECONDS)
    try:
        return check(data)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _out_of_time(*_: object) -> None:
    raise TimeoutError(f"no end after {MAX_CPU_SECONDS} s of the processor")


def _changed(chance: random.Random, pool: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    # What was found last leads on.
    data = chance.choice(pool[-20:] if chance.random() < 0.5 else pool)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        data = chance.choice(_CHANGES)(chance, data, chance.choice(pool), tokens)
    return data


def _cut(chance: random.Random, data: bytes, *_: object) -> bytes:
    return data[: chance.randint(0, len(data))]


def _drop(chance: random.Random, data: bytes, *_: object) -> bytes:
    start, end = _stretch(chance, data)
    return data[:start] + data[end:]


def _repeat(chance: random.Random, data: bytes, *_: object) -> bytes:
    start, end = _stretch(chance, data)
    return data[:end] + data[start:end] * chance.choice((1, 2, 30)) + data[end:]


def _overwrite(chance: random.Random, data: bytes, *_: object) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 4)) if data else 0):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _insert(chance: random.Random, data: bytes, _: bytes, tokens: Sequence[bytes]) -> bytes:
    place = chance.randint(0, len(data))
    return data[:place] + chance.choice(tokens) + data[place:]


def _replace_a_word(chance: random.Random, data: bytes, _: bytes, tokens: Sequence[bytes]) -> bytes:
    words = list(re.finditer(rb"\w+", data))
    if not words:
        return data
    word = chance.choice(words)
    return data[: word.start()] + chance.choice(tokens) + data[word.end() :]


def _replace_a_number(chance: random.Random, data: bytes, *_: object) -> bytes:
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return data
    number = chance.choice(numbers)
    odd = (b"-1", b"0", b"1e999", b"NaN", b"1,024.5", b"9" * 400, b"0x1", b"\xd9\xa3", b"1_000", b"-0.0")
    return data[: number.start()] + chance.choice(odd) + data[number.end() :]


def _splice(chance: random.Random, data: bytes, other: bytes, _: object) -> bytes:
    start, end = _stretch(chance, other)
    place = chance.randint(0, len(data))
    return data[:place] + other[start:end] + data[place:]


def _stretch(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.choice((1, 5, 40, 400, 5000)))


_CHANGES = (_cut, _drop, _repeat, _overwrite, _insert, _replace_a_word, _replace_a_number, _splice)
