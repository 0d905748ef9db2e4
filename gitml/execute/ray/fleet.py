"""The machines of a cluster as the driver sees them: what each has, what this run uses there, what contents it is known to hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.resources import Resources

_PREFIX = "node:"
_KNOWN = frozenset(("CPU", "GPU", "memory", "object_store_memory"))


class Node(NamedTuple):
    """A machine: Ray's id of it, its host name, all that it has when idle."""

    id: str
    host: str
    capacity: Resources


class Machine:
    """A Node with what this run has there."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.free = node.capacity
        self.holds: set[str] = set()


class Fleet:
    """The machines that are alive, by Ray's id."""

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}

    def update(self, nodes: Iterable[Node]) -> list[str]:
        """Takes note of what there is now; gives the machines that are gone."""
        alive = {node.id: node for node in nodes}
        gone = [id for id in self.machines if id not in alive]
        for id in gone:
            del self.machines[id]
        for id, node in alive.items():
            if id not in self.machines:
                self.machines[id] = Machine(node)
        return gone

    def fitting(self, resources: Resources) -> list[Machine]:
        """Machines that have room for it now."""
        return [machine for machine in self.machines.values() if resources.fits(machine.free)]

    def able(self, resources: Resources) -> list[Machine]:
        """Machines that would have room for it when idle."""
        return [machine for machine in self.machines.values() if resources.fits(machine.node.capacity)]

    def best(self, machines: Sequence[Machine], roots: Sequence[str], sizes: Mapping[str, int]) -> Machine:
        """Of some machines the one that holds most of the large inputs, else the one with most free."""
        return max(machines, key=lambda machine: (_held(machine, roots, sizes), machine.free.cpus, machine.node.id))

    def whole(self) -> Resources:
        """All machines together; labels that all have in common."""
        total = Resources(0, 0, 0)
        for machine in self.machines.values():
            total = total.plus(machine.node.capacity)
        return total


def _held(machine: Machine, roots: Sequence[str], sizes: Mapping[str, int]) -> int:
    return sum(sizes.get(root, 0) for root in roots if root in machine.holds)


def node_of(raw: Mapping[str, Any]) -> Node | None:
    """A Node from what `ray.nodes` tells of one; None for one that is not alive."""
    if not raw.get("Alive", raw.get("alive")):
        return None
    has = raw["Resources"]
    custom = {name: float(count) for name, count in has.items() if name not in _KNOWN and not name.startswith(_PREFIX)}
    capacity = Resources(
        float(has.get("CPU", 0)), float(has.get("GPU", 0)), int(has.get("memory", 0)), raw.get("Labels") or {}, custom
    )
    return Node(raw["NodeID"], raw.get("NodeManagerHostname", ""), capacity)
