"""The supervisor: a small process between gitml and its workers. It starts them and clears up after one that is killed.

Orphans of a killed worker fall to the supervisor, which has no other children than workers: so it knows them, and gitml's own
children are never in doubt. It is in a session of its own, where no signal meant for gitml reaches it, and ends
everything when gitml is gone.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

from gitml.execute.interfaces import WorkerServices
from gitml.execute.messages import NUMBER_WIDTH, frame
from gitml.execute.sandbox.location import SandboxRoot, SandboxRoots, choose_root
from gitml.execute.worker import serve
from gitml.platform.current import platform
from gitml.platform.interface import send

SHUTDOWN_WAIT = 30.0


def detach_from(parent_fds_kept: Collection[int]) -> None:
    """Makes a fresh fork safe to go on: nothing it inherited is shared, and nothing of it is collected or closed.

    Inherited descriptors are pointed at /dev/null rather than closed: the objects that hold them still will, one day, and must
    not close a descriptor of ours that has got the same number.
    """
    gc.freeze()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in platform.open_descriptors():
        if fd not in parent_fds_kept and fd != null:
            try:
                os.dup2(null, fd, inheritable=fd <= 2)
            except OSError:  # the descriptor of the listing itself
                continue


def run_host(arguments: Sequence[str], make_services: Callable[[], WorkerServices]) -> None:
    """Supervises workers until the other end of the control socket is closed; `arguments` as LocalExecutor adds them."""
    control = int(arguments[0])
    make_services()  # loads what workers need, once for all of them
    detach_from([control])
    Supervisor(control, make_services, SandboxRoots(*json.loads(arguments[1])), float(arguments[2])).run()


class Supervisor:
    """Serves the control socket `control`: a message with a descriptor starts a worker on it; reports the death of a worker."""

    def __init__(
        self, control: int, make_services: Callable[[], WorkerServices], roots: SandboxRoots, grace: float
    ) -> None:
        import socket

        self.control = socket.socket(fileno=control)
        self.make_services = make_services
        self.roots = roots
        self.root = SandboxRoot(None, False)
        self.lock = -1
        self.grace = grace
        self.workers: dict[int, int] = {}
        self.parent = os.getppid()
        self.ending = False

    def run(self) -> NoReturn:
        """Keeps workers until gitml closes the socket or dies."""
        os.setsid()
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_reader, False)
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._check_parent())
        self.root, self.lock = choose_root(self.roots)
        platform.deny_inspection()
        platform.adopt_orphans("gitml-keeper", self.parent, signal.SIGTERM)
        poll = select.poll()
        poll.register(self.control.fileno(), select.POLLIN)
        poll.register(wake_reader, select.POLLIN)
        while not self.ending:
            for fd, _ in poll.poll():
                if fd == wake_reader:
                    os.read(wake_reader, 4096)
                    self._reap()
                else:
                    self._handle_request()
        self._end()

    def _handle_request(self) -> None:
        import socket

        data, fds, _, _ = socket.recv_fds(self.control, NUMBER_WIDTH, 1)
        if not data or not fds:
            self.ending = True
            return
        os.set_inheritable(fds[0], False)
        pid = os.fork()
        if pid == 0:
            try:
                supervisor = os.getppid()
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                detach_from([*fds, self.lock])  # whose worker goes on holds its sandboxes, if the supervisor is killed
                serve(fds[0], self.make_services, self.root, self.grace, supervisor)
            finally:
                os._exit(2)
        os.close(fds[0])
        self.workers[pid] = int(data)

    def _reap(self) -> None:
        """Reaps workers that died, ends what each left behind, and only then says so."""
        dead: list[tuple[int, int]] = []
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self.workers:
                dead.append((pid, status))
        while dead:
            ended = [(self.workers.pop(pid), status) for pid, status in dead]
            dead = []
            platform.end_all(self.workers, lambda pid, status, dead=dead: dead.append((pid, status)))  # type: ignore[misc]
            for number, status in ended:
                try:
                    self.control.send(frame([number, status]))
                except OSError:
                    self.ending = True

    def _check_parent(self) -> None:
        # the kernel also sends this when only the thread that forked has ended
        if os.getppid() != self.parent:
            self._end()

    def _end(self) -> NoReturn:
        """Has the workers clear up, waits for them, kills what is left."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            send(self.workers, signal.SIGTERM)
            until = time.monotonic() + SHUTDOWN_WAIT
            while time.monotonic() < until:
                try:
                    pid, _ = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    break
                if pid == 0:
                    time.sleep(0.002)
                elif self.workers.pop(pid, None) is not None:
                    platform.end_all(self.workers, lambda pid, _status: self._forget(pid))
            platform.end_all()
        finally:
            os._exit(0)

    def _forget(self, pid: int) -> None:
        self.workers.pop(pid, None)
