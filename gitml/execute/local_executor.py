"""The executor of this machine: a pool of workers, started when the first Task comes, one Task at a time each."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from gitml.core.model.action import ActionOutput
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Task, TaskEvent, TaskFinished, TaskOutput, TaskPrepares, TaskStarted
from gitml.core.model.resources import Resources
from gitml.core.model.result import Cost
from gitml.errors import GitmlError, MachineError
from gitml.execute.capacity import GpuShares, gpus
from gitml.execute.messages import Frames, finished_from_json, frame, send_all, task_message

if TYPE_CHECKING:
    import socket

    from gitml.execute.interfaces import Services
    from gitml.execute.sandbox.location import Places
    from gitml.execute.sandbox.partial_outputs import Kept

GRACE = 5.0
CLOSE_WAIT = 40.0


class _Seat:
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


class LocalExecutor:
    """Performs Tasks on this machine, `slots` at once, in sandboxes below `live_dir` (on the file system of the Store) or apart.

    `make_services` is called in each worker. Nothing is started before the first `submit`. Steps get `grace` seconds between
    SIGTERM and SIGKILL. To be used from one thread.
    """

    def __init__(
        self,
        make_services: Callable[[], Services],
        live_dir: str,
        slots: int,
        capacity: Resources,
        *,
        machine: Mapping[str, str] | None = None,
        grace: float = GRACE,
    ) -> None:
        self._make_services = make_services
        self._live_dir = os.path.realpath(live_dir)
        self._machine = os.environ if machine is None else machine
        self._places: Places | None = None
        self._slots = slots
        self._capacity = capacity
        self._free = capacity
        self._taken: dict[str, Resources] = {}
        self._grace = grace
        names = gpus(self._machine) if capacity.gpus else []
        self._gpus = GpuShares(names or [str(index) for index in range(int(capacity.gpus))])
        self._keeper = 0
        self._control: socket.socket | None = None
        self._seats: dict[int, _Seat] = {}
        self._next = 0
        self._poll = select.poll()
        self._events: list[TaskEvent] = []
        self._closed = False
        self._dismissed: list[_Seat] = []

    def capacity(self) -> Resources:
        """All that this target has when idle."""
        return self._capacity

    def slots(self) -> int:
        """How many Tasks may run at once."""
        return self._slots

    def takes(self, resources: Resources, nodes: int = 1, environment: Digest | None = None) -> bool:
        """Whether a Task that asks for this may be submitted now."""
        busy = sum(1 for seat in self._seats.values() if seat.attempt is not None)
        return busy < self._slots and resources.fits(self._free)

    def descriptors(self) -> Sequence[int]:
        """One of them becomes readable when `wait` may have something to give."""
        return [*self._seats, *([] if self._control is None else [self._control.fileno()])]

    def prepare(self) -> None:
        """Starts what forks, before the process has threads that must not be forked."""
        if self._control is None:
            self._start_keeper()

    def submit(self, task: Task) -> None:
        """Starts a Task; ValueError beyond `slots` or the GPUs that are free, or for a name that is no file name."""
        if self._closed:
            raise ValueError("the executor is closed")
        if not task.attempt or "/" in task.attempt or task.attempt in (".", ".."):
            raise ValueError(f"not an attempt's name: {task.attempt!r}")
        seat = next((seat for seat in self._seats.values() if seat.attempt is None and not seat.closed), None)
        if seat is None:
            if sum(1 for seat in self._seats.values() if seat.attempt is not None) >= self._slots:
                raise ValueError(f"more than {self._slots} tasks at once")
            seat = self._start_worker()
        devices = self._devices(task.attempt, task.resources.gpus)
        digest = task.environment.digest
        from gitml.redaction import kept_secret  # what only plans does without

        task = task._replace(masked=(*task.masked, *kept_secret()))
        message = frame(task_message(task, devices, with_environment=digest not in seat.environments))
        seat.environments.add(digest)
        seat.attempt, seat.outputs = task.attempt, task.action.outputs
        self._taken[task.attempt] = task.resources
        self._free = self._free.minus(task.resources)
        seat.recent = (*seat.recent[-1:], task.attempt)
        seat.cancelled = False
        try:
            send_all(seat.fd, message)
        except (BrokenPipeError, ConnectionResetError):
            return  # it died just now: `wait` finds out, and reports the Task lost

    def wait(self, timeout: float | None) -> Sequence[TaskEvent]:
        """Events since the last call, in order; waits up to `timeout` seconds for the first. Empty on time-out."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self._events:
                left = 0.0
            for fd, _ in self._poll.poll(None if left is None else left * 1000):
                if self._control is not None and fd == self._control.fileno():
                    self._hear_keeper()
                elif fd in self._seats:
                    self._hear(self._seats[fd])
            if self._events:
                events, self._events = self._events, []
                return events
            if deadline is not None and time.monotonic() >= deadline:
                return ()

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        """Asks a Task to end: SIGTERM and after a grace SIGKILL to its whole process tree; `now` kills at once.

        Nothing happens when no such Task runs.
        """
        for seat in self._seats.values():
            if seat.attempt != attempt or seat.closed:
                continue
            seat.cancelled = True
            try:
                send_all(seat.fd, frame({"op": "cancel", "attempt": attempt, "now": now}))
                if now and seat.pid:
                    os.kill(seat.pid, signal.SIGUSR1)
            except (BrokenPipeError, ConnectionResetError, ProcessLookupError):
                continue

    def dismiss(self) -> None:
        """Says that nothing more will be asked: what still runs begins to end. Returns at once; `close` waits for it."""
        self._closed = True
        self._dismissed += self._seats.values()
        for seat in self._seats.values():
            os.close(seat.fd)
        self._seats = {}
        if self._control is not None:
            self._control.close()
            self._control = None
            self._poll = select.poll()

    def close(self) -> None:
        """Ends everything that still runs, and returns when no process of a step and no sandbox is left."""
        self.dismiss()
        if self._keeper:
            pid, self._keeper = self._keeper, 0
            if _wait_for(pid) != 0:
                self._clear_after(self._dismissed)
            else:
                self._remove_recent(self._dismissed)  # of workers that were killed before they could
            if self._places is not None:
                from gitml.execute.sandbox.location import clear

                clear(self._places)

    def _start_worker(self) -> _Seat:
        import socket

        if self._control is None:
            self._start_keeper()
        assert self._control is not None
        ours, theirs = socket.socketpair()
        with theirs:
            self._next += 1
            try:
                socket.send_fds(self._control, [b"%d" % self._next], [theirs.fileno()])
            except (BrokenPipeError, ConnectionResetError):  # the keeper was killed just now
                self._give_up_keeper()
                self._start_keeper()
                assert self._control is not None
                socket.send_fds(self._control, [b"%d" % self._next], [theirs.fileno()])
        seat = _Seat(self._next, ours.detach())
        self._seats[seat.fd] = seat
        self._poll.register(seat.fd, select.POLLIN)
        return seat

    def _start_keeper(self) -> None:
        import socket

        os.makedirs(self._live_dir, exist_ok=True)
        if self._places is None:
            from gitml.execute.sandbox.location import places_for

            self._places = places_for(self._live_dir, self._machine)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pid = self._begin_keeper(theirs.fileno(), self._places)
        self._keeper, self._control = pid, ours
        self._poll.register(ours.fileno(), select.POLLIN)

    def _begin_keeper(self, control: int, places: Places) -> int:
        """Starts the keeper with its end of the control socket; its process id. From then on steps can't look in here."""
        from gitml.execute.sandbox.inspection import deny_inspection

        deny_inspection()
        pid = os.fork()
        if pid == 0:
            self._become_keeper(control, places)
        return pid

    def _devices(self, attempt: str, count: float) -> str | None:
        """The GPUs for an attempt, as CUDA_VISIBLE_DEVICES; ValueError when that many are not free."""
        return self._gpus.give(attempt, count)

    def _become_keeper(self, control: int, places: Places) -> NoReturn:
        try:
            from gitml.execute.supervisor import Keeper, detach_from

            detach_from([control])
            Keeper(control, self._make_services, places, self._grace).run()
        finally:
            os._exit(2)

    def _hear(self, seat: _Seat) -> None:
        try:
            data = os.read(seat.fd, 2**18)
        except ConnectionResetError:
            data = b""
        if data:
            for message in seat.frames.feed(data):
                self._take_in(seat, message)
            return
        self._poll.unregister(seat.fd)
        seat.closed = True
        self._settle(seat)

    def _take_in(self, seat: _Seat, message: list[Any]) -> None:
        kind, content = message[0], message[1]
        if kind == "hello":
            seat.pid = content
        elif kind == "started":
            self._events.append(TaskStarted(content))
        elif kind == "prepares":
            self._events.append(TaskPrepares(content, message[2]))
        elif kind == "output":
            self._events.append(TaskOutput(content, message[2]))
        else:
            self._finish(seat, finished_from_json(content))

    def _finish(self, seat: _Seat, finished: TaskFinished) -> None:
        seat.attempt = None
        self._gpus.take_back(finished.attempt)
        self._free = self._free.plus(self._taken.pop(finished.attempt))
        self._events.append(finished)

    def _hear_keeper(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(4096)
        except ConnectionResetError:
            data = b""
        if data:
            for number, status in Frames().feed(data):
                for seat in list(self._seats.values()):
                    if seat.number == number:
                        seat.status = status
                        self._settle(seat)
            return
        self._give_up_keeper()

    def _give_up_keeper(self) -> None:
        """The keeper was killed: its workers are told so by the kernel, clear up and close their sockets."""
        assert self._control is not None
        self._poll.unregister(self._control.fileno())
        self._control.close()
        self._control = None
        _wait_for(self._keeper)
        self._keeper = 0
        for seat in list(self._seats.values()):
            seat.orphaned = True
            seat.status = signal.SIGKILL
            self._settle(seat)

    def _remove_recent(self, seats: Sequence[_Seat]) -> None:
        """Removes what workers that are gone may have left of their last sandboxes."""
        from gitml.execute.sandbox.removal import remove_tree

        for sandbox in [sandbox for seat in seats for sandbox in self._recent(seat)]:
            remove_tree(sandbox)

    def _recent(self, seat: _Seat) -> list[str]:
        """Where the last sandboxes of a worker may lie."""
        roots = [] if self._places is None else self._places.roots()
        return [f"{root}/{attempt}" for attempt in seat.recent for root in roots]

    def _clear_after(self, seats: Sequence[_Seat]) -> None:
        """Waits for workers without a keeper to end, and does for each what it did not come to do."""
        self._end_strays(seats)
        self._remove_recent(seats)

    def _end_strays(self, seats: Sequence[_Seat]) -> None:
        from gitml.execute.descendants import end_strays

        for seat in seats:
            if seat.pid:
                _wait_for_other(seat.pid)
            for sandbox in self._recent(seat):
                end_strays(sandbox)

    def _settle(self, seat: _Seat) -> None:
        """Gives up a worker once its last word is heard and what it left is ended; its Task was lost, or cancelled."""
        if not seat.closed or seat.status is None:
            return
        del self._seats[seat.fd]
        os.close(seat.fd)
        if seat.orphaned:
            self._end_strays([seat])
        partial = self._salvaged(seat)
        self._remove_recent([seat])
        if seat.attempt is None:
            return
        outcome, error = "lost", f"its worker {_death(seat.status)}"
        if seat.cancelled:
            outcome, error = "cancelled", "cancelled"
        ended = TaskFinished(seat.attempt, outcome, None, error, None, (), {}, Cost(), None)
        self._finish(seat, ended._replace(partial=partial.outputs, warnings=partial.notes))

    def _salvaged(self, seat: _Seat) -> Kept:
        """What is left of the outputs of a Task whose worker was lost; nothing where it was to end at once."""
        from gitml.execute.attempt import sandbox_of
        from gitml.execute.sandbox.partial_outputs import Kept, keep_partial

        if seat.attempt is None or seat.cancelled or not seat.outputs:
            return Kept()
        roots = [] if self._places is None else self._places.roots()
        works = [f"{sandbox_of(root, seat.attempt)}/work" for root in roots]
        work = next((work for work in works if os.path.isdir(work)), None)
        if work is None:
            return Kept()
        try:
            return keep_partial(seat.outputs, work, self._services_here().store)
        except (GitmlError, OSError):
            return Kept()

    def _services_here(self) -> Services:
        """Services of this process."""
        return self._make_services()


def _death(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit status {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"was killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")


def _wait_for_other(pid: int) -> None:
    """Waits for a process that is not a child of this one to end, or to have ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(CLOSE_WAIT * 1000)
    finally:
        os.close(handle)


def _wait_for(pid: int) -> int:
    """Waits for the keeper `pid` to end, which it does when its workers have; its status. MachineError when it can't."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(CLOSE_WAIT * 1000):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise MachineError(
                "processes of a step can't be ended", hint="look for processes in state D: a disk may hang"
            )
        return os.waitpid(pid, 0)[1]
    finally:
        os.close(handle)
