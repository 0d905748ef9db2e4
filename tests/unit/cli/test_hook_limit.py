"""The time that a hook takes where nobody asked for it."""

from __future__ import annotations

import signal
import time

import pytest

from gitml.cli.commands.hooks.run import _limited, _OutOfTimeError


def test_an_end_that_was_lost_in_what_was_going_on_comes_again() -> None:
    lost = []

    def work() -> None:
        with _limited(0.02):
            try:
                time.sleep(60)
            except BaseException as error:  # as in a finalizer or a callback
                lost.append(error)
            time.sleep(60)

    with pytest.raises(_OutOfTimeError):
        work()
    assert len(lost) == 1


def test_whoever_handles_any_error_is_ended_all_the_same() -> None:
    def work() -> None:
        with _limited(0.02):
            try:
                time.sleep(60)
            except Exception:
                pytest.fail("it was handled")

    with pytest.raises(_OutOfTimeError):
        work()


def test_what_is_in_time_is_not_ended_later() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with _limited(0.05):
        pass
    time.sleep(0.4)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
