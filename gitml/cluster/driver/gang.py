"""Gangs: a step on several nodes at once. All of them are there or none is used, and one that fails or is lost ends the others.

Ray reserves a bundle on each node of the gang (a placement group); when it has all, each node reports its address and ports; then
an attempt is submitted to each, that knows of the others. Their output becomes one log; outputs are those of rank 0.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from gitml.cluster.driver.attempt import ReservedBundle
from gitml.cluster.driver.node_pool import NodePool
from gitml.core.model.protocols import (
    Store,
    Task,
    TaskEvent,
    TaskFinished,
    TaskStarted,
)
from gitml.core.model.resources import Resources
from gitml.core.model.result import Cost
from gitml.errors import GitmlError, RemoteError
from gitml.execute.log import Log
from gitml.execute.process_group import Rendezvous, encode_rendezvous, free_ports
from gitml.layout import GANG_VARIABLE

POLL = 0.1  # seconds between looks at gangs that wait for nodes
PATIENCE = 30.0  # seconds that nodes which are lacking may take to come (back)
_LEAST = 0.001  # CPUs: a bundle must ask for something
_AT_ONCE = 1 << 20  # bytes of a log that are read at once


class GangNode(NamedTuple):
    """A bundle with its node's address and ports that are free there."""

    reserved: ReservedBundle
    address: str
    ports: Sequence[int]


class Gang:
    """One step on several nodes, from the request for them to the end of the last attempt."""

    def __init__(self, task: Task, group: RayPlacementGroup, booked: list[tuple[str, bool]]) -> None:
        self.task = task
        self.group = group
        self.booked = booked  # nodes that are counted on until its attempts begin
        self.short_since = 0.0  # since when there have been too few nodes for it
        self.members: dict[str, int] = {}  # attempt -> rank of its node
        self.log = GangLog(task.log)
        self.finished: dict[int, TaskFinished] = {}
        self.failed: tuple[int, TaskFinished] | None = None
        self.started = False
        self.cancelled = False


class GangScheduler:
    """The gangs of one executor, which performs their attempts on nodes of `pool`; logs are kept in `store`.

    `submit` starts a Task in a bundle, `cancel` ends it, as those of an Executor do. `can_scale_up` reports whether a node may be
    added that fulfils a request.
    """

    def __init__(
        self,
        submit: Callable[[Task, ReservedBundle], None],
        cancel: Callable[..., None],
        pool: NodePool,
        store: Store,
        can_scale_up: Callable[[Resources], bool],
    ) -> None:
        self._submit = submit
        self._cancel = cancel
        self._pool = pool
        self._store = store
        self._can_scale_up = can_scale_up
        self._gangs: dict[str, Gang] = {}
        self._of_member: dict[str, Gang] = {}
        self._events: list[TaskEvent] = []

    def __len__(self) -> int:
        return len(self._gangs)

    def names(self) -> list[str]:
        """The attempts that are gangs."""
        return list(self._gangs)

    def pending_requests(self) -> list[Resources]:
        """What the gangs that wait for nodes ask of each; from any thread."""
        return [gang.task.resources for gang in list(self._gangs.values()) if not gang.members]

    def submit(self, task: Task, group: RayPlacementGroup) -> None:
        """Begins a Task of several nodes, once those of `group` are there."""
        nodes = self._pool.with_room(task.resources)[: task.action.gang[0]]
        booked = [(node.machine.id, self._pool.acquire(node, task.resources)) for node in nodes]
        self._gangs[task.attempt] = Gang(task, group, booked)

    def cancel(self, attempt: str, *, now: bool) -> bool:
        """Ends a gang; whether there is one of that name."""
        gang = self._gangs.get(attempt)
        if gang is None:
            return False
        gang.cancelled = True
        self._cancel_members(gang, now=now)
        if not gang.members:
            self._conclude(gang)
        return True

    def poll(self) -> None:
        """Begins gangs whose nodes are there and reads the logs of others."""
        for gang in list(self._gangs.values()):
            if gang.members:
                for rank in gang.members.values():
                    gang.log.follow(rank)
                continue
            try:
                self._begin(gang)
            except Exception as error:
                self._fail_to_begin(gang, error)

    def translate(self, events: Sequence[TaskEvent]) -> list[TaskEvent]:
        """Events for the scheduler: those of gangs since the last call, and `events`: those of members stand for their gang."""
        for event in events:
            gang = self._of_member.get(event.attempt)
            if gang is None:
                self._events.append(event)
            elif isinstance(event, TaskFinished):
                self._member_ended(gang, event)
            elif not isinstance(event, TaskStarted):
                self._events.append(event._replace(attempt=gang.task.attempt))
            elif not gang.started:
                gang.started = True
                self._events.append(TaskStarted(gang.task.attempt))
        found, self._events = self._events, []
        return found

    def _cancel_members(self, gang: Gang, *, now: bool) -> None:
        for member, rank in gang.members.items():
            if rank not in gang.finished:
                self._cancel(member, now=now)

    def _release(self, gang: Gang) -> None:
        while gang.booked:
            node, ahead = gang.booked.pop()
            self._pool.release(node, gang.task.resources, ahead)

    # -- beginning

    def _begin(self, gang: Gang) -> None:
        nodes = gang.group.nodes()
        if nodes is None:
            self._check_feasible(gang)
            return
        self._release(gang)
        addresses = tuple((node.address, tuple(node.ports[1:])) for node in nodes)
        for rank, node in enumerate(nodes):
            rendezvous = Rendezvous(rank, addresses, nodes[0].ports[0])
            name = f"{gang.task.attempt}.{rank}"
            lent = {**gang.task.lent, GANG_VARIABLE: encode_rendezvous(rendezvous)}
            self._submit(gang.task._replace(attempt=name, log=gang.log.part(rank), lent=lent), node.reserved)
            gang.members[name] = rank  # only now: one that can't be submitted never ends
            self._of_member[name] = gang

    def _check_feasible(self, gang: Gang) -> None:
        """RemoteError when nodes are gone that it can't do without, and don't come back."""
        task = gang.task
        count, there = task.action.gang[0], len(self._pool.feasible(task.resources, task.environment.digest))
        if there >= count or self._can_scale_up(task.resources):
            gang.short_since = 0.0
            return
        now = time.monotonic()
        gang.short_since = gang.short_since or now
        if now - gang.short_since > PATIENCE:
            raise RemoteError(f"of {count} that it needs there {'is' if there == 1 else 'are'} {there}")

    def _fail_to_begin(self, gang: Gang, error: Exception) -> None:
        words = error.message if isinstance(error, GitmlError) else " ".join(str(error).split())[:200]
        lost = TaskFinished("", "lost", error=f"its machines could not be had: {words}")
        gang.failed = (0, lost)
        self._cancel_members(gang, now=True)
        if not gang.members:
            self._conclude(gang)

    # -- ending

    def _member_ended(self, gang: Gang, event: TaskFinished) -> None:
        rank = gang.members[event.attempt]
        gang.finished[rank] = event
        gang.log.complete(rank, None if event.log is None else self._store.read(event.log.digest))
        if event.outcome != "done" and gang.failed is None and not gang.cancelled:
            gang.failed = (rank, event)
            self._cancel_members(gang, now=False)
        if len(gang.finished) == len(gang.members):
            self._conclude(gang)

    def _conclude(self, gang: Gang) -> None:
        del self._gangs[gang.task.attempt]
        self._release(gang)
        for member, rank in gang.members.items():
            del self._of_member[member]
            gang.log.remove_part(rank)
        gang.group.remove()
        self._events.append(_verdict(gang)._replace(attempt=gang.task.attempt, log=gang.log.keep(self._store)))


def _verdict(gang: Gang) -> TaskFinished:
    """The end of a gang: that of the first member that failed, else that of rank 0, with the cost of all."""
    ends = list(gang.finished.values())
    bad = tuple(dict.fromkeys(digest for end in ends for digest in end.bad_inputs))
    cost = Cost(
        max((end.cost.wall for end in ends), default=0.0),
        sum(end.cost.cpu for end in ends),
        max((end.cost.peak_memory for end in ends), default=0),
    )
    partial = gang.finished[0].partial if 0 in gang.finished else ()
    if gang.failed is not None:
        rank, first = gang.failed
        of_all = first.outcome == "failed" or not gang.members
        error = first.error if of_all else f"node {rank} of its gang: {first.error}"
        return first._replace(
            error=error, outputs=(), metrics={}, labels={}, cost=cost, bad_inputs=bad, partial=partial
        )
    if gang.cancelled:
        return TaskFinished("", "cancelled", error="cancelled", cost=cost, bad_inputs=bad, partial=partial)
    return gang.finished[0]._replace(cost=cost, bad_inputs=bad)


class GangLog(Log):
    """The log of a gang, at `path`: what each of its nodes writes to a `part` of its own comes into it in whole lines."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._read: dict[int, int] = {}  # bytes of each part that are in the log
        self._rest: dict[int, bytes] = {}  # the line that a node has not ended

    def part(self, rank: int) -> str:
        """The file that a node's output goes to."""
        return f"{self.path}.{rank}"

    def follow(self, rank: int) -> None:
        """Adds what a node wrote since."""
        try:
            with open(self.part(rank), "rb") as file:
                file.seek(self._read.get(rank, 0))
                self._add(rank, file.read(_AT_ONCE))
        except OSError:
            return

    def complete(self, rank: int, whole: bytes | None) -> None:
        """The node writes no more; `whole` is all that it wrote, where that is known, else its part is."""
        if whole is None:
            self.follow(rank)
        else:
            self._add(rank, whole[self._read.get(rank, 0) :])
        if self._rest.get(rank):
            self._add(rank, b"\n")

    def remove_part(self, rank: int) -> None:
        """Removes a node's part."""
        with suppress(FileNotFoundError):
            os.unlink(self.part(rank))

    def _add(self, rank: int, chunk: bytes) -> None:
        self._read[rank] = self._read.get(rank, 0) + len(chunk)
        whole, end, self._rest[rank] = (self._rest.get(rank, b"") + chunk).rpartition(b"\n")
        if end:
            self.write(whole + end)


class RayPlacementGroup:
    """Asks Ray for `count` bundles on as many nodes, each for a Ray task with `options`, with so many free ports there."""

    def __init__(self, name: str, options: Mapping[str, Any], count: int, ports: int) -> None:
        from ray.util import placement_group

        more: dict[str, Any] = {}
        if options.get("label_selector"):
            more["bundle_label_selector"] = [options["label_selector"]] * count
        bundles = [bundle_resources(options)] * count
        self._group = placement_group(bundles, strategy="STRICT_SPREAD", name=name, **more)
        self._ready = self._group.ready()
        self._count = count
        self._ports = ports
        self._answers: list[Any] = []  # of the nodes, about themselves

    def nodes(self) -> Sequence[GangNode] | None:
        """All, once Ray has them and each node has reported its address; None before. RayError when one was lost since."""
        import ray

        if not self._answers:
            if not ray.wait([self._ready], timeout=0)[0]:
                return None
            ray.get(self._ready)
            call = ray.remote(num_cpus=0, max_retries=0)(_describe_node)
            calls = [call.options(scheduling_strategy=self._strategy(rank)) for rank in range(self._count)]
            self._answers = [one.remote(self._ports) for one in calls]
        if len(ray.wait(self._answers, num_returns=self._count, timeout=0)[0]) < self._count:
            return None
        return [
            GangNode(ReservedBundle(id, self._strategy(rank)), address, ports)
            for rank, (id, address, ports) in enumerate(ray.get(self._answers))
        ]

    def remove(self) -> None:
        """Ray need not reserve them any more."""
        import ray

        with suppress(ray.exceptions.RayError):  # the head is lost: the group with it
            ray.util.remove_placement_group(self._group)

    def _strategy(self, rank: int) -> Any:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        return PlacementGroupSchedulingStrategy(self._group, rank)


def bundle_resources(options: Mapping[str, Any]) -> dict[str, float]:
    """What a bundle of a placement group reserves for a Ray task with `options`."""
    bundle: dict[str, float] = {"CPU": options["num_cpus"] or _LEAST, **options.get("resources", {})}
    if options["num_gpus"]:
        bundle["GPU"] = options["num_gpus"]
    if options.get("memory"):
        bundle["memory"] = options["memory"]
    return bundle


def _describe_node(count: int) -> tuple[str, str, list[int]]:
    """On a node of a gang: its id, its address and ports that are free there."""
    import ray

    address = str(ray.util.get_node_ip_address())
    return ray.get_runtime_context().get_node_id(), address, free_ports(count, address)
