"""Gangs: a step on several machines at once. All of them are had or none is used, and one that fails or is lost ends the others.

Ray keeps a machine for each node of the gang (a placement group); when it has all, each tells its address and ports; then an
attempt is made on each, that knows of the others. What they write becomes one log; outputs are those of the first: of rank 0.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from gitml.core.protocols import Store, Task, TaskEvent, TaskFinished, TaskOutput, TaskStarted
from gitml.core.record import LogRef
from gitml.core.result import Cost
from gitml.errors import GitmlError, RemoteError
from gitml.execute.crew import VARIABLE, Roster, free_ports, roster_as_text
from gitml.execute.logs import Log
from gitml.execute.ray.fleet import Fleet, able

LOOK = 0.1  # seconds between looks at gangs that wait for machines
PATIENCE = 30.0  # seconds that machines which are lacking may take to come (back)
_LEAST = 0.001  # CPUs: a bundle must ask for something


class Reserved(NamedTuple):
    """A place that Ray keeps: the machine's id, and how a Ray task is sent to it."""

    node: str
    strategy: Any


class Inner(Protocol):
    """What performs single attempts; a Task that is `reserved` a place goes there. Otherwise as core's Executor."""

    def submit(self, task: Task, reserved: Reserved | None = None) -> None:
        """Starts a Task."""

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        """Asks a Task to end."""


class Gang:
    """One step on several machines, from the wish for them to the end of the last."""

    def __init__(self, task: Task, group: Any, booked: list[tuple[str, bool]]) -> None:
        self.task = task
        self.group = group
        self.booked = booked  # machines that are counted on until its attempts begin
        self.ready = group.ready()
        self.short = 0.0  # since when there have been too few machines for it
        self.muster: list[Any] = []
        self.members: dict[str, int] = {}  # attempt -> node
        self.log = Log(task.log)
        self.seen: dict[int, int] = {}  # bytes of each node's log that are in the log
        self.rest: dict[int, bytes] = {}
        self.finished: dict[int, TaskFinished] = {}
        self.failed: tuple[int, TaskFinished] | None = None
        self.started = False
        self.cancelled = False

    def log_of(self, node: int) -> str:
        """The file that a node's output goes to."""
        return f"{self.task.log}.{node}"


class Gangs:
    """The gangs of one executor, `inner`, which performs their parts; logs are kept in `store`."""

    def __init__(self, inner: Inner, store: Store) -> None:
        self._inner = inner
        self._store = store
        self._gangs: dict[str, Gang] = {}
        self._of_member: dict[str, Gang] = {}
        self._events: list[TaskEvent] = []

    def __len__(self) -> int:
        return len(self._gangs)

    def names(self) -> list[str]:
        """The attempts that are gangs."""
        return list(self._gangs)

    def begin(self, task: Task, options: Mapping[str, Any], fleet: Fleet) -> None:
        """Asks for the machines that a Task of several nodes needs; `options` are its wish as those of a Ray task."""
        from ray.util import placement_group

        bundle = {"CPU": options["num_cpus"] or _LEAST, **options.get("resources", {})}
        if options["num_gpus"]:
            bundle["GPU"] = options["num_gpus"]
        if options.get("memory"):
            bundle["memory"] = options["memory"]
        count = task.action.gang[0]
        more: dict[str, Any] = {}
        if options.get("label_selector"):
            more["bundle_label_selector"] = [options["label_selector"]] * count
        group = placement_group([bundle] * count, strategy="STRICT_SPREAD", name=f"gitml {task.attempt}", **more)
        berths = fleet.with_room(task.resources)[:count]
        booked = [(berth.machine.id, fleet.take(berth, task.resources)) for berth in berths]
        self._fleet = fleet
        self._gangs[task.attempt] = Gang(task, group, booked)

    def cancel(self, attempt: str, *, now: bool) -> bool:
        """Ends a gang; whether there is one of that name."""
        gang = self._gangs.get(attempt)
        if gang is None:
            return False
        gang.cancelled = True
        for member, node in gang.members.items():
            if node not in gang.finished:
                self._inner.cancel(member, now=now)
        if not gang.members:
            self._conclude(gang)
        return True

    def _unbook(self, gang: Gang) -> None:
        while gang.booked:
            node, ahead = gang.booked.pop()
            self._fleet.give_back(node, gang.task.resources, ahead, self._fleet.usual)

    def look(self) -> list[TaskEvent]:
        """Gets on with gangs that wait for machines, reads logs; gives what happened."""
        for gang in list(self._gangs.values()):
            if not gang.members:
                try:
                    self._get_on(gang)
                except Exception as error:
                    self._never_began(gang, error)
            else:
                for node in gang.members.values():
                    self._read_log(gang, node)
        events, self._events = self._events, []
        return events

    def sort(self, events: Sequence[TaskEvent]) -> list[TaskEvent]:
        """Events as the scheduler is to have them: those of members stand for their gang."""
        found: list[TaskEvent] = []
        for event in events:
            gang = self._of_member.get(event.attempt)
            if gang is None:
                found.append(event)
                continue
            if isinstance(event, TaskStarted):
                if not gang.started:
                    gang.started = True
                    found.append(TaskStarted(gang.task.attempt))
            elif isinstance(event, TaskOutput):
                found.append(TaskOutput(gang.task.attempt, event.line))
            else:
                self._member_ended(gang, event)
        found += self._events
        self._events = []
        return found

    # -- beginning

    def _get_on(self, gang: Gang) -> None:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if not gang.muster:
            if not ray.wait([gang.ready], timeout=0)[0]:
                self._see_that_it_can(gang)
                return
            ray.get(gang.ready)
            each = gang.task.action.gang[1]
            call = ray.remote(num_cpus=0, max_retries=0)(muster)
            gang.muster = [
                call.options(scheduling_strategy=PlacementGroupSchedulingStrategy(gang.group, index)).remote(each + 1)
                for index in range(gang.task.action.gang[0])
            ]
        if len(ray.wait(gang.muster, num_returns=len(gang.muster), timeout=0)[0]) < len(gang.muster):
            return
        told = ray.get(gang.muster)
        self._unbook(gang)
        nodes = tuple((address, tuple(ports[1:])) for _, address, ports in told)
        for node, (id, _, _) in enumerate(told):
            roster = Roster(node, nodes, told[0][2][0])
            name = f"{gang.task.attempt}.{node}"
            gang.members[name] = node
            self._of_member[name] = gang
            lent = {**gang.task.lent, VARIABLE: roster_as_text(roster)}
            strategy = PlacementGroupSchedulingStrategy(gang.group, node)
            member = gang.task._replace(attempt=name, log=gang.log_of(node), lent=lent)
            self._inner.submit(member, Reserved(id, strategy))

    def _see_that_it_can(self, gang: Gang) -> None:
        """RemoteError when machines are gone that it can't do without, and don't come back."""
        count, there = gang.task.action.gang[0], len(able(gang.task.resources, self._fleet.machines()))
        if there >= count:
            gang.short = 0.0
            return
        now = time.monotonic()
        gang.short = gang.short or now
        if now - gang.short > PATIENCE:
            raise RemoteError(f"of {count} that it needs there {'is' if there == 1 else 'are'} {there}")

    def _never_began(self, gang: Gang, error: Exception) -> None:
        told = error.message if isinstance(error, GitmlError) else " ".join(str(error).split())[:200]
        lost = TaskFinished("", "lost", None, f"its machines could not be had: {told}", None, (), {}, Cost(), None)
        gang.failed = (0, lost)
        for member in gang.members:
            self._inner.cancel(member, now=True)
        if not gang.members:
            self._conclude(gang)

    # -- ending

    def _member_ended(self, gang: Gang, event: TaskFinished) -> None:
        node = gang.members[event.attempt]
        gang.finished[node] = event
        self._read_log(gang, node)
        if event.log is not None:
            whole = self._store.read(event.log.digest)
            self._write(gang, node, whole[gang.seen.get(node, 0) :])
            gang.seen[node] = len(whole)
        self._write(gang, node, b"", last=True)
        if event.outcome != "done" and gang.failed is None and not gang.cancelled:
            gang.failed = (node, event)
            for member, other in gang.members.items():
                if other not in gang.finished:
                    self._inner.cancel(member)
        if len(gang.finished) == len(gang.members):
            self._conclude(gang)

    def _conclude(self, gang: Gang) -> None:
        import ray

        del self._gangs[gang.task.attempt]
        self._unbook(gang)
        for member, node in gang.members.items():
            del self._of_member[member]
            _remove(gang.log_of(node))
        with suppress(ray.exceptions.RayError):  # the head is lost: the group with it
            ray.util.remove_placement_group(gang.group)
        self._events.append(self._verdict(gang)._replace(attempt=gang.task.attempt, log=self._keep_log(gang)))

    def _verdict(self, gang: Gang) -> TaskFinished:
        parts = list(gang.finished.values())
        bad = tuple(dict.fromkeys(digest for part in parts for digest in part.bad_inputs))
        cost = Cost(
            max((part.cost.wall for part in parts), default=0.0),
            sum(part.cost.cpu for part in parts),
            max((part.cost.peak_memory for part in parts), default=0),
        )
        if gang.failed is not None:
            node, first = gang.failed
            of_all = first.outcome == "failed" or not gang.members
            error = first.error if of_all else f"node {node} of its gang: {first.error}"
            return first._replace(error=error, outputs=(), metrics={}, cost=cost, bad_inputs=bad)
        if gang.cancelled:
            return TaskFinished("", "cancelled", None, "cancelled", None, (), {}, cost, None, bad)
        return gang.finished[0]._replace(cost=cost, bad_inputs=bad)

    # -- logs

    def _read_log(self, gang: Gang, node: int) -> None:
        """Adds what a node wrote since to the one log; lines stay whole."""
        try:
            with open(gang.log_of(node), "rb") as file:
                file.seek(gang.seen.get(node, 0))
                chunk = file.read(1 << 20)
        except OSError:
            return
        gang.seen[node] = gang.seen.get(node, 0) + len(chunk)
        self._write(gang, node, chunk)

    def _write(self, gang: Gang, node: int, chunk: bytes, *, last: bool = False) -> None:
        whole, end, rest = (gang.rest.get(node, b"") + chunk).rpartition(b"\n")
        if last and rest:
            whole, end, rest = whole + end + rest, b"\n", b""
        gang.rest[node] = rest
        if whole or end:
            gang.log.write(whole + end)

    def _keep_log(self, gang: Gang) -> LogRef | None:
        if not gang.log.close():
            return None
        written = gang.log.written
        try:
            digest, size = self._store.take_file(gang.log.path)
        except (OSError, GitmlError):
            return None
        return LogRef(digest, size, written)


def muster(count: int) -> tuple[str, str, list[int]]:
    """On a machine of a gang: its id, its address and ports that are free there."""
    import ray

    address = str(ray.util.get_node_ip_address())
    return ray.get_runtime_context().get_node_id(), address, free_ports(count, address)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
