"""The kind ``local``: steps run in worker processes of this machine, with their own view of Store and objects."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from gitml.core.config.project import LOCAL, Target, machine_resources
from gitml.core.model.environment import Environment
from gitml.core.model.graph import GraphStep
from gitml.core.model.resources import Machine, Resources
from gitml.core.planner.plan import PartProblem
from gitml.engine.execution.executor_kind import ExecutorKind, TargetSession, TargetState
from gitml.execute.environments.environments import Environments
from gitml.execute.environments.software import EnvironmentQuery
from gitml.git.objects.reader import Objects
from gitml.store.local.store import LocalStore
from gitml.workspace import KnownFacts, Workspace, open_workspace

if TYPE_CHECKING:
    from gitml.core.language.fields import Fields
    from gitml.execute.interfaces import WorkerServices
    from gitml.execute.local_executor import LocalExecutor


class LocalKind(ExecutorKind):
    """This machine."""

    name = LOCAL

    def parse(self, fields: Fields, name: str, pairs: Mapping[str, Any]) -> Any:
        """No target but ``local`` is of this kind."""
        raise AssertionError("targets.local is part of the configuration itself")

    def session(self, ws: Workspace, jobs: int | None) -> TargetSession:
        return LocalSession(ws, jobs)

    def state(self, ws: Workspace, target: Target) -> TargetState:
        """What this machine has, and the runs that go on."""
        return TargetState(target.name, about="this machine", machines=(this_machine(ws, target.options),))


class LocalSession(TargetSession):
    """This machine, as one plan or run uses it."""

    def __init__(self, ws: Workspace, jobs: int | None) -> None:
        super().__init__()
        self._ws = ws
        self._jobs = jobs
        self._capacity: Resources | None = None

    def request(self, target: Target, step: GraphStep) -> Resources:
        """A gang requests all its nodes at once."""
        return step.settings.resources.times(step.settings.gang[0])

    def environment_scope(self, target: Target, request: Resources) -> object:
        """There is one machine."""
        return None

    def environment(self, target: Target, request: Resources, query: EnvironmentQuery) -> Environment:
        """What is installed here."""
        return self._ws.environments.identify(*query)

    def problem(
        self, target: Target, step: GraphStep, preflight: Callable[[], PartProblem | None], *, remembered: bool
    ) -> PartProblem | None:
        """What this machine does not have."""
        missing = self.request(target, step).missing_from(self.capacity(target))
        if missing:
            return PartProblem(f"it asks for {missing}", "ask for less, or say in gitml.yaml what targets.local has")
        return preflight()

    def capacity(self, target: Target) -> Resources:
        """All that this machine, or what `gitml.yaml` says of it, has for steps; more jobs than CPUs share these."""
        if self._capacity is None:
            self._capacity = local_capacity(self._ws, target.options, self._jobs)
        return self._capacity

    def executor(self, target: Target, run: str, folder: str) -> LocalExecutor:
        """An executor with `jobs` slots, as many as CPUs when None, whose sandboxes lie in `folder`."""
        return make_executor(self._ws, self.capacity(target), folder, self._jobs)


def local_capacity(ws: Workspace, said: Mapping[str, Any], jobs: int | None) -> Resources:
    """All that this machine, of which `gitml.yaml` says `said`, has for steps; more jobs than CPUs share these."""
    from gitml.execute.capacity import machine_capacity  # with the executor, which a run from cache does without

    machine = machine_capacity(ws.environ)
    # A step that says nothing asks for one CPU, and must run where a container is given half of one.
    capacity = machine_resources(said, machine._replace(cpus=max(machine.cpus, 1.0)))
    return capacity._replace(cpus=max(capacity.cpus, float(jobs or 0)))


def make_executor(ws: Workspace, capacity: Resources, folder: str, jobs: int | None) -> LocalExecutor:
    """An executor with `jobs` slots (as many as CPUs when None), whose sandboxes lie in `folder`."""
    from gitml.execute.local_executor import LocalExecutor

    slots = jobs or max(1, int(capacity.cpus))
    known = ws.machine_facts.known
    host: tuple[str, ...] = ()
    if "ray" in sys.modules:  # its threads must not be forked
        host = ("-m", "gitml.engine.execution.local_kind", ws.location.worktree or ws.location.git_dir)
    environments = ws.environments_folder()
    services = partial(worker_services, ws, known, environments)
    return LocalExecutor(services, folder, slots, capacity, machine=ws.environ, host=host)


def this_machine(ws: Workspace, said: Mapping[str, Any]) -> Machine:
    """This machine, of which `gitml.yaml` says `said`, and the runs that go on here."""
    from gitml.execute.capacity import machine_capacity
    from gitml.history.runs import live_runs

    total = machine_resources(said, machine_capacity(ws.environ))
    runs = tuple(f"{live.run.pipeline} {live.run.id[:8]}" for live in live_runs(ws))
    return Machine("", os.uname().nodename, "", True, total, total, runs)


def worker_services(ws: Workspace, known: Mapping[tuple[str, str], Any], environments: str) -> WorkerServices:
    """What a worker, or a thread, works with; called there, where nothing of its parent's may be used.

    `environments` is `Workspace.environments_folder`, found before: in a worker's namespace no owner but oneself is known.
    """
    from gitml.execute.interfaces import WorkerServices
    from gitml.transfer.lfs_inputs import file_of

    objects = Objects(ws.location).files
    tops = ws.location.worktrees()
    there = Environments(KnownFacts(None, known), environments, ws.environ, tops=tops)
    store = LocalStore(ws.root, ws.sharing)
    return WorkerServices(store, objects, lambda digest: file_of(ws.location, store, digest), there)


if __name__ == "__main__":  # the supervisor for the repository at a path
    from gitml.execute.supervisor import run_host

    repository = open_workspace(sys.argv[1], os.environ)
    place = repository.environments_folder()
    repository.close()
    run_host(sys.argv[2:], lambda: worker_services(open_workspace(sys.argv[1], os.environ), {}, place))
