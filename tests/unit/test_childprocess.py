"""Work done by a copy of this process. The tests run in processes of their own: one with threads, as a test's may be, forks nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_the_child_gives_comes_back_and_is_of_another_process() -> None:
    said = python(
        """
        import os
        from gitml.childprocess import ChildProcess
        child = ChildProcess(lambda: (os.getpid(), "x" * 3_000_000))
        pid, text = child.result()
        assert pid != os.getpid() and len(text) == 3_000_000
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            print("gone")
        """
    )
    assert said == "gone"


def test_what_the_child_raises_is_raised_with_its_cause() -> None:
    said = python(
        """
        import errno
        from gitml.childprocess import ChildProcess
        from gitml.errors import MachineError, machine_error

        def work():
            try:
                raise OSError(errno.ENOSPC, "full", "/there")
            except OSError as error:
                raise machine_error(error, "/here") from error

        try:
            ChildProcess(work).result()
        except MachineError as error:
            print(error.where, error.hint is not None, error.__cause__.errno == errno.ENOSPC)
        """
    )
    assert said == "/here True True"


def test_a_child_that_is_killed_is_an_error_and_not_an_empty_result() -> None:
    said = python(
        """
        import os, signal
        from gitml.childprocess import ChildProcess
        from gitml.errors import MachineError
        try:
            ChildProcess(lambda: os.kill(os.getpid(), signal.SIGKILL)).result()
        except MachineError as error:
            print(error.message)
        """
    )
    assert said == "a process that did half of the work was killed"


def test_a_child_that_is_not_needed_clears_up_and_ends() -> None:
    said = python(
        """
        import os, tempfile, time
        from gitml.childprocess import ChildProcess
        folder = tempfile.mkdtemp()

        def work():
            try:  # from here: the file is seen before this goes on
                open(f"{folder}/held", "x").close()
                time.sleep(60)
            finally:
                os.unlink(f"{folder}/held")

        begun = time.monotonic()
        child = ChildProcess(work)
        while not os.listdir(folder):
            time.sleep(0.01)
        child.end()
        print(os.listdir(folder), time.monotonic() - begun < 30)
        """
    )
    assert said == "[] True"


def test_a_signal_meant_for_the_parent_is_not_obeyed_by_the_child_as_the_parent_would() -> None:
    said = python(
        """
        import os, signal, sys
        from gitml.childprocess import ChildProcess

        def heard(number, frame):
            os.write(1, b"heard ")

        for number in (signal.SIGUSR1, signal.SIGHUP):
            signal.signal(number, heard)
        print(ChildProcess(lambda: [signal.getsignal(n) == signal.SIG_DFL for n in (signal.SIGUSR1, signal.SIGHUP)]).result())
        assert signal.getsignal(signal.SIGUSR1) is heard
        """
    )
    assert said == "[True, True]"


@pytest.mark.needs_linux("two processes for one directory: whether a process has one thread is known")
def test_only_a_process_without_threads_that_has_two_processors_may_be_copied() -> None:
    said = python(
        """
        import os, threading
        from gitml.childprocess import can_fork
        several = len(os.sched_getaffinity(0)) > 1
        assert can_fork() == several
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        assert not can_fork()
        stop.set()
        thread.join()
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        print(can_fork())
        """
    )
    assert said == "False"
