"""The executor of this machine: a pool of workers, started when the first Task comes, one Task at a time each."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitml.core.model.action import ActionOutput
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import (
    Capabilities,
    Executor,
    Task,
    TaskEvent,
    TaskFinished,
    TaskOutput,
    TaskPrepares,
    TaskStarted,
)
from gitml.core.model.resources import Resources
from gitml.errors import GitmlError, MachineError
from gitml.execute.capacity import GpuShares, gpus
from gitml.execute.messages import NUMBER_WIDTH, Frames, encode_task, finished_from_json, frame
from gitml.files import write_all
from gitml.platform.current import platform
from gitml.platform.interface import LOOK

if TYPE_CHECKING:
    import socket

    from gitml.execute.interfaces import WorkerServices
    from gitml.execute.sandbox.location import SandboxRoots
    from gitml.execute.sandbox.outputs import PartialOutputs

GRACE = 5.0
CLOSE_WAIT = 40.0


class _WorkerHandle:
    """A worker as the executor knows it; `status` is its wait status once it is dead and cleared up after."""

    def __init__(self, number: int, fd: int) -> None:
        self.number = number
        self.fd = fd
        self.pid = 0
        self.frames = Frames()
        self.attempt: str | None = None
        self.outputs: Sequence[ActionOutput] = ()
        self.recent: tuple[str, ...] = ()  # the attempt and the one before, whose sandbox may still be being removed
        self.cancelled = False
        self.environments: set[Digest] = set()
        self.closed = False
        self.orphaned = False
        self.status: int | None = None


class LocalExecutor(Executor):
    """Performs Tasks on this machine, `slots` at once, in sandboxes below `live_dir` (on the file system of the Store) or apart.

    `make_services` is called in each worker. Nothing is started before the first `submit`. Steps get `grace` seconds between
    SIGTERM and SIGKILL. `host` is what follows the name of Python in the command of the supervisor, which ends with a call of
    `supervisor.run_host`; without one it is forked, as no process with threads can be. To be used from one thread.
    """

    capabilities = Capabilities(shares_machine=True)

    def __init__(
        self,
        make_services: Callable[[], WorkerServices],
        live_dir: str,
        slots: int,
        capacity: Resources,
        *,
        machine: Mapping[str, str] | None = None,
        grace: float = GRACE,
        host: Sequence[str] = (),
    ) -> None:
        self._host = host
        self._make_services = make_services
        self._live_dir = os.path.realpath(live_dir)
        self._machine = os.environ if machine is None else machine
        self._roots: SandboxRoots | None = None
        self._slots = slots
        self._free = capacity
        self._taken: dict[str, Resources] = {}
        self._grace = grace
        names = gpus(self._machine) if capacity.gpus else []
        self._gpus = GpuShares(names or [str(index) for index in range(int(capacity.gpus))])
        self._supervisor = 0
        self._deaths = Frames()
        self._control: socket.socket | None = None
        self._workers: dict[int, _WorkerHandle] = {}
        self._next = 0
        self._poll = select.poll()
        self._events: list[TaskEvent] = []
        self._closed = False
        self._retiring: list[_WorkerHandle] = []

    def takes(self, resources: Resources, nodes: int = 1, environment: Digest | None = None) -> bool:
        """Whether a Task that asks for this may be submitted now."""
        busy = sum(1 for worker in self._workers.values() if worker.attempt is not None)
        return busy < self._slots and resources.fits(self._free)

    def descriptors(self) -> Sequence[int]:
        return [*self._workers, *([] if self._control is None else [self._control.fileno()])]

    def submit(self, task: Task) -> None:
        """Starts a Task; ValueError beyond `slots` or the GPUs that are free, or for a name that is no file name."""
        if self._closed:
            raise ValueError("the executor is closed")
        if not task.attempt or "/" in task.attempt or task.attempt in (".", ".."):
            raise ValueError(f"not an attempt's name: {task.attempt!r}")
        worker = next(
            (worker for worker in self._workers.values() if worker.attempt is None and not worker.closed), None
        )
        if worker is None:
            if sum(1 for worker in self._workers.values() if worker.attempt is not None) >= self._slots:
                raise ValueError(f"more than {self._slots} tasks at once")
            worker = self._start_worker()
        digest = task.environment.digest
        from gitml.redaction import registered_secrets  # what only plans does without

        devices = self._devices(task.attempt, task.resources.gpus)
        task = task._replace(masked=(*task.masked, *registered_secrets()), devices=devices)
        message = frame(encode_task(task, with_environment=digest not in worker.environments))
        worker.environments.add(digest)
        worker.attempt, worker.outputs = task.attempt, task.action.outputs
        self._taken[task.attempt] = task.resources
        self._free = self._free.minus(task.resources)
        worker.recent = (*worker.recent[-1:], task.attempt)
        worker.cancelled = False
        try:
            write_all(worker.fd, message)
        except (BrokenPipeError, ConnectionResetError):
            return  # it died just now: `wait` finds out, and reports the Task lost

    def wait(self, timeout: float | None) -> Sequence[TaskEvent]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._events:
                left = 0.0
            for fd, _ in self._poll.poll(None if left is None else left * 1000):
                if self._control is not None and fd == self._control.fileno():
                    self._receive_from_supervisor()
                elif fd in self._workers:
                    self._receive(self._workers[fd])
            if self._events:
                events, self._events = self._events, []
                return events
            if deadline is not None and time.monotonic() >= deadline:
                return ()

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        """Nothing happens when no such Task runs."""
        for worker in self._workers.values():
            if worker.attempt != attempt or worker.closed:
                continue
            worker.cancelled = True
            try:
                write_all(worker.fd, frame({"op": "cancel", "attempt": attempt, "now": now}))
                if now and worker.pid:
                    os.kill(worker.pid, signal.SIGUSR1)
            except (BrokenPipeError, ConnectionResetError, ProcessLookupError):
                continue

    def dismiss(self) -> None:
        self._closed = True
        self._retiring += self._workers.values()
        for worker in self._workers.values():
            os.close(worker.fd)
        self._workers = {}
        if self._control is not None:
            self._control.close()
            self._control = None
            self._poll = select.poll()

    def close(self) -> None:
        """Ends everything that still runs, and returns when no process of a step and no sandbox is left."""
        self.dismiss()
        if self._supervisor:
            pid, self._supervisor = self._supervisor, 0
            if _wait_for(pid) != 0 or not platform.ADOPTS_ORPHANS:
                self._end_strays(self._retiring)  # workers without a supervisor end by themselves
            self._remove_recent(self._retiring)  # of workers that were killed before they could
            if self._roots is not None:
                from gitml.execute.sandbox.location import clear_root

                clear_root(self._roots)

    def _devices(self, attempt: str, count: float) -> str | None:
        """The GPUs of an attempt as CUDA_VISIBLE_DEVICES; None for none. ValueError when they are not free."""
        return self._gpus.give(attempt, count)

    def _start_worker(self) -> _WorkerHandle:
        import socket

        if self._control is None:
            self._start_supervisor()
        assert self._control is not None
        ours, theirs = socket.socketpair()
        with theirs:
            self._next += 1
            number = (b"%d" % self._next).rjust(NUMBER_WIDTH)
            try:
                socket.send_fds(self._control, [number], [theirs.fileno()])
            except (BrokenPipeError, ConnectionResetError):  # the supervisor was killed just now
                self._abandon_supervisor()
                self._start_supervisor()
                assert self._control is not None
                socket.send_fds(self._control, [number], [theirs.fileno()])
        worker = _WorkerHandle(self._next, ours.detach())
        self._workers[worker.fd] = worker
        self._poll.register(worker.fd, select.POLLIN)
        return worker

    def _start_supervisor(self) -> None:
        import socket

        os.makedirs(self._live_dir, exist_ok=True)
        if self._roots is None:
            from gitml.execute.sandbox.location import sandbox_roots

            self._roots = sandbox_roots(self._live_dir, self._machine)
        ours, theirs = socket.socketpair(socket.AF_UNIX, platform.CONTROL_SOCKET)
        with theirs:
            pid = self._spawn_supervisor(theirs.fileno(), self._roots)
        self._supervisor, self._control = pid, ours
        self._deaths = Frames()
        self._poll.register(ours.fileno(), select.POLLIN)

    def _spawn_supervisor(self, control: int, roots: SandboxRoots) -> int:
        """Starts the supervisor with its end of the control socket; its process id. If forked, steps can't look in here then."""
        if self._host:
            os.set_inheritable(control, True)
            argv = (sys.executable, *self._host, str(control), json.dumps(roots), str(self._grace))
            return os.posix_spawn(sys.executable, argv, dict(self._machine), setsigmask=())
        platform.deny_inspection()
        pid = os.fork()
        if pid:
            return pid
        try:
            from gitml.execute.supervisor import Supervisor, detach_from

            detach_from([control])
            Supervisor(control, self._make_services, roots, self._grace).run()
        finally:
            os._exit(2)

    def _receive(self, worker: _WorkerHandle) -> None:
        messages = worker.frames.receive(worker.fd)
        if messages is not None:
            for message in messages:
                self._handle_message(worker, message)
            return
        self._poll.unregister(worker.fd)
        worker.closed = True
        self._retire(worker)

    def _handle_message(self, worker: _WorkerHandle, message: list[Any]) -> None:
        kind, content = message[0], message[1]
        if kind == "hello":
            worker.pid = content
        elif kind == "started":
            self._events.append(TaskStarted(content))
        elif kind == "prepares":
            self._events.append(TaskPrepares(content, message[2]))
        elif kind == "output":
            self._events.append(TaskOutput(content, message[2]))
        else:
            self._finish(worker, finished_from_json(content))

    def _finish(self, worker: _WorkerHandle, finished: TaskFinished) -> None:
        worker.attempt = None
        self._gpus.take_back(finished.attempt)
        self._free = self._free.plus(self._taken.pop(finished.attempt))
        self._events.append(finished)

    def _receive_from_supervisor(self) -> None:
        assert self._control is not None
        deaths = self._deaths.receive(self._control.fileno())
        if deaths is None:
            self._abandon_supervisor()
            return
        for number, status in deaths:
            for worker in list(self._workers.values()):
                if worker.number == number:
                    worker.status = status
                    self._retire(worker)

    def _abandon_supervisor(self) -> None:
        """The supervisor was killed: its workers learn it from the kernel, clear up and close their sockets."""
        assert self._control is not None
        self._poll.unregister(self._control.fileno())
        self._control.close()
        self._control = None
        _wait_for(self._supervisor)
        self._supervisor = 0
        for worker in list(self._workers.values()):
            worker.orphaned = True
            worker.status = signal.SIGKILL
            self._retire(worker)

    def _remove_recent(self, workers: Sequence[_WorkerHandle]) -> None:
        """Removes what workers that are gone may have left of their last sandboxes."""
        from gitml.execute.sandbox.removal import remove_tree

        for worker in workers:
            for sandbox in self._sandboxes(worker.recent):
                remove_tree(sandbox)

    def _sandboxes(self, attempts: Sequence[str]) -> list[str]:
        """Where the sandboxes of attempts may lie."""
        roots = [] if self._roots is None else self._roots.roots()
        return [f"{root}/{attempt}" for attempt in attempts for root in roots]

    def _end_strays(self, workers: Sequence[_WorkerHandle]) -> None:
        for worker in workers:
            if worker.pid:
                platform.wait_for_other(worker.pid, CLOSE_WAIT)
            for sandbox in self._sandboxes(worker.recent):
                platform.end_strays(sandbox)

    def _retire(self, worker: _WorkerHandle) -> None:
        """Gives up a worker once its last word is heard and what it left is ended; its Task was lost, or cancelled."""
        if not worker.closed or worker.status is None:
            return
        del self._workers[worker.fd]
        os.close(worker.fd)
        if worker.orphaned or not platform.ADOPTS_ORPHANS:
            self._end_strays([worker])
        partial = self._partial_outputs(worker)
        self._remove_recent([worker])
        if worker.attempt is None:
            return
        outcome, error = "lost", f"its worker {_death(worker.status)}"
        if worker.cancelled:
            outcome, error = "cancelled", "cancelled"
        ended = TaskFinished(worker.attempt, outcome, error=error, partial=partial.outputs, warnings=partial.notes)
        self._finish(worker, ended)

    def _partial_outputs(self, worker: _WorkerHandle) -> PartialOutputs:
        """What is left of the outputs of a Task whose worker was lost; nothing where it was to end at once."""
        from gitml.execute.sandbox.outputs import PartialOutputs, keep_partial

        if worker.attempt is None or worker.cancelled or not worker.outputs:
            return PartialOutputs()
        works = [f"{sandbox}/work" for sandbox in self._sandboxes([worker.attempt])]
        work = next(filter(os.path.isdir, works), None)
        if work is None:
            return PartialOutputs()
        try:
            return keep_partial(worker.outputs, work, self._make_services().store)
        except (GitmlError, OSError):
            return PartialOutputs()


def _death(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit status {code}"
    from gitml.execute.process import killed_by

    return f"was {killed_by(-code)}"


def _wait_for(pid: int) -> int:
    """Waits for the supervisor `pid` to end, which it does when its workers have; its status. MachineError when it can't."""
    child = platform.watch_child(pid)
    try:
        until = time.monotonic() + CLOSE_WAIT
        poll = select.poll()
        if child.fd >= 0:
            poll.register(child.fd, select.POLLIN)
        while not child.ended():
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                child.wait()
                hint = "look for processes in state D: a disk may hang"
                raise MachineError("processes of a step can't be ended", hint=hint)
            poll.poll((CLOSE_WAIT if child.fd >= 0 else LOOK) * 1000)
        return child.wait()[0]
    finally:
        child.close()
