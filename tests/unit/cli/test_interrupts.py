"""Ctrl-C while something waits for an answer that doesn't come."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gitml.cli.interrupts import InterruptHandler
from tests.kit.patience import PATIENCE


def press(times: int, patience: float) -> InterruptHandler:
    """Ctrl-C so often, in something that doesn't heed it."""
    with InterruptHandler(quiet=True, patience=patience) as stopping:
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        assert times == stopping.stop.level == 1
        threading.Event().wait(PATIENCE)
    return stopping


def test_what_does_not_heed_a_stop_is_left_after_a_while() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(KeyboardInterrupt):
        press(1, patience=0.1)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_second_ctrl_c_does_not_wait_for_that() -> None:
    with pytest.raises(KeyboardInterrupt):
        press(2, patience=PATIENCE)


def test_what_heeds_a_stop_is_not_interrupted_later() -> None:
    with InterruptHandler(quiet=True, patience=0.05):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    threading.Event().wait(0.1)


def test_without_patience_only_what_asks_for_it_is_stopped() -> None:
    with InterruptHandler(quiet=True) as stopping:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert stopping.stop.level == 2
