"""Starts commands of gitml by forking from a process that has it loaded: most of a short command's time goes into imports.

``python -m tests.kit.projects.command_server FD`` is that process, which has no threads and nothing of a test's. A request is a
byte on the socket FD, with four descriptors: a file with what is asked for, as JSON, then the command's standard output and error,
and a pipe that is told its process id and, once it has ended, its status, a line each. Several may go on at once.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from tests.kit.projects.repository import environment

_LOADED = ("gitml.cli.main", "gitml.__main__", "gitml.engine.run", "gitml.maintenance.fsck", "gitml.core.config.parse")
# what an interpreter reads when it starts, and gitml when it is imported
_AT_START, _OF_LANGUAGE = ("PYTHON", "LD_", "DYLD_", "MALLOC", "GITML_PLATFORM"), ("LC_", "LANG")
_ROOT = str(Path(__file__).parents[3])
_environment = {**environment(), "PYTHONPATH": _ROOT}  # before any test has changed it
_LOOKS = 5.0  # seconds after which a server sees that nobody needs it


class Ended(NamedTuple):
    """How a command ended: its exit status, negative for a signal, and what it printed."""

    status: int
    out: bytes
    err: bytes


def run_command(args: Sequence[str], cwd: str, env: Mapping[str, str], seconds: float, *, forks: bool = True) -> Ended:
    """``python -m gitml ARGS`` run to its end, which must come in so many seconds.

    It is forked where `forks` allows it and `env` has Python and gitml begin as in these tests; else Python is started.
    """
    server = _server_for(env) if forks else None
    if server is None:
        words = [sys.executable, "-m", "gitml", *args]
        ran = subprocess.run(words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
        return Ended(ran.returncode, ran.stdout, ran.stderr)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        status = server.run(args, cwd, env, out, err, seconds)
        out.seek(0)
        err.seek(0)
        return Ended(status, out.read(), err.read())


def _server_for(env: Mapping[str, str]) -> CommandServer | None:
    at_start = {name: value for name, value in env.items() if name.startswith((*_AT_START, *_OF_LANGUAGE))}
    others = {name: value for name, value in at_start.items() if not name.startswith(_OF_LANGUAGE)}
    if others != {name: value for name, value in _environment.items() if name.startswith(_AT_START)}:
        return None
    key = (os.getpid(), *sorted(at_start.items()))
    if key not in _servers:
        _servers[key] = CommandServer({**_environment, **at_start})
    return _servers[key]


class CommandServer:
    """A process that forks commands, started in `env`. It ends with this process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            words = [sys.executable, "-m", __name__, str(theirs.fileno())]
            given = [theirs.fileno()]
            self._process = subprocess.Popen(words, cwd=_ROOT, env=env, pass_fds=given, stdin=subprocess.DEVNULL)
        self._pid = os.getpid()
        atexit.register(self.close)

    def run(
        self, args: Sequence[str], cwd: str, env: Mapping[str, str], out: IO[bytes], err: IO[bytes], seconds: float
    ) -> int:
        """Has a command run to its end; its exit status, negative for a signal. TimeoutExpired when it takes longer."""
        umask = os.umask(0)
        os.umask(umask)
        told, tells = os.pipe()
        with tempfile.TemporaryFile("w+") as asked, os.fdopen(told, "rb", buffering=0) as answers:
            json.dump({"args": [*args], "cwd": cwd, "env": dict(env), "umask": umask}, asked)
            asked.flush()
            try:
                socket.send_fds(self._socket, [b"."], [asked.fileno(), out.fileno(), err.fileno(), tells])
            finally:
                os.close(tells)
            said = b""
            deadline = time.monotonic() + seconds
            try:
                while said.count(b"\n") < 2:
                    if not select.select([answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
                        raise subprocess.TimeoutExpired(["gitml", *args], seconds)
                    piece = answers.read(64)
                    assert piece, "the process that forks commands has ended"
                    said += piece
            except BaseException:
                if b"\n" in said:
                    os.kill(int(said.split(b"\n")[0]), signal.SIGKILL)
                raise
            return os.waitstatus_to_exitcode(int(said.split(b"\n")[1]))

    def close(self) -> None:
        """Ends the process; in a fork of the one that started it nothing happens."""
        if self._pid == os.getpid():
            self._socket.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LOOKS)


_servers: dict[tuple[object, ...], CommandServer] = {}


class _Request(NamedTuple):
    args: list[str]
    cwd: str
    env: dict[str, str]
    umask: int


def serve(asked: socket.socket) -> None:
    """Forks what is asked for until the other end is closed."""
    for name in _LOADED:
        importlib.import_module(name)
    parent = os.getppid()
    running: dict[int, int] = {}  # where its end is told, by process
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while os.getppid() == parent:
        ready, _, _ = select.select([asked, woken], [], [], _LOOKS)
        if woken in ready:
            os.read(woken, 4096)
            _tell_ended(running)
        if asked in ready:
            byte, descriptors, _, _ = socket.recv_fds(asked, 1, 4)
            if not byte:
                return
            file, out, err, tells = descriptors
            with os.fdopen(file) as written:
                written.seek(0)
                request = _Request(**json.load(written))
            _load(request.args)
            pid = os.fork()
            if pid == 0:
                _be_gitml(request, out, err)
            _tell(tells, pid)
            running[pid] = tells
            os.close(out)
            os.close(err)


def _tell_ended(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        tells = running.pop(pid)
        _tell(tells, status)
        os.close(tells)


def _tell(tells: int, number: int) -> None:
    with suppress(BrokenPipeError):
        os.write(tells, b"%d\n" % number)


def _load(args: list[str]) -> None:
    """Loads the command that is asked for."""
    from gitml.cli.table import COMMANDS

    entry = COMMANDS.get(next((word for word in args if not word.startswith("-")), ""))
    if entry is not None:
        importlib.import_module(f"gitml.cli.commands.{entry.module.partition(':')[0]}")


def _be_gitml(request: _Request, out: int, err: int) -> None:
    """What ``python -m gitml ARGS`` does, in a child that never returns."""
    # What is garbage of the process that was forked is not collected here: its files would close descriptors that are others' now.
    gc.freeze()
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, number in ((nothing, 0), (out, 1), (err, 2)):
            os.dup2(descriptor, number)
        os.closerange(3, 1024)
        os.umask(request.umask)
        os.environ.clear()
        os.environ.update(request.env)
        time.tzset()
        os.chdir(request.cwd)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - they stay open to the end
        sys.argv = ["gitml", *request.args]
        from gitml.__main__ import main

        main()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(70)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
