"""The machines of a cluster as values, and whether they can ever satisfy a request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from gitml.core.model.resources import Machine, Resources

ACCELERATOR = "ray.io/accelerator-type"
NODE_ID = "ray.io/node-id"
_LISTED = re.compile(r"(!?)in\(([^()]*)\)\Z")
_OWN = ("node:", "object_store_memory", "accelerator_type:", "bundle_group_")
_GROUPED = re.compile(r".*_group_(?:[0-9]+_)?[0-9a-f]{16,}\Z")


def resources_of(raw: Mapping[str, float], labels: Mapping[str, str]) -> Resources:
    """What Ray lists of a machine, in our words: without what it keeps its own books by."""
    labels = dict(labels)
    for name in raw:
        if name.startswith("accelerator_type:"):
            labels.setdefault(ACCELERATOR, name.partition(":")[2])
    custom = {
        name: count
        for name, count in raw.items()
        if name not in ("CPU", "GPU", "memory") and not name.startswith(_OWN) and not _GROUPED.match(name)
    }
    return Resources(raw.get("CPU", 0.0), raw.get("GPU", 0.0), int(raw.get("memory", 0)), labels, custom)


def label_selector(labels: Mapping[str, str], machines: Iterable[Machine]) -> dict[str, str]:
    """Labels that a step asks for, as Ray knows them.

    ``accelerator`` may also mean the type that Ray found a machine to have, in whatever case (``h100`` is its ``H100``).
    """
    found = dict(labels)
    machines = list(machines)
    wanted = found.get("accelerator")
    if wanted is not None and not any("accelerator" in machine.total.labels for machine in machines):
        types = {machine.total.labels.get(ACCELERATOR, "") for machine in machines}
        meant = next((kind for kind in sorted(types) if kind.lower() == wanted.lower()), None)
        if meant is not None:
            del found["accelerator"]
            found[ACCELERATOR] = meant
    return found


def carries(labels: Mapping[str, str], name: str, wanted: str) -> bool:
    """Whether labels fulfil ``value``, ``!value``, ``in(a,b)`` or ``!in(a,b)``."""
    has = labels.get(name)
    listed = _LISTED.match(wanted)
    if listed:
        inside = has in [value.strip() for value in listed[2].split(",")]
        return inside != bool(listed[1])
    if wanted.startswith("!"):
        return has != wanted[1:]
    return has == wanted


def feasible_machines(asked: Resources, machines: Sequence[Machine]) -> list[Machine]:
    """Of `machines` those that can fulfil a request when they are idle."""
    asked = asked._replace(labels=label_selector(asked.labels, machines))
    return [machine for machine in machines if not _lacks(asked, machine.total)]


def unsatisfiable(asked: Resources, nodes: int, machines: Sequence[Machine]) -> str | None:
    """What is missing for `nodes` machines that each give `asked`, and what there is; None when they can, once they are idle."""
    if not machines:
        return "a machine (there is none)"
    fitting = feasible_machines(asked, machines)
    if len(fitting) >= nodes:
        return None
    asked = asked._replace(labels=label_selector(asked.labels, machines))
    if fitting:
        there = "is 1" if len(fitting) == 1 else f"are {len(fitting)}"
        return f"{nodes} machines with {asked.words()} (there {there})"
    alone = [words for words in _nowhere(asked, [machine.total for machine in machines]) if words]
    if alone:
        return ", ".join(alone)
    nearest = min(machines, key=lambda machine: len(_lacks(asked, machine.total)))
    lacking = " and ".join(_lacks(asked, nearest.total))
    return f"{asked.words()} on one machine (the nearest, {nearest.name}, lacks {lacking})"


def _lacks(asked: Resources, has: Resources) -> list[str]:
    """What a machine has too little of."""
    found = []
    if asked.cpus > has.cpus + 1e-9:
        found.append(_count(asked.cpus, "cpu"))
    if asked.gpus > has.gpus + 1e-9:
        found.append(_count(asked.gpus, "gpu"))
    if asked.memory > has.memory:
        found.append(f"{_gib(asked.memory)} memory")
    found += [f"{n:g} {name}" for name, n in asked.custom.items() if n > has.custom.get(name, 0.0) + 1e-9]
    found += [f"label {name}={value}" for name, value in asked.labels.items() if not carries(has.labels, name, value)]
    return found


def _nowhere(asked: Resources, machines: Sequence[Resources]) -> Iterable[str]:
    """Each single part of a request that no machine satisfies, with the most there is of it on one."""
    most = max(machine.cpus for machine in machines)
    if asked.cpus > most + 1e-9:
        yield f"{_count(asked.cpus, 'cpu')} (the most on one machine is {most:g})"
    most = max(machine.gpus for machine in machines)
    if asked.gpus > most + 1e-9:
        yield f"{_count(asked.gpus, 'gpu')} (" + (
            f"the most on one machine is {most:g})" if most else "there are none)"
        )
    room = max(machine.memory for machine in machines)
    if asked.memory > room:
        yield f"{_gib(asked.memory)} memory (the most on one machine is {_gib(room)})"
    for name, count in asked.custom.items():
        most = max(machine.custom.get(name, 0.0) for machine in machines)
        if count > most + 1e-9:
            yield f"{count:g} {name} (" + (f"the most on one machine is {most:g})" if most else "there are none)")
    for name, value in asked.labels.items():
        if not any(carries(machine.labels, name, value) for machine in machines):
            values = sorted({machine.labels[name] for machine in machines if name in machine.labels})
            there = f"there is {', '.join(values[:8])}" if values else "no machine has that label"
            yield f"label {name}={value} ({there})"


def _count(count: float, unit: str) -> str:
    return f"{count:g} {unit}" + ("" if count == 1 else "s")


def _gib(count: int) -> str:
    return f"{count / 2**30:.3g} GiB"
