"""The local executor for a repository: worker processes of this machine with their own view of Store and objects."""

from __future__ import annotations

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
from gitml.workspace import Workspace


def local_capacity(ws: Workspace, config: Config) -> Resources:
    """All that this machine, or what `gitml.yaml` says of it, has for steps."""
    return config.capacity(machine_capacity(ws.environ))


def make_executor(ws: Workspace, capacity: Resources, folder: str, jobs: int | None) -> LocalExecutor:
    """An executor with `jobs` slots (as many as CPUs when None), whose sandboxes lie in `folder`."""
    return LocalExecutor(lambda: _services(ws), folder, jobs or max(1, int(capacity.cpus)), capacity, machine=ws.environ)


def _services(ws: Workspace) -> Services:
    """What a worker works with; called in the worker, where nothing of the parent's may be used."""
    objects = Objects(ws.location)
    environments = Environments(_Memory(), ws.environments_folder(), ws.environ)
    return Services(LocalStore(ws.root), objects, lambda digest: local_object(ws.location, digest), environments)


class _Memory:
    """Facts for as long as a worker lives."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Any] = {}

    def fact(self, kind: str, id: str) -> Any | None:
        return self.known.get((kind, id))

    def remember(self, kind: str, id: str, value: Any) -> None:
        self.known[kind, id] = value
