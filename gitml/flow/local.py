"""The local executor for a repository: worker processes of this machine with their own view of Store and objects."""

from __future__ import annotations

from gitml.core.config import Config
from gitml.execute.capacity import machine_capacity
from gitml.execute.local import LocalExecutor
from gitml.execute.services import Services
from gitml.workspace import Workspace


def make_executor(ws: Workspace, config: Config, folder: str, jobs: int | None) -> LocalExecutor:
    """An executor with `jobs` slots (as many as CPUs when None), whose sandboxes lie in `folder`."""
    capacity = config.capacity(machine_capacity())
    return LocalExecutor(lambda: _services(ws), folder, jobs or max(1, int(capacity.cpus)), capacity)


def _services(ws: Workspace) -> Services:
    raise NotImplementedError
