"""The cluster of a run: joined when it is needed; what it is remembered to have installed serves runs from cache.

What was remembered is asked again as soon as something is to be performed, and the plan made again where it was wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gitml.core.config.places import place_of_target
from gitml.core.config.project import LOCAL, Config, Target
from gitml.core.model.environment import FORMAT, Environment, EnvironmentSource, environment_of
from gitml.core.model.resources import Resources
from gitml.core.planner.plan import PartProblem
from gitml.errors import InputError, RemoteError, TrustError
from gitml.execute.environments.environments import NotInspectedError
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.cluster.connect.cluster import Cluster, Shortage
    from gitml.cluster.connect.machines import Machine
    from gitml.cluster.driver.executor import RayExecutor
    from gitml.cluster.worker.folder_interface import FolderSpec

NodeRequest = tuple[Resources, int]  # what is asked for on a machine, and of so many machines

FACT = "ray-environment"
MEANT = "ray-auto"
LACK = "ray-shortage"
_OWN_HINT = "ask for less, or say in gitml.yaml what this machine is to have: cpus, gpus, memory, labels, custom"


def connect_to(ws: Workspace, target: Target) -> Cluster:
    """The cluster of a target, with the token file that the user's own settings name for it, where they do.

    TrustError when this user did not allow this repository to use it, else what `cluster.connect.cluster.connect` raises.
    One that is started on this machine is started for a repository whose steps may run.
    """
    from gitml.cluster.connect.cluster import connect

    if target.ray == LOCAL and not ws.consent.may_run():
        raise TrustError(
            f"target {target.name} is not started before this repository's steps may run", hint="gitml trust allow run"
        )
    token = ws.consent.settings_of(target.ray.removeprefix("ray://")).get("token")
    tracked = target if token is None else target._replace(token=None)
    ws.consent.need_places([place_of_target(tracked)])
    return connect(target if token is None else target._replace(token=token), ws.environ)


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
        self, target: Target, wish: Resources, source: EnvironmentSource, programs: tuple[str, ...]
    ) -> Environment:
        """The environment of a step on a cluster: as it was last, unless the cluster is joined and can be asked."""
        question = (target, wish, source, programs)
        id = _id_of(*question, self._meant(target))
        if self.cluster is None or not self.cluster.joined:
            known = self.ws.index.fact(FACT, id)
            if known is not None:
                self._asked[id] = question
                return environment_of(known, source)
        if self.ws.consent.offline:  # nor is a Ray of this machine's own started to look
            what = f"what target {target.name} has installed is not known here"
            raise NotInspectedError(what, hint="`gitml run` asks it")
        if place_of_target(target) is None and not self.ws.consent.may_run():
            what = f"target {target.name} is not asked before this repository's steps may run"
            raise NotInspectedError(what, hint="gitml trust allow run")
        return self._ask(id, *question)

    def connect(self, target: Target) -> Cluster:
        """The cluster of a target, which answers what there is, and need not be joined for that."""
        if self.cluster is None:
            self.cluster = connect_to(self.ws, target)
            self.ws.leaving.append(self.close)
            self._name = target.name
        elif target.name != self._name:
            raise InputError(
                f"a run can use one cluster, and this one uses {self._name} and {target.name}",
                hint="give its steps one target, or run some of them first",
            )
        return self.cluster

    def join(self, target: Target) -> Cluster:
        """The cluster of a target, joined."""
        cluster = self.connect(target)
        cluster.join(from_outside=self.from_outside)
        return cluster

    def check(self, target: Target, wishes: Mapping[str, NodeRequest]) -> bool:
        """Joins the cluster that the steps with `wishes`, by their names, are to run on.

        InputError, before that, for a wish that no machine there can ever fulfil. Whether another environment than was remembered
        is there: then the plan must be made again.
        """
        distinct: dict[str, tuple[str, NodeRequest]] = {}  # many steps ask for the same
        for name, wish in wishes.items():
            distinct.setdefault(repr(wish), (name, wish))
        for name, wish in distinct.values():
            with _named(name):
                self._refuse_unstarted(target, wish)
        cluster = self.connect(target)
        machines = cluster.machines()
        for name, wish in distinct.values():
            with _named(name), self._noted(target, wish):
                shortage = _shortage(cluster, wish, machines)
            if shortage is not None:
                self.waits.append(f"target {target.name}: its autoscaler is to add {shortage.words}")
        self.join(target)
        changed = False
        for id, question in self._asked.items():
            before = self.ws.index.fact(FACT, id)
            changed |= self._ask(id, *question).description != before
        self._asked.clear()
        return changed

    def obstacle(self, target: Target, wish: NodeRequest, *, remembered: bool) -> PartProblem | None:
        """What keeps a wish from being fulfilled, without asking the cluster; if `remembered`, as it said last."""
        try:
            self._refuse_unstarted(target, wish)
        except InputError as error:
            return PartProblem(f"{error.message} ({error.where})", error.hint)
        said = self.ws.index.fact(LACK, self._wish_id(target, wish)) if remembered and self.cluster is None else None
        return PartProblem(*said) if said else None

    @contextmanager
    def _noted(self, target: Target, wish: NodeRequest) -> Iterator[None]:
        """Remembers that the cluster can't fulfil a wish, or that it can again."""
        id = self._wish_id(target, wish)
        try:
            yield
        except InputError as error:
            said = [f"{error.message} (as of the last run)", f"{error.hint}; `gitml run` asks again"]
            self.ws.index.remember(LACK, id, said)
            raise
        if self.ws.index.fact(LACK, id):
            self.ws.index.remember(LACK, id, None)

    def _wish_id(self, target: Target, wish: NodeRequest) -> str:
        return f"{target.name} {target.ray} {self._meant(target)} {wish!r}"

    def executor(self, target: Target, run: str) -> RayExecutor:
        """The executor for steps of a run."""
        from gitml.engine.execution.cluster_executor import make_ray_executor

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
        self, id: str, target: Target, wish: Resources, source: EnvironmentSource, programs: tuple[str, ...]
    ) -> Environment:
        from gitml.cluster.driver.node_pool import feasible_machines
        from gitml.cluster.environment_probe import environment_at
        from gitml.engine.execution.cluster_executor import place_of

        self._refuse_unstarted(target, (wish, 1))
        cluster = self.connect(target)
        machines = cluster.machines()
        _shortage(cluster, (wish, 1), machines)
        self.join(target)
        fitting = feasible_machines(wish, machines) or machines  # an added machine is assumed to have what these have
        place: FolderSpec = place_of(self.ws, target)
        found = environment_at(fitting, place, source, programs)
        self.ws.index.remember(FACT, id, found.description)
        return found

    def _meant(self, target: Target) -> str:
        """Which cluster a target means that leaves it to this machine: as it was last, when it is part of none now."""
        if target.ray != "auto":
            return ""
        from gitml.cluster.connect.connection import address_of

        known: str = self.ws.index.fact(MEANT, target.name) or ""
        try:
            meant = address_of(target, self.ws.environ)
        except RemoteError:
            return known
        if meant != known:
            self.ws.index.remember(MEANT, target.name, meant)
        return meant

    def _refuse_unstarted(self, target: Target, wish: NodeRequest) -> None:
        """InputError for what a Ray of our own can't give, before it is started."""
        if target.ray != LOCAL or self.cluster is not None:
            return
        from gitml.cluster.connect.local_cluster import planned_machine
        from gitml.cluster.connect.machines import unsatisfiable

        machine = planned_machine(target, self.ws.environ)
        asked, nodes = wish
        # what Ray finds out of a machine's hardware is known when it runs
        labels = {name: value for name, value in asked.labels.items() if name != "accelerator" and "/" not in name}
        missing = unsatisfiable(asked._replace(labels=labels), nodes, [machine])
        if missing is not None:
            raise InputError(f"target {target.name} can't give {missing}", where="ray: local", hint=_OWN_HINT)


def _shortage(cluster: Cluster, wish: NodeRequest, machines: list[Machine]) -> Shortage | None:
    """What an autoscaler must add before a wish is fulfilled; InputError when nobody can."""
    shortage = cluster.shortage(*wish, machines)
    if shortage is None or shortage.may_be_added:
        return shortage
    there = ", ".join(machine.name for machine in machines[:5])
    hint = f"see `gitml targets`; its machines are {there}" + (" …" if len(machines) > 5 else "")
    raise InputError(f"target {cluster.target.name} can't give {shortage.words}", where=cluster.address, hint=hint)


@contextmanager
def _named(step: str) -> Iterator[None]:
    """An InputError about what a step asks for names it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"step {step!r} can't run: {error.message}", where=error.where, hint=error.hint) from None


def _id_of(target: Target, wish: Resources, source: EnvironmentSource, programs: tuple[str, ...], meant: str) -> str:
    import hashlib

    said = [
        FORMAT,
        target.name,
        target.ray,
        meant,
        wish,
        source.name if source.content is None else hashlib.sha256(source.content).hexdigest(),
        programs,
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
