"""SIGINT, SIGTERM and SIGHUP in place of dying of them."""

from __future__ import annotations

import signal

import pytest

from ibutsu_tasks.local.stop_signals import StopSignals


def test_the_first_asks_to_stop_and_the_second_to_hurry() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals:
        assert (signals.requested, signals.first) == (False, None)
        signal.raise_signal(signal.SIGTERM)
        assert (signals.requested, signals.hurried) == (True, False)
        signal.raise_signal(signal.SIGINT)
        assert (signals.hurried, signals.first) == (True, signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_with_only_the_first_caught_the_second_acts_as_ever() -> None:
    with StopSignals([signal.SIGINT], only_first=True) as signals:
        signal.raise_signal(signal.SIGINT)
        assert (signals.requested, signals.hurried) == (True, False)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_work_that_may_end_anywhere_is_interrupted() -> None:
    with StopSignals() as signals:
        with pytest.raises(KeyboardInterrupt), signals.interrupting():
            signal.raise_signal(signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt), signals.interrupting():
            pytest.fail("asked to stop before")
