"""A worker: a lasting process that performs one attempt at a time, so that every orphan it is handed belongs to that one."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from gitml.core.model.digest import Digest
from gitml.core.model.environment import Environment
from gitml.core.model.protocols import Task, TaskFinished
from gitml.errors import GitmlError, MachineError
from gitml.execute.attempt import WorkerAttempt
from gitml.execute.interfaces import WorkerServices
from gitml.execute.log import mask_of
from gitml.execute.messages import Frames, decode_task, frame
from gitml.execute.process import NONE, NOW, SOFT, StopRequests
from gitml.execute.sandbox.location import SandboxRoot
from gitml.execute.sandbox.namespace import leave_shared
from gitml.execute.sandbox.sandbox import BlobMemory, Sandbox
from gitml.files import write_all
from gitml.platform.current import platform


def serve(
    fd: int, make_services: Callable[[], WorkerServices], root: SandboxRoot, grace: float, supervisor: int
) -> NoReturn:
    """Performs what arrives on the socket `fd` until its other end is closed or the process `supervisor`, its parent, dies."""
    worker = Worker(fd, root, grace)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: worker.abandon())
    signal.signal(signal.SIGUSR1, lambda _number, _frame: worker.drop())
    platform.adopt_orphans("gitml-worker", supervisor, signal.SIGTERM)
    worker.send(["hello", os.getpid()])
    worker.work(make_services)


class Worker(StopRequests):
    """What a worker is doing. As a `StopRequests` it hears, while a step runs, that the attempt is to be stopped."""

    def __init__(self, fd: int, root: SandboxRoot, grace: float) -> None:
        self.fd = fd
        self.root = root
        self.grace = grace
        self.attempt = ""
        self.sandbox: Sandbox | None = None
        self._frames = Frames()
        self._requested = NONE
        self._queue: list[Any] = []
        self._requested_early: dict[str, int] = {}  # what was requested of attempts that have not begun
        self._can_read = select.poll()
        self._can_read.register(fd, select.POLLIN)
        self._can_write = select.poll()
        self._can_write.register(fd, select.POLLOUT)

    def work(self, make_services: Callable[[], WorkerServices]) -> NoReturn:
        """Performs jobs as they come."""
        services: WorkerServices | None = None
        broken = ""
        try:
            if self.root.path is None:
                hint = "name a folder for sandboxes in your own settings: sandboxes: /scratch/me"
                raise MachineError(f"every folder for sandboxes lies in a project: {self.root.problem}", hint=hint)
            if self.root.mounted:
                leave_shared()
            services = make_services()
        except (GitmlError, OSError) as error:
            broken = str(error)
        memory = BlobMemory()
        environments: dict[Digest, Environment] = {}
        while True:
            while not self._queue:
                self._receive()
            task = decode_task(self._queue.pop(0), environments)
            if services is None:
                self.send(["finished", TaskFinished(task.attempt, "failed", error=f"the worker can't begin: {broken}")])
                continue
            self._perform(task, services, memory)

    def requested(self) -> int:
        """How the attempt is to be stopped."""
        while self._can_read.poll(0):
            self._receive()
        return self._requested

    def send(self, message: list[Any]) -> None:
        """Sends a message to the executor."""
        try:
            write_all(self.fd, frame(message))
        except (BrokenPipeError, ConnectionResetError):
            self.abandon()

    def abandon(self) -> NoReturn:
        """Nobody waits any more: ends every process of the step, removes its sandbox, and exits."""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        try:
            platform.end_all(groups=self.groups)
            if self.sandbox is not None:
                self.sandbox.remove()
        finally:
            os._exit(1)

    def drop(self) -> None:
        """The attempt is to stop now: a process that runs is killed where it is watched, any other work is abandoned."""
        if self.sandbox is None:  # none is begun: what is requested is heard when it comes to its turn
            return
        if self.attending:
            self._requested = NOW
        else:
            self.abandon()

    def _perform(self, task: Task, services: WorkerServices, memory: BlobMemory) -> None:
        self.attempt, self._requested = task.attempt, self._requested_early.pop(task.attempt, NONE)
        root = f"{self.root.path}/{task.attempt}"
        sandbox = self.sandbox = Sandbox(root, services, memory, mounted=self.root.mounted)
        try:
            finished = WorkerAttempt(task, sandbox, services, self, self._report, self.grace).perform()
        except Exception as error:
            import traceback

            place = traceback.extract_tb(error.__traceback__)[-1]
            what = (
                f"internal error: {type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})"
            )
            hidden = (*task.secrets.values(), *task.masked)
            mask = mask_of(task.action, {}, services.environments.machine, hidden)
            finished = TaskFinished(task.attempt, "failed", error=mask.text(what))
        # told first: the executor can go on while the sandbox is removed
        self.send(["finished", finished])
        try:
            sandbox.remove()
        finally:
            self.sandbox = None

    def _report(self, kind: str, *words: str) -> None:
        """Sends a message about the attempt; a line of its log only if that does not make the step wait."""
        if kind != "output" or self._can_write.poll(0):
            self.send([kind, self.attempt, *words])

    def _receive(self) -> None:
        messages = self._frames.receive(self.fd)
        if messages is None:
            self.abandon()
        for message in messages:
            if message["op"] == "run":
                self._queue.append(message)
                continue
            requested = NOW if message["now"] else SOFT
            if any(task["attempt"] == message["attempt"] for task in self._queue):
                self._requested_early[message["attempt"]] = max(
                    requested, self._requested_early.get(message["attempt"], NONE)
                )
            elif message["attempt"] == self.attempt:
                self._requested = max(self._requested, requested)
