"""The local executor for a repository: worker processes of this machine with their own view of Store and objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitml.core.config import Config
from gitml.core.resources import Resources
from gitml.execute.capacity import machine_capacity
from gitml.execute.contents import Services
from gitml.execute.environments import Environments
from gitml.execute.local import LocalExecutor
from gitml.repo.lfs import local_object
from gitml.repo.objects import Objects
from gitml.store.objects import LocalStore
from gitml.workspace import KnownFacts, Workspace


def local_capacity(ws: Workspace, config: Config, jobs: int | None) -> Resources:
    """All that this machine, or what `gitml.yaml` says of it, has for steps; who asks for more jobs than CPUs shares these."""
    capacity = config.capacity(machine_capacity(ws.environ))
    return capacity._replace(cpus=max(capacity.cpus, float(jobs or 1)))


def make_executor(ws: Workspace, capacity: Resources, folder: str, jobs: int | None) -> LocalExecutor:
    """An executor with `jobs` slots (as many as CPUs when None), whose sandboxes lie in `folder`."""
    known = ws.machine_facts.known
    return LocalExecutor(
        lambda: _services(ws, known), folder, jobs or max(1, int(capacity.cpus)), capacity, machine=ws.environ
    )


def _services(ws: Workspace, known: Mapping[tuple[str, str], Any]) -> Services:
    """What a worker works with; called in the worker, where nothing of the parent's may be used."""
    objects = Objects(ws.location)
    environments = Environments(KnownFacts(None, known), ws.environments_folder(), ws.environ)
    return Services(LocalStore(ws.root), objects, lambda digest: local_object(ws.location, digest), environments)
