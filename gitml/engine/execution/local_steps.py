"""The local executor for a repository: worker processes of this machine with their own view of Store and objects."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.core.config.project import Config
from gitml.core.model.resources import Resources
from gitml.execute.capacity import machine_capacity
from gitml.execute.environments.environments import Environments
from gitml.execute.interfaces import WorkerServices
from gitml.execute.local_executor import LocalExecutor
from gitml.git.objects.reader import Objects
from gitml.store.local.store import LocalStore
from gitml.transfer.lfs_inputs import file_of
from gitml.workspace import KnownFacts, Workspace, open_workspace

if TYPE_CHECKING:
    from gitml.cluster.worker.folder_interface import FolderSpec


def local_capacity(ws: Workspace, config: Config, jobs: int | None) -> Resources:
    """All that this machine, or what `gitml.yaml` says of it, has for steps; who asks for more jobs than CPUs shares these."""
    machine = machine_capacity(ws.environ)
    # A step that says nothing asks for one CPU, and must run where a container is given half of one.
    capacity = config.capacity(machine._replace(cpus=max(machine.cpus, 1.0)))
    return capacity._replace(cpus=max(capacity.cpus, float(jobs or 0)))


def make_executor(ws: Workspace, capacity: Resources, folder: str, jobs: int | None) -> LocalExecutor:
    """An executor with `jobs` slots (as many as CPUs when None), whose sandboxes lie in `folder`."""
    slots = jobs or max(1, int(capacity.cpus))
    if "ray" in sys.modules:  # its threads must not be forked
        from gitml.cluster.worker.folder_interface import FolderSpec
        from gitml.cluster.worker.hosted_executor import HostedExecutor

        place = FolderSpec(
            "gitml.engine.execution.local_steps:workspace_at", ws.location.worktree or ws.location.git_dir
        )
        return HostedExecutor(place, folder, slots, capacity, machine=ws.environ)
    known = ws.machine_facts.known
    return LocalExecutor(lambda: _services(ws, known), folder, slots, capacity, machine=ws.environ)


class WorkspaceHere(NamedTuple):
    """What a supervisor that was started anew makes its workers' services of."""

    ws: Workspace

    def services(self) -> WorkerServices:
        """For one worker."""
        return _services(self.ws, {})


def workspace_at(place: FolderSpec, machine: Mapping[str, str]) -> WorkspaceHere:
    """The repository of the Git folder at `place`."""
    assert place.root is not None
    return WorkspaceHere(open_workspace(place.root, machine))


def _services(ws: Workspace, known: Mapping[tuple[str, str], Any]) -> WorkerServices:
    """What a worker works with; called in the worker, where nothing of the parent's may be used."""
    objects = Objects(ws.location)
    tops = ws.location.worktrees()
    environments = Environments(KnownFacts(None, known), ws.environments_folder(), ws.environ, tops=tops)
    store = LocalStore(ws.root, ws.sharing)
    return WorkerServices(store, objects, lambda digest: file_of(ws.location, store, digest), environments)
