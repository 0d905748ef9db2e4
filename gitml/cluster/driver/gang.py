"""Gangs: a step on several machines at once. All of them are had or none is used, and one that fails or is lost ends the others.

Ray keeps a machine for each node of the gang (a placement group); when it has all, each tells its address and ports; then an
attempt is made on each, that knows of the others. What they write becomes one log; outputs are those of the first: of rank 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from gitml.cluster.driver.gang_log import GangLog
from gitml.cluster.driver.node_pool import NodePool
from gitml.cluster.driver.placement_group import GangPlacement, ReservedBundle
from gitml.core.model.protocols import (
    Store,
    Task,
    TaskEvent,
    TaskFinished,
    TaskOutput,
    TaskPrepares,
    TaskStarted,
)
from gitml.core.model.resources import Resources
from gitml.core.model.result import Cost
from gitml.errors import GitmlError, RemoteError
from gitml.execute.process_group import Rendezvous, encode_rendezvous
from gitml.layout import GANG_VARIABLE

LOOK = 0.1  # seconds between looks at gangs that wait for machines
PATIENCE = 30.0  # seconds that machines which are lacking may take to come (back)


class PlacementGroup(Protocol):
    """The places that a gang asked for, one a node."""

    def had(self) -> Sequence[GangPlacement] | None:
        """All of them, in the order of the nodes; None as long as not all are had. Raises when they can't be."""

    def give_back(self) -> None:
        """They are not needed any more."""


class AttemptExecutor(Protocol):
    """What performs single attempts; a Task that is `reserved` a place goes there. Otherwise as core's Executor."""

    def submit(self, task: Task, reserved: ReservedBundle | None = None) -> None:
        """Starts a Task."""

    def cancel(self, attempt: str, *, now: bool = False) -> None:
        """Asks a Task to end."""


class Gang:
    """One step on several machines, from the wish for them to the end of the last."""

    def __init__(self, task: Task, places: PlacementGroup, booked: list[tuple[str, bool]]) -> None:
        self.task = task
        self.places = places
        self.booked = booked  # machines that are counted on until its attempts begin
        self.short = 0.0  # since when there have been too few machines for it
        self.members: dict[str, int] = {}  # attempt -> node
        self.log = GangLog(task.log)
        self.finished: dict[int, TaskFinished] = {}
        self.failed: tuple[int, TaskFinished] | None = None
        self.started = False
        self.cancelled = False


class GangScheduler:
    """The gangs of one executor, `inner`, which performs their parts on machines of `node_pool`; logs are kept in `store`.

    `may_come` tells whether a machine may be added that fulfils a wish.
    """

    def __init__(
        self, inner: AttemptExecutor, node_pool: NodePool, store: Store, may_come: Callable[[Resources], bool]
    ) -> None:
        self._inner = inner
        self._node_pool = node_pool
        self._store = store
        self._may_come = may_come
        self._gangs: dict[str, Gang] = {}
        self._of_member: dict[str, Gang] = {}
        self._events: list[TaskEvent] = []

    def __len__(self) -> int:
        return len(self._gangs)

    def names(self) -> list[str]:
        """The attempts that are gangs."""
        return list(self._gangs)

    def waiting(self) -> list[Resources]:
        """What the gangs that wait for machines ask of each; from any thread."""
        return [gang.task.resources for gang in list(self._gangs.values()) if not gang.members]

    def begin(self, task: Task, places: PlacementGroup) -> None:
        """Begins a Task of several nodes, once its `places` are had."""
        nodes = self._node_pool.with_room(task.resources)[: task.action.gang[0]]
        booked = [(node_state.machine.id, self._node_pool.take(node_state, task.resources)) for node_state in nodes]
        self._gangs[task.attempt] = Gang(task, places, booked)

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
            self._node_pool.give_back(node, gang.task.resources, ahead, self._node_pool.usual)

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
                    gang.log.follow(node)
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
            elif isinstance(event, TaskPrepares):
                found.append(TaskPrepares(gang.task.attempt, event.what))
            else:
                self._member_ended(gang, event)
        found += self._events
        self._events = []
        return found

    # -- beginning

    def _get_on(self, gang: Gang) -> None:
        had = gang.places.had()
        if had is None:
            self._see_that_it_can(gang)
            return
        self._unbook(gang)
        nodes = tuple((place.address, tuple(place.ports[1:])) for place in had)
        for node, place in enumerate(had):
            roster = Rendezvous(node, nodes, had[0].ports[0])
            name = f"{gang.task.attempt}.{node}"
            lent = {**gang.task.lent, GANG_VARIABLE: encode_rendezvous(roster)}
            member = gang.task._replace(attempt=name, log=gang.log.part(node), lent=lent)
            self._inner.submit(member, place.reserved)
            gang.members[name] = node  # only now: one that can't be submitted never ends
            self._of_member[name] = gang

    def _see_that_it_can(self, gang: Gang) -> None:
        """RemoteError when machines are gone that it can't do without, and don't come back."""
        task = gang.task
        count, there = task.action.gang[0], len(self._node_pool.feasible(task.resources, task.environment.digest))
        if there >= count or self._may_come(task.resources):
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
        gang.log.complete(node, None if event.log is None else self._store.read(event.log.digest))
        if event.outcome != "done" and gang.failed is None and not gang.cancelled:
            gang.failed = (node, event)
            for member, other in gang.members.items():
                if other not in gang.finished:
                    self._inner.cancel(member)
        if len(gang.finished) == len(gang.members):
            self._conclude(gang)

    def _conclude(self, gang: Gang) -> None:
        del self._gangs[gang.task.attempt]
        self._unbook(gang)
        for member, node in gang.members.items():
            del self._of_member[member]
            gang.log.remove_part(node)
        gang.places.give_back()
        self._events.append(self._verdict(gang)._replace(attempt=gang.task.attempt, log=gang.log.keep(self._store)))

    def _verdict(self, gang: Gang) -> TaskFinished:
        parts = list(gang.finished.values())
        bad = tuple(dict.fromkeys(digest for part in parts for digest in part.bad_inputs))
        cost = Cost(
            max((part.cost.wall for part in parts), default=0.0),
            sum(part.cost.cpu for part in parts),
            max((part.cost.peak_memory for part in parts), default=0),
        )
        left = gang.finished[0].partial if 0 in gang.finished else ()
        if gang.failed is not None:
            node, first = gang.failed
            of_all = first.outcome == "failed" or not gang.members
            error = first.error if of_all else f"node {node} of its gang: {first.error}"
            return first._replace(error=error, outputs=(), metrics={}, cost=cost, bad_inputs=bad, partial=left)
        if gang.cancelled:
            return TaskFinished("", "cancelled", None, "cancelled", None, (), {}, cost, None, bad, partial=left)
        return gang.finished[0]._replace(cost=cost, bad_inputs=bad)
