"""The machines of a cluster as one run sees them: what it uses of each, and what contents each is known to hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitml.cluster.connect.machines import Machine, carries, label_selector
from gitml.core.model.digest import Digest
from gitml.core.model.resources import Resources

_SHORT = (
    0.25  # seconds: steps shorter than this are submitted a few ahead, so that workers need not wait for the driver
)


class Berth:
    """A Machine with what this run has there; `free` goes below nothing where steps are submitted ahead."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.free = machine.total
        self.holds: set[str] = set()
        self.refuses: dict[Digest, str] = {}  # environments that it can't perform steps in, and why


class Fleet:
    """The machines that are alive, by Ray's id."""

    def __init__(self) -> None:
        self.berths: dict[str, Berth] = {}
        self.ahead = 0
        self.usual = 1.0  # seconds that attempts took lately

    def update(self, machines: Iterable[Machine]) -> list[str]:
        """Takes note of what there is now; gives the ids of machines that are gone."""
        alive = {machine.id: machine for machine in machines}
        gone = [id for id in self.berths if id not in alive]
        for id in gone:
            del self.berths[id]
        for id, machine in alive.items():
            if id not in self.berths:
                self.berths[id] = Berth(machine)
        return gone

    def machines(self) -> list[Machine]:
        """All that are alive."""
        return [berth.machine for berth in self.berths.values()]

    def refusing(self, environment: Digest) -> frozenset[str]:
        """The ids of the machines that are known not to perform steps in this environment."""
        return frozenset(id for id, berth in self.berths.items() if environment in berth.refuses)

    def place(
        self,
        asked: Resources,
        environment: Digest | None = None,
        roots: Sequence[str] = (),
        sizes: Mapping[str, int] | None = None,
        *,
        soon: bool = True,
    ) -> Berth | None:
        """The machine that a step would begin on soon: the one that holds most of its large inputs, else with most free.

        None when there is none. Without `soon` it may have to wait there.
        """
        asked = asked._replace(labels=label_selector(asked.labels, self.machines()))
        able = self._able(asked, environment)
        fitting = [berth for berth in able if fits(asked, berth.free)]
        if not fitting and not (soon and (self.usual >= _SHORT or self.ahead >= self._most_ahead())):
            fitting = able
        if not fitting:
            return None
        known = sizes or {}
        return max(fitting, key=lambda berth: (_held(berth, roots, known), berth.free.cpus, berth.machine.id))

    def able(self, asked: Resources, environment: Digest | None = None) -> list[Berth]:
        """The machines that can take this when they are idle, and are not known to refuse its environment."""
        return self._able(asked._replace(labels=label_selector(asked.labels, self.machines())), environment)

    def with_room(self, asked: Resources, environment: Digest | None = None) -> list[Berth]:
        """The machines that have room for this now, and are not known to refuse its environment; those with most free first."""
        asked = asked._replace(labels=label_selector(asked.labels, self.machines()))
        found = [berth for berth in self._able(asked, environment) if fits(asked, berth.free)]
        return sorted(found, key=lambda berth: (-berth.free.cpus, berth.machine.id))

    def take(self, berth: Berth, asked: Resources) -> bool:
        """Books resources; whether they were submitted ahead of what is free."""
        ahead = not fits(asked._replace(labels={}), berth.free)
        berth.free = berth.free.minus(asked)
        self.ahead += ahead
        return ahead

    def give_back(self, id: str, asked: Resources, ahead: bool, seconds: float) -> None:
        """Frees what was booked on the machine `id`, if that is still there, after a use of `seconds`."""
        self.ahead -= ahead
        self.usual = 0.8 * self.usual + 0.2 * seconds
        if id in self.berths:
            self.berths[id].free = self.berths[id].free.plus(asked)

    def why_refused(self, asked: Resources, environment: Digest) -> str | None:
        """Why machines that could take this don't: the words of those that refuse. None when none is there."""
        asked = asked._replace(labels=label_selector(asked.labels, self.machines()))
        refusing = [berth for berth in self.berths.values() if fits(asked, berth.machine.total)]
        said = dict.fromkeys(berth.refuses[environment] for berth in refusing if environment in berth.refuses)
        return "; ".join(said) or None

    def whole(self) -> Resources:
        """All machines together."""
        total = Resources(0, 0, 0)
        for berth in self.berths.values():
            total = total.plus(berth.machine.total)
        return total

    def _able(self, asked: Resources, environment: Digest | None) -> list[Berth]:
        willing = [berth for berth in self.berths.values() if environment not in berth.refuses]
        return [berth for berth in willing if fits(asked, berth.machine.total)]

    def _most_ahead(self) -> int:
        return 2 + int(sum(berth.machine.total.cpus for berth in self.berths.values()))


def able(asked: Resources, machines: Sequence[Machine]) -> list[Machine]:
    """Of `machines` those that can fulfil a wish when they are idle."""
    asked = asked._replace(labels=label_selector(asked.labels, machines))
    return [machine for machine in machines if fits(asked, machine.total)]


def fits(asked: Resources, free: Resources) -> bool:
    """Whether a machine with `free` left can take this; labels as `machines.carries` reads them."""
    return asked._replace(labels={}).fits(free) and all(
        carries(free.labels, name, value) for name, value in asked.labels.items()
    )


def _held(berth: Berth, roots: Sequence[str], sizes: Mapping[str, int]) -> int:
    return sum(sizes.get(root, 0) for root in roots if root in berth.holds)
