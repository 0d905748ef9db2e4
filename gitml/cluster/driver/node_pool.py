"""The machines of a cluster as one run sees them: what it uses of each, and what contents each is known to hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitml.cluster.connect.machines import Machine, carries, label_selector
from gitml.core.model.digest import Digest
from gitml.core.model.resources import Resources

_SHORT = (
    0.25  # seconds: steps shorter than this are submitted a few ahead, so that workers need not wait for the driver
)


class NodeState:
    """A Machine with what this run has there; `free` goes below nothing where steps are submitted ahead."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.free = machine.total
        self.holds: set[str] = set()
        self.refuses: dict[Digest, str] = {}  # environments that it can't perform steps in, and why


class NodePool:
    """The machines that are alive, by Ray's id."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeState] = {}
        self.ahead = 0
        self.usual = 1.0  # seconds that attempts took lately

    def update(self, machines: Iterable[Machine]) -> list[str]:
        """Takes note of what there is now; gives the ids of machines that are gone."""
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
        return [node_state.machine for node_state in self.nodes.values()]

    def refusing(self, environment: Digest) -> frozenset[str]:
        """The ids of the machines that are known not to perform steps in this environment."""
        return frozenset(id for id, node_state in self.nodes.items() if environment in node_state.refuses)

    def place(
        self,
        asked: Resources,
        environment: Digest | None = None,
        roots: Sequence[str] = (),
        sizes: Mapping[str, int] | None = None,
        *,
        soon: bool = True,
    ) -> NodeState | None:
        """The machine that a step would begin on soon: the one that holds most of its large inputs, else with most free.

        None when there is none. Without `soon` it may have to wait there.
        """
        asked = asked._replace(labels=label_selector(asked.labels, self.machines()))
        feasible_machines = self._feasible(asked, environment)
        fitting = [node_state for node_state in feasible_machines if fits(asked, node_state.free)]
        if not fitting and not (soon and (self.usual >= _SHORT or self.ahead >= self._most_ahead())):
            fitting = feasible_machines
        if not fitting:
            return None
        known = sizes or {}
        return max(
            fitting,
            key=lambda node_state: (_held(node_state, roots, known), node_state.free.cpus, node_state.machine.id),
        )

    def feasible(self, asked: Resources, environment: Digest | None = None) -> list[NodeState]:
        """The machines that can take this when they are idle, and are not known to refuse its environment."""
        return self._feasible(asked._replace(labels=label_selector(asked.labels, self.machines())), environment)

    def with_room(self, asked: Resources, environment: Digest | None = None) -> list[NodeState]:
        """The machines that have room for this now, and are not known to refuse its environment; those with most free first."""
        asked = asked._replace(labels=label_selector(asked.labels, self.machines()))
        found = [node_state for node_state in self._feasible(asked, environment) if fits(asked, node_state.free)]
        return sorted(found, key=lambda node_state: (-node_state.free.cpus, node_state.machine.id))

    def take(self, node_state: NodeState, asked: Resources) -> bool:
        """Books resources; whether they were submitted ahead of what is free."""
        ahead = not fits(asked._replace(labels={}), node_state.free)
        node_state.free = node_state.free.minus(asked)
        self.ahead += ahead
        return ahead

    def give_back(self, id: str, asked: Resources, ahead: bool, seconds: float) -> None:
        """Frees what was booked on the machine `id`, if that is still there, after a use of `seconds`."""
        self.ahead -= ahead
        self.usual = 0.8 * self.usual + 0.2 * seconds
        if id in self.nodes:
            self.nodes[id].free = self.nodes[id].free.plus(asked)

    def why_refused(self, asked: Resources, environment: Digest) -> str | None:
        """Why machines that could take this don't: the words of those that refuse. None when none is there."""
        asked = asked._replace(labels=label_selector(asked.labels, self.machines()))
        refusing = [node_state for node_state in self.nodes.values() if fits(asked, node_state.machine.total)]
        said = dict.fromkeys(
            node_state.refuses[environment] for node_state in refusing if environment in node_state.refuses
        )
        return "; ".join(said) or None

    def whole(self) -> Resources:
        """All machines together."""
        total = Resources(0, 0, 0)
        for node_state in self.nodes.values():
            total = total.plus(node_state.machine.total)
        return total

    def _feasible(self, asked: Resources, environment: Digest | None) -> list[NodeState]:
        willing = [node_state for node_state in self.nodes.values() if environment not in node_state.refuses]
        return [node_state for node_state in willing if fits(asked, node_state.machine.total)]

    def _most_ahead(self) -> int:
        return 2 + int(sum(node_state.machine.total.cpus for node_state in self.nodes.values()))


def feasible_machines(asked: Resources, machines: Sequence[Machine]) -> list[Machine]:
    """Of `machines` those that can fulfil a wish when they are idle."""
    asked = asked._replace(labels=label_selector(asked.labels, machines))
    return [machine for machine in machines if fits(asked, machine.total)]


def fits(asked: Resources, free: Resources) -> bool:
    """Whether a machine with `free` left can take this; labels as `machines.carries` reads them."""
    return asked._replace(labels={}).fits(free) and all(
        carries(free.labels, name, value) for name, value in asked.labels.items()
    )


def _held(node_state: NodeState, roots: Sequence[str], sizes: Mapping[str, int]) -> int:
    return sum(sizes.get(root, 0) for root in roots if root in node_state.holds)
