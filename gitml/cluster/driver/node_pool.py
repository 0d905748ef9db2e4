"""The nodes of a cluster as one run knows them: what it has booked on each, and what contents each is known to hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitml.cluster.connect.machines import feasible_machines
from gitml.core.model.digest import Digest
from gitml.core.model.resources import Machine, Resources

# seconds: steps shorter than this are submitted a few ahead, so that workers need not wait for the driver
_SHORT = 0.25
_LARGE = 2**20  # bytes from which on an input decides where a step should run


class NodeState:
    """A Machine with what this run has there; `free` goes below nothing where steps are submitted ahead."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.free = machine.total
        self.holds: set[str] = set()  # contents by name
        self.refuses: dict[Digest, str] = {}  # environments that it can't perform steps in, and why

    def has_room(self, asked: Resources) -> bool:
        """Whether a node that can take this has as much free."""
        return asked._replace(labels={}).fits(self.free)


class NodePool:
    """The nodes that are alive, by Ray's id. All that asks for a node by resources takes labels as the cluster has them."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeState] = {}
        self._sizes: dict[str, int] = {}  # of large contents
        self._ahead = 0
        self._usual = 1.0  # seconds that attempts took lately

    def update(self, machines: Iterable[Machine]) -> list[str]:
        """Replaces what is known by what is there now; gives the ids of nodes that are gone."""
        alive = {machine.id: machine for machine in machines}
        gone = [id for id in self.nodes if id not in alive]
        for id in gone:
            del self.nodes[id]
        for id, machine in alive.items():
            if id not in self.nodes:
                self.nodes[id] = NodeState(machine)
        return gone

    def machines(self) -> list[Machine]:
        """All that are alive."""
        return [node.machine for node in self.nodes.values()]

    # -- resources

    def select(
        self,
        asked: Resources,
        environment: Digest | None = None,
        roots: Sequence[str] = (),
        *,
        soon: bool = True,
    ) -> NodeState | None:
        """The node that a step would begin on soon: the one that holds most of its large inputs, else with most free.

        None when there is none. Without `soon` the step may have to wait there.
        """
        feasible = self.feasible(asked, environment)
        fitting = [node for node in feasible if node.has_room(asked)]
        if not fitting and not (soon and (self._usual >= _SHORT or self._ahead >= 2 + int(self._cpus()))):
            fitting = feasible
        return max(
            fitting,
            key=lambda node: (
                sum(self._sizes.get(root, 0) for root in roots if root in node.holds),
                node.free.cpus,
                node.machine.id,
            ),
            default=None,
        )

    def feasible(self, asked: Resources, environment: Digest | None = None) -> list[NodeState]:
        """The nodes that can take this when they are idle, and are not known to refuse its environment."""
        return [node for node in self._large_enough(asked) if environment not in node.refuses]

    def with_room(self, asked: Resources, environment: Digest | None = None) -> list[NodeState]:
        """Those of the `feasible` that have room for this now; those with most free first."""
        found = [node for node in self.feasible(asked, environment) if node.has_room(asked)]
        return sorted(found, key=lambda node: (-node.free.cpus, node.machine.id))

    def why_refused(self, asked: Resources, environment: Digest) -> str | None:
        """Why nodes that could take this refuse its environment, None when none is there."""
        refusing = [node.refuses[environment] for node in self._large_enough(asked) if environment in node.refuses]
        return "; ".join(dict.fromkeys(refusing)) or None

    def acquire(self, node: NodeState, asked: Resources) -> bool:
        """Books resources on a node; whether they were booked ahead of what is free."""
        ahead = not node.has_room(asked)
        node.free = node.free.minus(asked)
        self._ahead += ahead
        return ahead

    def release(self, id: str, asked: Resources, ahead: bool, seconds: float | None = None) -> None:
        """Frees what was booked on the node `id`, if that is still there; after an attempt that took so many seconds."""
        self._ahead -= ahead
        if seconds is not None:
            self._usual = 0.8 * self._usual + 0.2 * seconds
        if id in self.nodes:
            self.nodes[id].free = self.nodes[id].free.plus(asked)

    def _cpus(self) -> float:
        return sum(node.machine.total.cpus for node in self.nodes.values())

    def _large_enough(self, asked: Resources) -> list[NodeState]:
        return [self.nodes[machine.id] for machine in feasible_machines(asked, self.machines())]

    # -- environments and contents; of a node that is gone nothing is kept

    def refuse(self, id: str, environment: Digest, why: str) -> None:
        """The node can't perform steps in this environment."""
        if id in self.nodes:
            self.nodes[id].refuses[environment] = why

    def accept(self, ids: Iterable[str], environment: Digest) -> None:
        """The nodes may be asked to perform steps in this environment again."""
        for id in ids:
            if id in self.nodes:
                self.nodes[id].refuses.pop(environment, None)

    def refusing(self, environment: Digest) -> frozenset[str]:
        """The ids of the nodes that are known not to perform steps in this environment."""
        return frozenset(id for id, node in self.nodes.items() if environment in node.refuses)

    def add_contents(self, id: str, names: Iterable[str]) -> None:
        """The node holds these contents, and for a tree all below it."""
        if id in self.nodes:
            self.nodes[id].holds.update(names)

    def add_sizes(self, sizes: Mapping[str, int]) -> None:
        """Notes the sizes of contents: large ones decide where a step should run."""
        self._sizes.update({name: size for name, size in sizes.items() if size >= _LARGE})

    def forget_contents(self, id: str) -> None:
        """The node may hold none of what it held: some of it was evicted or is damaged."""
        if id in self.nodes:
            self.nodes[id].holds.clear()

    def holders(self, name: str) -> list[str]:
        """The ids of the nodes that hold a content."""
        return [id for id, node in self.nodes.items() if name in node.holds]
