"""A part of some work done by a child process, a copy of this one: on another processor, which a thread of Python can't use."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Generic, NoReturn, TypeVar

from gitml.errors import MachineError
from gitml.platform.current import platform

T = TypeVar("T")
_PATIENCE = 5.0  # seconds in which a child that is not needed any more may clear up


def can_fork() -> bool:
    """Whether this process may be copied, which one with threads may not, and has two processors to use."""
    return platform.cpu_count() > 1 and platform.is_single_threaded()


class ChildProcess(Generic[T]):
    """Does `work` in a child process, begun at once; OSError when there can't be one. Either `result` or `end` must be called."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._reader, writer = os.pipe()
        # no signal may arrive in the child before it has laid aside what this process does on one
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _perform(work, writer, mask)
        except BaseException:
            os.close(self._reader)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(writer)

    def result(self) -> T:
        """What `work` gave, once it is done; raises what it raised, MachineError when the child was killed."""
        import pickle

        parts = []
        try:
            while part := os.read(self._reader, 1 << 20):
                parts.append(part)
        except BaseException:
            self.end()
            raise
        os.close(self._reader)
        self._wait()
        try:
            given, error, cause = pickle.loads(b"".join(parts))  # noqa: S301  a copy of this process wrote it
        except (EOFError, pickle.UnpicklingError):
            hint = "see whether memory ran out, then run again"
            raise MachineError("a process that did half of the work was killed", hint=hint) from None
        if error is not None:
            raise error from cause
        return given  # type: ignore[no-any-return]

    def end(self) -> None:
        """Has the child clear up and end, and waits for that."""
        os.close(self._reader)
        until = time.monotonic() + _PATIENCE
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)
        with suppress(ChildProcessError):
            while os.waitpid(self._pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > until:
                    os.kill(self._pid, signal.SIGKILL)
                    self._wait()
                    return
                time.sleep(0.002)

    def _wait(self) -> None:
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


class _EndedError(BaseException):
    """SIGTERM came."""


def _stop(_number: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _EndedError


def _perform(work: Callable[[], object], writer: int, mask: Iterable[int]) -> NoReturn:
    """What the child does."""
    import pickle

    try:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _stop)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        answer: tuple[object, Exception | None, BaseException | None]
        try:
            answer = (work(), None, None)
        except Exception as error:
            answer = (None, error, error.__cause__)
        with os.fdopen(writer, "wb") as file:
            pickle.dump(answer, file, pickle.HIGHEST_PROTOCOL)
    finally:
        os._exit(0)
