"""One process of a step, from its start to the end of the last process below it."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gitml.core.model.result import Cost
from gitml.platform.current import platform
from gitml.platform.interface import LOOK, ChildHandle, send

CHUNK = 2**18
GRACE = 5.0
WATCH = 1.0  # seconds
_PIPE_SIZE = 2**18

# what is ignored stays so in the program: Python, the worker, and who called gitml (nohup) ignore some
_SIGNALS = tuple(sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
UMASK = 0o022  # of every step, whatever that of the shell is

NONE, SOFT, NOW = 0, 1, 2


class ProcessExit(NamedTuple):
    """`code` is the exit status, negative for a signal; `stopped` is None, ``timeout`` or ``cancelled``."""

    code: int
    stopped: str | None
    cost: Cost


class NotConfinedError(OSError):
    """This machine can't confine a process as was asked; its text is a whole sentence."""


class StoppedError(Exception):
    """A `StopRequests` asked to stop before there was a process to end."""


class StopRequests:
    """What may interrupt a process: `fd` becomes readable when `asked` has something new to say (NONE, SOFT or NOW).

    `attending` is set while a process is watched, so that a request is seen at once; `groups` has its process group then.
    """

    fd = -1
    attending = False
    groups: tuple[int, ...] = ()

    def requested(self) -> int:
        """How the process is to be stopped; may be called at any time."""
        return NONE


def run(
    path: str,
    argv: tuple[str, ...],
    env: Mapping[str, str],
    write: Callable[[bytes], None],
    stop: StopRequests,
    *,
    timeout: float | None = None,
    grace: float = GRACE,
    started: Callable[[int], None] | None = None,
    confine: Callable[[], None] | None = None,
    launch: Callable[[], int] | None = None,
    watch: Callable[[int], None] | None = None,
) -> ProcessExit:
    """Runs the program at `path` in the current directory to its end, all it wrote given to `write` in order.

    Its input is empty, its output and errors are one stream, its umask is UMASK. When it ends, or is stopped after `timeout`
    seconds or because `stop` asks, everything below this process is ended too. `confine` is called in the new process before the
    program; `launch` in the program's place, to start it in its own way: it gives the exit status. `watch` is called with its
    process id about once in WATCH seconds while it runs.
    OSError or ValueError when it can't be started, NotConfinedError when that is what `confine` raised.
    """
    reader, writer = os.pipe()
    try:
        platform.enlarge_pipe(reader, _PIPE_SIZE)
        os.set_blocking(reader, False)
        spare = platform.children()  # what serves this process itself: a lasting git, say
        begun = time.monotonic()
        umask = os.umask(UMASK)  # a worker has one thread, so nothing else is made meanwhile
        try:
            pid = _start(path, argv, env, writer, confine, launch)
        finally:
            os.umask(umask)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    child: ChildHandle | None = None
    stop.groups = (pid,)
    try:
        child = platform.watch_child(pid)
        if started:
            started(pid)
        stop.attending = True
        stopped = _attend(pid, child, reader, write, stop, timeout, grace, spare, watch)
        stop.attending = False
        status, usage = child.wait()
        rest = platform.end_all(spare, groups=stop.groups)
        while chunk := _read(reader):
            write(chunk)
    except BaseException:
        platform.end_all(spare, groups=stop.groups)
        raise
    finally:
        stop.attending = False
        stop.groups = ()
        if child is not None:
            child.close()
        os.close(reader)
    cost = Cost(
        time.monotonic() - begun,
        usage.ru_utime + usage.ru_stime + rest.cpu,
        max(platform.peak_memory(usage), rest.peak_memory),
    )
    return ProcessExit(os.waitstatus_to_exitcode(status), stopped, cost)


def _attend(
    pid: int,
    child: ChildHandle,
    reader: int,
    write: Callable[[bytes], None],
    stop: StopRequests,
    timeout: float | None,
    grace: float,
    spare: set[int],
    watch: Callable[[int], None] | None,
) -> str | None:
    """Reads and watches until the process `pid` has ended; says why it was stopped, if it was."""
    poll = select.poll()
    if child.fd >= 0:
        poll.register(child.fd, select.POLLIN)
    poll.register(reader, select.POLLIN)
    if stop.fd >= 0:
        poll.register(stop.fd, select.POLLIN)
    stopped: str | None = None
    done = NONE
    deadline = None if timeout is None else time.monotonic() + timeout
    look = time.monotonic() + WATCH
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if child.fd < 0:
            left = LOOK if left is None else min(left, LOOK)
        if watch is not None:
            now = time.monotonic()
            if now >= look:
                watch(pid)
                look = now + WATCH
            left = min(look - now, WATCH if left is None else left)
        ready = poll.poll(None if left is None else left * 1000 + 1)
        for fd, _ in ready:
            if fd == reader:
                chunk = _read(reader)
                if chunk:
                    write(chunk)
                elif chunk == b"":
                    poll.unregister(reader)
        if child.ended() if child.fd < 0 else any(fd == child.fd for fd, _ in ready):
            return stopped
        request = stop.requested()
        if request > done and stopped is None:
            stopped = "cancelled"
        elif deadline is not None and time.monotonic() >= deadline:
            if stopped is None:
                stopped, request = "timeout", SOFT
            else:
                request = NOW
        if request == NOW and done < NOW:
            done, deadline = NOW, None
            _signal_tree(pid, signal.SIGKILL, spare)
        elif request == SOFT and done < SOFT:
            done, deadline = SOFT, time.monotonic() + grace
            _signal_tree(pid, signal.SIGTERM, spare)


def _signal_tree(pid: int, number: int, spare: set[int]) -> None:
    """Signals the step's group and whatever left it."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        send([pid], number)
    send([other for other in platform.below(os.getpid(), spare) if _group(other) != pid], number)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def spawn(path: str, argv: tuple[str, ...], env: Mapping[str, str], output: int, *, setsid: bool = False) -> int:
    """Starts a program with an empty input, whose output and errors go to the descriptor `output`, and no signal ignored."""
    actions = (
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    )
    return os.posix_spawn(path, argv, env, file_actions=actions, setsid=setsid, setsigmask=(), setsigdef=_SIGNALS)


def start_attached(path: str, argv: tuple[str, ...], env: Mapping[str, str], confine: Callable[[], None] | None) -> int:
    """Starts a program that has the descriptors 0, 1 and 2 of this process, and its process group and terminal.

    Errors are those of `run`.
    """
    return _forked(path, argv, env, None, confine, None)


def _start(
    path: str,
    argv: tuple[str, ...],
    env: Mapping[str, str],
    writer: int,
    confine: Callable[[], None] | None,
    launch: Callable[[], int] | None,
) -> int:
    """As `spawn` in a session of its own, with room for `confine` and `launch`.

    A worker has one thread, so what runs between fork and exec may be Python.
    """
    if confine is None and launch is None and platform.SPAWNS_SESSIONS:
        return spawn(path, argv, env, writer, setsid=True)
    return _forked(path, argv, env, writer, confine, launch)


def _forked(
    path: str,
    argv: tuple[str, ...],
    env: Mapping[str, str],
    writer: int | None,
    confine: Callable[[], None] | None,
    launch: Callable[[], int] | None,
) -> int:
    error_reader, error_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if writer is None:
                os.umask(UMASK)
            else:
                os.setsid()
                null = os.open("/dev/null", os.O_RDONLY)
                os.dup2(null, 0)
                os.dup2(writer, 1)
                os.dup2(writer, 2)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            if confine is not None:
                confine()
            if launch is None:
                os.execve(path, argv, env)  # noqa: S606  no shell is the point
            else:
                os.close(error_writer)
                os._exit(_led(launch))
        except OSError as error:
            told = str(error.strerror) if isinstance(error, NotConfinedError) else ""
            os.write(error_writer, b"%d %s" % (error.errno or 0, told.encode("utf-8", "replace")))
        except BaseException:
            os.write(error_writer, b"0 ")
        finally:
            os._exit(127)
    os.close(error_writer)
    with open(error_reader, "rb") as pipe:
        said = pipe.read()
    if said:
        os.waitpid(pid, 0)
        code, _, text = said.partition(b" ")
        if text:
            raise NotConfinedError(int(code), text.decode("utf-8", "replace"))
        raise OSError(int(code), os.strerror(int(code)), path)
    return pid


def _led(launch: Callable[[], int]) -> int:
    """The exit status that `launch` gives; nothing it raises may run on in this copy of the worker."""
    try:
        return launch()
    except BaseException as error:
        os.write(2, f"gang: {type(error).__name__}: {error}\n".encode("utf-8", "replace"))
        return 70


def signal_name(number: int) -> str:
    """As in ``SIGTERM``; ``signal 77`` for one without a name."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def killed_by(number: int) -> str:
    """What a signal did to a process, in words."""
    return f"killed by {signal_name(number)}" + (" (out of memory?)" if number == signal.SIGKILL else "")


def _read(reader: int) -> bytes | None:
    """What can be read now: empty at the end, None when there is nothing yet."""
    try:
        return os.read(reader, CHUNK)
    except BlockingIOError:
        return None
