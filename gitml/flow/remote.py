"""The executor of a cluster for a repository: what workers are told of where to keep contents, and the driver's own side."""

from __future__ import annotations

from gitml.core.config import Target
from gitml.execute.contents import Services
from gitml.execute.environments import Environments
from gitml.execute.ray.cluster import Cluster
from gitml.execute.ray.executor import Home, RayExecutor
from gitml.execute.ray.folder import Arriving, Place
from gitml.execute.ray.naming import digest_named
from gitml.flow.workerfolder import ASSEMBLY
from gitml.repo.lfs import local_object
from gitml.repo.objects import Objects
from gitml.store.incoming import Incoming
from gitml.store.objects import LocalStore
from gitml.workspace import KnownFacts, Workspace


def place_of(target: Target) -> Place:
    """Where the machines of a target keep contents."""
    return Place(ASSEMBLY, None, target.cache)


def make_ray_executor(ws: Workspace, cluster: Cluster, target: Target, run: str) -> RayExecutor:
    """The executor for steps of a run on a cluster that was joined."""

    def services() -> Services:
        objects = Objects(ws.location)
        environments = Environments(KnownFacts(None), ws.environments_folder(), ws.environ)
        return Services(LocalStore(ws.root), objects, lambda digest: local_object(ws.location, digest), environments)

    ours = services()._replace(store=ws.store, contents=ws.objects)
    return RayExecutor(cluster, Home(ours, services, arriving_home), run, place_of(target))


def arriving_home(services: Services, name: str, size: int) -> Arriving | None:
    """A content on its way into the driver's Store; None when it is there."""
    store = services.store
    assert isinstance(store, LocalStore)
    digest = digest_named(name)
    return None if store.holds(digest, size) else Incoming(store, digest, size)
