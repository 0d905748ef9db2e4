"""The executor of a cluster for a repository: what workers are told of where to keep contents, and the driver's own side."""

from __future__ import annotations

from collections.abc import Mapping

from gitml.core.config import Target
from gitml.core.digest import digest_of
from gitml.errors import IntegrityError
from gitml.execute.contents import Services
from gitml.execute.environments import Environments
from gitml.execute.ray.cluster import Cluster
from gitml.execute.ray.executor import RayExecutor
from gitml.execute.ray.folder import Arriving, Place
from gitml.execute.ray.naming import digest_named
from gitml.execute.ray.session import Home
from gitml.flow.remotes import Remotes
from gitml.flow.workerfolder import ASSEMBLY
from gitml.repo.lfs import local_object
from gitml.repo.objects import Objects
from gitml.store.incoming import Incoming
from gitml.store.objects import LocalStore
from gitml.workspace import KnownFacts, Workspace

_BATCH = 4096


def place_of(ws: Workspace, target: Target) -> Place:
    """Where the machines of a target keep contents."""
    return Place(ASSEMBLY, None, target.cache, "\n".join(ws.location.worktrees()))


def make_ray_executor(ws: Workspace, cluster: Cluster, target: Target, run: str) -> RayExecutor:
    """The executor for steps of a run on a cluster that was joined."""

    def services() -> Services:
        objects = Objects(ws.location)
        tops = ws.location.worktrees()
        environments = Environments(KnownFacts(None), ws.environments_folder(), ws.environ, tops=tops)
        return Services(LocalStore(ws.root), objects, lambda digest: local_object(ws.location, digest), environments)

    ours = services()._replace(store=ws.store, contents=ws.objects)
    home = Home(ours, services, arriving_home, keep_at_home, Remotes(ws).open_to_machines)
    return RayExecutor(cluster, home, run, place_of(ws, target))


def arriving_home(services: Services, name: str, size: int) -> Arriving | None:
    """A content on its way into the driver's Store; None when it is there."""
    store = services.store
    assert isinstance(store, LocalStore)
    digest = digest_named(name)
    return None if store.holds(digest, size) else Incoming(store, digest, size)


def keep_at_home(services: Services, contents: Mapping[str, bytes]) -> None:
    """Puts small contents into the driver's Store, in the order given; IntegrityError for one that is not what its name says."""
    store = services.store
    assert isinstance(store, LocalStore)
    new = []
    for name, content in contents.items():
        digest = digest_named(name)
        if digest_of(content) != digest:
            raise IntegrityError(f"other bytes arrived than a machine said, for {digest[:19]}…", hint="run again")
        if not store.holds(digest, len(content)):
            new.append((digest, content))
    for start in range(0, len(new), _BATCH):
        store.publish_contents(new[start : start + _BATCH])
