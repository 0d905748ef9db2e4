"""A git process that lasts and answers one request after the other."""

from __future__ import annotations

import subprocess
import threading
from typing import IO

from gitml.errors import GitmlError
from gitml.git.command import Location, popen, stderr_file, translate

_BUFFER = 1 << 18


class PersistentProcess:
    """One git process, started at the first request and again after it ended. Hold `lock` around a request and its answer.

    With `local` it gets none of the user's variables that may be secret, as for `popen`.
    A caller that can't read an answer to its end calls `close`: the next request then starts a fresh process.
    """

    def __init__(self, location: Location, *args: str, local: bool = False) -> None:
        self.lock = threading.RLock()
        self._location = location
        self._args = args
        self._local = local
        self._process: subprocess.Popen[bytes] | None = None
        self._out: IO[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def start(self) -> None:
        """Starts the process if none runs, so that its start-up overlaps with other work."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self.close()
        self._errors = stderr_file()
        self._process = popen(self._location, *self._args, stderr=self._errors.fileno(), local=self._local)
        assert self._process.stdout is not None
        # Popen's own buffer is small; many answers fit in one read of ours.
        self._out = open(self._process.stdout.fileno(), "rb", buffering=_BUFFER, closefd=False)  # noqa: SIM115

    def send(self, request: bytes) -> None:
        """Writes `request`. At most what a pipe holds (64 KiB) may be unanswered at any time."""
        self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def line(self) -> bytes:
        """The next line of the answer without its end. A GitmlError with what git said when it ended instead."""
        assert self._out is not None
        line = self._out.readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        return line[:-1]

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes of the answer."""
        assert self._out is not None
        content = self._out.read(size)
        if len(content) != size:
            raise self._ended()
        return content

    def _ended(self) -> GitmlError:
        assert self._process is not None
        assert self._errors is not None
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        error = translate(self._location.folder, self._args, code, self._errors.read())
        self.close()
        return error

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        process, out, errors = self._process, self._out, self._errors
        self._process = self._out = self._errors = None
        if process is not None:
            process.kill()
            if out is not None:
                out.close()
            try:
                process.communicate()
            except (BrokenPipeError, ValueError):
                process.wait()
        if errors is not None:
            errors.close()

    def kill(self) -> None:
        """Ends the process even while another thread reads an answer; nothing may be asked afterwards."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
