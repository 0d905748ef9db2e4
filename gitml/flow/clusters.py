"""The cluster of a run: joined when it is needed; what it is remembered to have installed serves runs from cache.

What was remembered is asked again as soon as something is to be performed, and the plan made again where it was wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gitml.core.config import Config, Target
from gitml.core.environment import Environment, environment_of
from gitml.core.resources import Resources
from gitml.errors import InputError
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.execute.ray.cluster import Cluster
    from gitml.execute.ray.executor import RayExecutor
    from gitml.execute.ray.folder import Place

FACT = "ray-environment"


class Clusters:
    """The clusters that the steps of one run name; a run can join one of them."""

    def __init__(self, ws: Workspace, config: Config, *, from_outside: bool = False) -> None:
        self.from_outside = from_outside
        self.ws = ws
        self.config = config
        self.cluster: Cluster | None = None
        self.waits: list[str] = []  # what steps wait for before they can begin, for people
        self._asked: dict[str, tuple[Any, ...]] = {}  # questions that were answered from memory

    def environment(
        self, target: Target, wish: Resources, name: str, text: bytes | None, programs: tuple[str, ...]
    ) -> Environment:
        """The environment of a step on a cluster: as it was last, unless the cluster is joined and can be asked."""
        question = (target, wish, name, text, programs)
        id = _id_of(*question)
        if self.cluster is None:
            known = self.ws.index.fact(FACT, id)
            if known is not None:
                self._asked[id] = question
                return environment_of(known, text)
        return self._ask(id, *question)

    def join(self, target: Target) -> Cluster:
        """The cluster of a target, joined."""
        if self.cluster is None:
            from gitml.execute.ray.cluster import connect

            cluster = connect(target, self.ws.environ)
            try:
                cluster.join(from_outside=self.from_outside)
            except BaseException:
                cluster.close()
                raise
            self.ws.leaving.append(self.close)
            self.cluster = cluster
            self._name = target.name
        elif target.name != self._name:
            raise InputError(
                f"a run can use one cluster, and this one uses {self._name} and {target.name}",
                hint="give its steps one target, or run some of them first",
            )
        return self.cluster

    def check(self, target: Target, wishes: Iterable[tuple[Resources, int]]) -> bool:
        """Joins the cluster that steps with `wishes` (of so many machines each) are to run on.

        InputError for a wish that no machine there can ever fulfil. Whether another environment than was remembered is there:
        then the plan must be made again.
        """
        cluster = self.join(target)
        machines = cluster.machines()
        for asked, nodes in _distinct(wishes):
            lack = cluster.lack(asked, nodes, machines)
            if lack is not None and lack.may_come:
                self.waits.append(f"target {target.name}: its autoscaler is to add {lack.words}")
            elif lack is not None:
                there = ", ".join(machine.name for machine in machines[:5])
                hint = f"see `gitml targets`; its machines are {there}" + (" …" if len(machines) > 5 else "")
                raise InputError(
                    f"a step asks for {lack.words}", where=f"target {target.name}, {cluster.address}", hint=hint
                )
        changed = False
        for id, question in self._asked.items():
            before = self.ws.index.fact(FACT, id)
            changed |= self._ask(id, *question).description != before
        self._asked.clear()
        return changed

    def executor(self, target: Target, run: str) -> RayExecutor:
        """The executor for steps of a run."""
        from gitml.flow.remote import make_ray_executor

        return make_ray_executor(self.ws, self.join(target), target, run)

    def forsake(self) -> None:
        """The head is lost: leaves without the farewell that would wait for it."""
        if self.cluster is not None:
            self.cluster.joined = False

    def close(self) -> None:
        """Leaves the cluster."""
        if self.cluster is not None:
            self.cluster.close()
            self.cluster = None

    def _ask(
        self, id: str, target: Target, wish: Resources, name: str, text: bytes | None, programs: tuple[str, ...]
    ) -> Environment:
        from gitml.execute.ray.asking import environment_at
        from gitml.execute.ray.fleet import able
        from gitml.flow.remote import place_of

        machines = self.join(target).machines()
        fitting = able(wish, machines) or machines  # what fits nowhere is refused in other words
        place: Place = place_of(target)
        found = environment_at(fitting, place, name, text, programs)
        self.ws.index.remember(FACT, id, found.description)
        return found


def _distinct(wishes: Iterable[tuple[Resources, int]]) -> list[tuple[Resources, int]]:
    """Each wish once: many steps ask for the same."""
    return list({repr(wish): wish for wish in wishes}.values())


def _id_of(target: Target, wish: Resources, name: str, text: bytes | None, programs: tuple[str, ...]) -> str:
    import hashlib

    said = [target.name, target.ray, wish, None if text is None else hashlib.sha256(text).hexdigest(), programs]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
