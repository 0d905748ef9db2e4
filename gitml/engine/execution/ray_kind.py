"""The kind ``ray``: steps run on the machines of a Ray cluster, which is joined when it is needed.

What a cluster had installed is remembered, and serves runs from cache. It is asked again as soon as something is to be performed,
and the plan is made again where the memory was wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gitml.core.config.places import Place, place_of_ray_target
from gitml.core.config.project import LOCAL, RayTarget, Target
from gitml.core.config.remotes import RemoteSpec
from gitml.core.kinds.environment_kinds import IMAGE
from gitml.core.model.environment import FORMAT, Environment, environment_of
from gitml.core.model.graph import GraphStep
from gitml.core.model.guarantees import FULL
from gitml.core.model.resources import Resources
from gitml.core.planner.plan import PartProblem
from gitml.engine.execution.executor_kind import (
    ExecutorKind,
    NodeRequest,
    TargetSession,
    TargetState,
)
from gitml.errors import GitmlError, InputError, RemoteError, TrustError
from gitml.execute.environments.software import EnvironmentQuery, NotInspectedError
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.cluster.connect.cluster import Cluster, Shortage
    from gitml.cluster.driver.executor import RayExecutor
    from gitml.cluster.worker.folder import FolderSpec
    from gitml.core.language.fields import Fields
    from gitml.core.model.resources import Machine

FACT = "ray-environment"
MEANT = "ray-auto"
LACK = "ray-lack"
_OWN_HINT = "ask for less, or say in gitml.yaml what this machine is to have: cpus, gpus, memory, labels, custom"


class RayKind(ExecutorKind):
    """Ray clusters."""

    name = "ray"

    def parse(self, fields: Fields, name: str, pairs: Mapping[str, Any]) -> RayTarget:
        """The options of a cluster."""
        from gitml.core.config.parse import ray_target  # with YAML

        return ray_target(fields, name, pairs)

    def session(self, ws: Workspace, jobs: int | None) -> TargetSession:
        return RaySession(ws)

    def place(self, target: Target) -> Place | None:
        """The cluster; None for one that this machine alone decides on, of which the repository says nothing more."""
        return place_of_ray_target(target.options)

    def secret_files(self, target: Target) -> Sequence[str]:
        """The file of the token."""
        return () if target.options.token is None else (target.options.token,)

    def submission_refusal(self, target: Target) -> InputError | None:
        """A Ray that is started for a run takes no submissions."""
        if target.options.address != LOCAL:
            return None
        hint = "gitml run --detach runs it in the background here"
        return InputError("a Ray of one's own ends with its run: it takes no submissions", where="--on", hint=hint)

    def state(self, ws: Workspace, target: Target) -> TargetState:
        """The cluster's machines; of one that is started on this machine when a run needs it, this machine."""
        ray: RayTarget = target.options
        if ray.address == LOCAL:
            from gitml.engine.execution.local_kind import this_machine

            about = "a Ray that is started on this machine when a run needs it"
            return TargetState(target.name, about=about, machines=(this_machine(ws, ray.has),))
        try:
            with closing(connect_to(ws, ray)) as cluster:
                machines, known = cluster.look()
                anybody = cluster.connection.token is None
                state = TargetState(target.name, "", cluster.address, "Ray", cluster.version, anybody)
                return state._replace(machines=tuple(machines), free_is_known=known)
        except GitmlError as error:
            return TargetState(target.name, address=ray.address, error=error)


def connect_to(ws: Workspace, ray: RayTarget) -> Cluster:
    """The cluster of a target, with the token file that the user's own settings name for it, where they do.

    TrustError when this user did not allow this repository to use it, else what `cluster.connect.cluster.connect` raises.
    One that is started on this machine is started for a repository whose steps may run.
    """
    from gitml.cluster.connect.cluster import connect

    if ray.address == LOCAL and not ws.consent.may_run():
        raise TrustError(
            f"target {ray.name} is not started before this repository's steps may run", hint="gitml trust allow run"
        )
    token = ws.consent.settings_of(ray.address.removeprefix("ray://")).get("token")
    tracked = ray if token is None else ray._replace(token=None)
    ws.consent.need_places([place_of_ray_target(tracked)])
    return connect(ray if token is None else ray._replace(token=token), ws.environ)


class RaySession(TargetSession):
    """The clusters that the steps of one run name; a run can join one of them.

    `from_outside` has it joined by Ray's client where this machine is no part of it.
    """

    def __init__(self, ws: Workspace, *, from_outside: bool = False) -> None:
        super().__init__()
        self.from_outside = from_outside
        self.ws = ws
        self.cluster: Cluster | None = None
        self._answered: dict[str, tuple[Target, Resources, EnvironmentQuery]] = {}  # from memory

    def environment(self, target: Target, request: Resources, query: EnvironmentQuery) -> Environment:
        """The environment of a step on a cluster: as it was last, unless the cluster is joined and can be asked."""
        id = self._query_id(target, request, query)
        if self.cluster is None or not self.cluster.joined:
            known = self.ws.index.fact(FACT, id)
            if known is not None:
                self._answered[id] = (target, request, query)
                return environment_of(known, query.source)
        if self.ws.consent.offline:  # nor is a Ray of this machine's own started to look
            what = f"what target {target.name} has installed is not known here"
            raise NotInspectedError(what, hint="`gitml run` asks it")
        if place_of_ray_target(target.options) is None and not self.ws.consent.may_run():
            what = f"target {target.name} is not asked before this repository's steps may run"
            raise NotInspectedError(what, hint="gitml trust allow run")
        return self._probe(id, target, request, query)

    def connect(self, target: Target) -> Cluster:
        """The cluster of a target, which answers what there is, and need not be joined for that."""
        if self.cluster is None:
            self.cluster = connect_to(self.ws, target.options)
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

    def prepare(self, target: Target, requests: Mapping[str, NodeRequest]) -> bool:
        """Joins the cluster that the steps with `requests`, by their names, are to run on.

        InputError, before that, for a request that no machine there can ever fulfil. Whether another environment than was
        remembered is there: then the plan must be made again.
        """
        distinct: dict[str, tuple[str, NodeRequest]] = {}  # many steps request the same
        for name, request in requests.items():
            distinct.setdefault(repr(request), (name, request))
        for name, request in distinct.values():
            with _named(name):
                self._refuse_unstarted(target.options, request)
        cluster = self.connect(target)
        machines = cluster.machines()
        for name, request in distinct.values():
            with _named(name), self._remembering(target.options, request):
                shortage = _shortage(cluster, request, machines)
            if shortage is not None:
                self.waits.append(f"target {target.name}: its autoscaler is to add {shortage.words}")
        self.join(target)
        changed = False
        for id, answered in self._answered.items():
            before = self.ws.index.fact(FACT, id)
            changed |= self._probe(id, *answered).description != before
        self._answered.clear()
        return changed

    def problem(
        self, target: Target, step: GraphStep, preflight: Callable[[], PartProblem | None], *, remembered: bool
    ) -> PartProblem | None:
        """What keeps a step's request from being fulfilled; if `remembered`, as the cluster said last."""
        if step.settings.gang[0] > 1 and step.settings.network != FULL:
            return PartProblem(
                f"its nodes are on several machines, which network: {step.settings.network} keeps apart",
                "say network: full, or run it on this machine",
            )
        request = (self.request(target, step), step.settings.gang[0])
        try:
            self._refuse_unstarted(target.options, request)
        except InputError as error:
            return PartProblem(f"{error.message} ({error.where})", error.hint)
        said = None
        if remembered and self.cluster is None:
            said = self.ws.index.fact(LACK, self._request_id(target.options, request))
        return PartProblem(*said) if said else None

    def executor(self, target: Target, run: str, folder: str) -> RayExecutor:
        from gitml.cluster.driver.executor import RayExecutor
        from gitml.cluster.driver.session import DriverServices
        from gitml.engine.execution.local_kind import worker_services
        from gitml.transfer.images import stores_of_workers
        from gitml.transfer.remotes import Remotes

        ws, cluster = self.ws, self.join(target)
        make = partial(worker_services, ws, {}, ws.environments_folder())
        ours = make()._replace(store=ws.store, git_objects=ws.objects.files)
        driver = DriverServices(ours, make, Remotes(ws).worker_accessible, stores_of_workers(ws))
        return RayExecutor(cluster, driver, run, place_of(ws, target.options))

    def abandon(self) -> None:
        """The head is lost: the cluster is left without the farewell that would wait for it."""
        if self.cluster is not None:
            self.cluster.joined = False

    def close(self) -> None:
        """Leaves the cluster."""
        if self.cluster is not None:
            self.cluster.close()
            self.cluster = None

    @contextmanager
    def _remembering(self, ray: RayTarget, request: NodeRequest) -> Iterator[None]:
        """Remembers that the cluster can't fulfil a request, or that it can again."""
        id = self._request_id(ray, request)
        try:
            yield
        except InputError as error:
            said = [f"{error.message} (as of the last run)", f"{error.hint}; `gitml run` asks again"]
            self.ws.index.remember(LACK, id, said)
            raise
        if self.ws.index.fact(LACK, id):
            self.ws.index.remember(LACK, id, None)

    def _request_id(self, ray: RayTarget, request: NodeRequest) -> str:
        return f"{ray.name} {ray.address} {self._meant(ray)} {request!r}"

    def _query_id(self, target: Target, request: Resources, query: EnvironmentQuery) -> str:
        import hashlib

        ray: RayTarget = target.options
        spec, files, project = query.source
        source = [spec.as_json(), [[path, hashlib.sha256(content).hexdigest()] for path, content in files]]
        said = [FORMAT, ray.name, ray.address, self._meant(ray), request, source, query.programs]
        if project:
            said.append(project)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def _probe(self, id: str, target: Target, request: Resources, query: EnvironmentQuery) -> Environment:
        from gitml.cluster.connect.machines import feasible_machines
        from gitml.cluster.environment_probe import environment_at

        self._refuse_unstarted(target.options, (request, 1))
        cluster = self.connect(target)
        machines = cluster.machines()
        _shortage(cluster, (request, 1), machines)
        self.join(target)
        # an added machine is assumed to have what these have
        fitting = feasible_machines(request, machines) or machines
        place = place_of(self.ws, target.options)
        found = environment_at(fitting, place, query.source, query.programs, self._image_stores(query))
        self.ws.index.remember(FACT, id, found.description)
        return found

    def _image_stores(self, query: EnvironmentQuery) -> tuple[RemoteSpec, ...]:
        """The remote stores that a machine may ask what an image is made of."""
        spec = query.source.spec
        if spec.kind != IMAGE and spec.option(IMAGE) is None:
            return ()
        from gitml.transfer.images import stores_of_workers

        return stores_of_workers(self.ws)

    def _meant(self, ray: RayTarget) -> str:
        """Which cluster a target means that leaves it to this machine: as it was last, when it is part of none now."""
        if ray.address != "auto":
            return ""
        from gitml.cluster.connect.connection import address_of

        known: str = self.ws.index.fact(MEANT, ray.name) or ""
        try:
            meant = address_of(ray, self.ws.environ)
        except RemoteError:
            return known
        if meant != known:
            self.ws.index.remember(MEANT, ray.name, meant)
        return meant

    def _refuse_unstarted(self, ray: RayTarget, request: NodeRequest) -> None:
        """InputError for what a Ray of our own can't give, before it is started."""
        if ray.address != LOCAL or self.cluster is not None:
            return
        from gitml.cluster.connect.local_cluster import planned_machine
        from gitml.cluster.connect.machines import unsatisfiable

        machine = planned_machine(ray, self.ws.environ)
        asked, nodes = request
        # what Ray finds out of a machine's hardware is known when it runs
        labels = {name: value for name, value in asked.labels.items() if name != "accelerator" and "/" not in name}
        missing = unsatisfiable(asked._replace(labels=labels), nodes, [machine])
        if missing is not None:
            raise InputError(f"target {ray.name} can't give {missing}", where="ray: local", hint=_OWN_HINT)


def _shortage(cluster: Cluster, request: NodeRequest, machines: list[Machine]) -> Shortage | None:
    """What an autoscaler must add before a request is fulfilled; InputError when nobody can."""
    shortage = cluster.shortage(*request, machines)
    if shortage is None or shortage.may_be_added:
        return shortage
    there = ", ".join(machine.name for machine in machines[:5])
    hint = f"see `gitml targets`; its machines are {there}" + (" …" if len(machines) > 5 else "")
    raise InputError(f"target {cluster.target.name} can't give {shortage.words}", where=cluster.address, hint=hint)


@contextmanager
def _named(step: str) -> Iterator[None]:
    """An InputError about what a step requests names it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"step {step!r} can't run: {error.message}", where=error.where, hint=error.hint) from None


def place_of(ws: Workspace, ray: RayTarget) -> FolderSpec:
    """Where the machines of a target keep contents."""
    from gitml.cluster.worker.folder import FolderSpec

    return FolderSpec(None, ray.cache, "\n".join(ws.location.worktrees()))
