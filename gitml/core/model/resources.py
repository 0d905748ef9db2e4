"""Resources: what a step requests of a machine, and what a machine has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Resources(NamedTuple):
    """CPU and GPU counts (fractions allowed), memory in bytes (0: not said), labels a machine must carry, custom counts."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0
    labels: Mapping[str, str] = {}
    custom: Mapping[str, float] = {}

    def fits(self, free: Resources) -> bool:
        """Whether a machine with `free` left can take this."""
        return (
            self.cpus <= free.cpus + 1e-9
            and self.gpus <= free.gpus + 1e-9
            and self.memory <= free.memory
            and all(free.labels.get(name) == value for name, value in self.labels.items())
            and all(count <= free.custom.get(name, 0.0) + 1e-9 for name, count in self.custom.items())
        )

    def minus(self, taken: Resources) -> Resources:
        """What is left when `taken` is in use."""
        return self.plus(taken.times(-1))

    def plus(self, freed: Resources) -> Resources:
        """What there is when `freed` comes back."""
        custom = {
            name: self.custom.get(name, 0.0) + freed.custom.get(name, 0.0) for name in {*self.custom, *freed.custom}
        }
        return Resources(
            self.cpus + freed.cpus, self.gpus + freed.gpus, self.memory + freed.memory, self.labels, custom
        )

    def times(self, count: int) -> Resources:
        """What so many that ask for this ask for together."""
        if count == 1:
            return self
        custom = {name: count * each for name, each in self.custom.items()}
        return Resources(count * self.cpus, count * self.gpus, count * self.memory, self.labels, custom)

    def missing_from(self, whole: Resources) -> str | None:
        """What `whole` can never give, as words; None when it can give all."""
        wants = []
        if self.cpus > whole.cpus:
            wants.append(f"{self.cpus:g} cpus (there are {whole.cpus:g})")
        if self.gpus > whole.gpus:
            wants.append(f"{self.gpus:g} gpus (there are {whole.gpus:g})")
        if self.memory > whole.memory:
            wants.append(f"{self.memory / 2**30:.1f} GiB memory (there are {whole.memory / 2**30:.1f})")
        for name, value in self.labels.items():
            if whole.labels.get(name) != value:
                wants.append(f"label {name}={value} (there is {whole.labels.get(name, 'none')})")
        for name, count in self.custom.items():
            if count > whole.custom.get(name, 0.0):
                wants.append(f"{count:g} {name} (there are {whole.custom.get(name, 0.0):g})")
        return ", ".join(wants) or None

    def words(self) -> str:
        """What is requested, for people."""
        words = [_count(self.cpus, "cpu")]
        if self.gpus:
            words.append(_count(self.gpus, "gpu"))
        if self.memory:
            words.append(f"{self.memory / 2**30:.3g} GiB memory")
        words += [f"{count:g} {name}" for name, count in self.custom.items() if count]
        words += [f"label {name}={value}" for name, value in self.labels.items()]
        return ", ".join(words)


def _count(count: float, what: str) -> str:
    return f"{count:g} {what}" + ("s" if count != 1 else "")


class Machine(NamedTuple):
    """One machine: `total` and `free` carry its labels; `running` says what runs there, for people."""

    id: str
    name: str
    address: str
    head: bool
    total: Resources
    free: Resources
    running: tuple[str, ...] = ()


ONE_CPU = Resources()
