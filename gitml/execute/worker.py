"""A worker: a lasting process that performs one attempt at a time, so that every orphan it is handed belongs to that one."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from gitml.core.model.digest import Digest
from gitml.core.model.environment import Environment
from gitml.core.model.protocols import TaskFinished
from gitml.core.model.result import Cost
from gitml.errors import GitmlError, MachineError
from gitml.execute.attempt import Report, perform, sandbox_of
from gitml.execute.descendants import become_subreaper, end_all
from gitml.execute.interfaces import Services
from gitml.execute.log_mask import mask_of
from gitml.execute.messages import Frames, Job, frame, job_of, send_all
from gitml.execute.process import NONE, NOW, SOFT, Watch
from gitml.execute.sandbox.git_blobs import BlobMemory
from gitml.execute.sandbox.location import Site
from gitml.execute.sandbox.namespace import leave_shared
from gitml.execute.sandbox.sandbox import Sandbox


def serve(fd: int, make_services: Callable[[], Services], site: Site, grace: float, keeper: int) -> NoReturn:
    """Performs what arrives on the socket `fd` until its other end is closed or the process `keeper`, its parent, dies."""
    worker = Worker(fd, site, grace)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: worker.abandon())
    signal.signal(signal.SIGUSR1, lambda _number, _frame: worker.drop())
    become_subreaper("gitml-worker", keeper, signal.SIGTERM)
    worker.say(["hello", os.getpid()])
    worker.work(make_services)


class Worker(Watch):
    """What a worker is doing. As a `Watch` it hears, while a step runs, that the attempt is to be stopped."""

    def __init__(self, fd: int, site: Site, grace: float) -> None:
        self.fd = fd
        self.site = site
        self.grace = grace
        self.attempt = ""
        self.sandbox: Sandbox | None = None
        self._frames = Frames()
        self._asked = NONE
        self._jobs: list[Any] = []
        self._early: dict[str, int] = {}  # what was asked of attempts that have not begun
        self._can_read = select.poll()
        self._can_read.register(fd, select.POLLIN)
        self._can_write = select.poll()
        self._can_write.register(fd, select.POLLOUT)

    def work(self, make_services: Callable[[], Services]) -> NoReturn:
        """Performs jobs as they come."""
        services: Services | None = None
        broken = ""
        try:
            if self.site.root is None:
                hint = "name a folder for sandboxes in your own settings: sandboxes: /scratch/me"
                raise MachineError(f"every folder for sandboxes lies in a project: {self.site.trouble}", hint=hint)
            if self.site.mounted:
                leave_shared()
            services = make_services()
        except (GitmlError, OSError) as error:
            broken = str(error)
        memory = BlobMemory()
        environments: dict[Digest, Environment] = {}
        while True:
            while not self._jobs:
                self._hear()
            job = job_of(self._jobs.pop(0), environments)
            if services is None:
                self.say(["finished", _failed(job.attempt, f"the worker can't begin: {broken}")])
                continue
            self._perform(job, services, memory)

    def asked(self) -> int:
        """How the attempt is to be stopped."""
        while self._can_read.poll(0):
            self._hear()
        return self._asked

    def say(self, message: list[Any]) -> None:
        """Tells the executor."""
        try:
            send_all(self.fd, frame(message))
        except (BrokenPipeError, ConnectionResetError):
            self.abandon()

    def abandon(self) -> NoReturn:
        """Nobody waits any more: ends every process of the step, removes its sandbox, and exits."""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        try:
            end_all()
            if self.sandbox is not None:
                self.sandbox.remove()
        finally:
            os._exit(1)

    def drop(self) -> None:
        """The attempt is to stop now: a process that runs is killed where it is watched, any other work is abandoned."""
        if self.sandbox is None:  # none is begun: what is asked is heard when it comes to its turn
            return
        if self.attending:
            self._asked = NOW
        else:
            self.abandon()

    def _perform(self, job: Job, services: Services, memory: BlobMemory) -> None:
        self.attempt, self._asked = job.attempt, self._early.pop(job.attempt, NONE)
        root = sandbox_of(self.site.root or "", job.attempt)
        sandbox = self.sandbox = Sandbox(root, services, memory, mounted=self.site.mounted)
        report = Report(
            lambda: self.say(["started", job.attempt]),
            self._show,
            lambda what: self.say(["prepares", job.attempt, what]),
        )
        try:
            finished = perform(job, sandbox, services, self, report, self.grace)
        except Exception as error:
            import traceback

            place = traceback.extract_tb(error.__traceback__)[-1]
            what = (
                f"internal error: {type(error).__name__}: {error} ({os.path.basename(place.filename)}:{place.lineno})"
            )
            hidden = (*job.secrets.values(), *job.masked)
            mask = mask_of(job.action, {}, services.environments.machine, hidden)
            finished = _failed(job.attempt, mask.text(what))
        # told first: the executor can go on while the sandbox is removed
        self.say(["finished", finished])
        try:
            sandbox.remove()
        finally:
            self.sandbox = None

    def _show(self, line: str) -> None:
        """Sends a line of the log if that does not make the step wait."""
        if self._can_write.poll(0):
            self.say(["output", self.attempt, line])

    def _hear(self) -> None:
        try:
            data = os.read(self.fd, 2**18)
        except ConnectionResetError:
            data = b""
        if not data:
            self.abandon()
        for message in self._frames.feed(data):
            if message["op"] == "run":
                self._jobs.append(message)
                continue
            asked = NOW if message["now"] else SOFT
            if any(job["attempt"] == message["attempt"] for job in self._jobs):
                self._early[message["attempt"]] = max(asked, self._early.get(message["attempt"], NONE))
            elif message["attempt"] == self.attempt:
                self._asked = max(self._asked, asked)


def _failed(attempt: str, error: str) -> TaskFinished:
    return TaskFinished(attempt, "failed", None, error, None, (), {}, Cost(), None)
