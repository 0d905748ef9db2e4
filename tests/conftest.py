"""What holds for all tests."""

from __future__ import annotations

import gc
import os
import signal

import pytest

from tests.kit.programs import program


def pytest_configure() -> None:
    # A shell starts what it runs in the background with Ctrl-C ignored, and whatever the tests start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    # Tests of one `xdist_group` share servers that are slow to start. That workers keep to it shows in the names of tests.
    if getattr(session.config.option, "loadgroup", False):
        apart = [
            item.nodeid for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
        ]
        if apart:
            raise pytest.UsageError(f"this pytest-xdist doesn't group tests under this pytest: {apart[0]}")
    # The modules and tests stay: looking through them again and again for garbage costs a twentieth of all time, and writes to
    # pages that forks share.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: make test-root")
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            program(name)
