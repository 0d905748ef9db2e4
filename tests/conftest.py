"""What holds for all tests."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from contextlib import suppress

import pytest

from gitml.platform.current import IS_LINUX
from tests.kit.programs import program


def pytest_configure() -> None:
    # Repositories of tests are often clones: what is asked about these has tests of its own, which take it away again.
    os.environ["GITML_TRUST"] = "places,run"
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


_FAILED = pytest.StashKey[bool]()
_LARGE = 2**20


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    place = getattr(item, "funcargs", {}).get("tmp_path")
    if report.when == "teardown" and place is not None and not item.stash.get(_FAILED, False):
        _remove_large_files(place)
    return report


def _remove_large_files(place: os.PathLike[str]) -> None:
    # Of what a test made only this goes at once, for the sake of a small disk. A file system without a journal passes over each
    # inode that was freed in the last minutes whenever it makes a file: a sixth of the tests' time went into that.
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)
            with suppress(OSError):
                if os.lstat(path).st_size > _LARGE:
                    os.unlink(path)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: make test-root")
    if not IS_LINUX and (mark := item.get_closest_marker("needs_linux")):
        pytest.skip(f"needs Linux: {mark.args[0]}")
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            program(name)
