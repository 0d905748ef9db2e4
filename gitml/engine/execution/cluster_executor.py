"""The executor of a cluster for a repository: what workers are told of where to keep contents, and the driver's own side."""

from __future__ import annotations

from collections.abc import Mapping

from gitml.cluster.connect.cluster import Cluster
from gitml.cluster.content.content_ids import digest_in
from gitml.cluster.driver.executor import RayExecutor
from gitml.cluster.driver.session import DriverServices
from gitml.cluster.worker.folder import ASSEMBLY
from gitml.cluster.worker.folder_interface import ContentWriter, FolderSpec
from gitml.core.config.project import Target
from gitml.core.model.digest import digest_of
from gitml.errors import IntegrityError
from gitml.execute.environments.environments import Environments
from gitml.execute.interfaces import WorkerServices
from gitml.git.lfs.pointer import local_lfs_object
from gitml.git.objects.reader import Objects
from gitml.store.local.object_writer import BlobWriter
from gitml.store.local.store import LocalStore
from gitml.transfer.remotes import Remotes
from gitml.workspace import KnownFacts, Workspace

_BATCH = 4096


def place_of(ws: Workspace, target: Target) -> FolderSpec:
    """Where the machines of a target keep contents."""
    return FolderSpec(ASSEMBLY, None, target.cache, "\n".join(ws.location.worktrees()))


def make_ray_executor(ws: Workspace, cluster: Cluster, target: Target, run: str) -> RayExecutor:
    """The executor for steps of a run on a cluster that was joined."""

    def services() -> WorkerServices:
        objects = Objects(ws.location)
        tops = ws.location.worktrees()
        environments = Environments(KnownFacts(None), ws.environments_folder(), ws.environ, tops=tops)
        return WorkerServices(
            LocalStore(ws.root), objects, lambda digest: local_lfs_object(ws.location, digest), environments
        )

    ours = services()._replace(store=ws.store, git_objects=ws.objects)
    home = DriverServices(ours, services, arriving_home, keep_at_home, Remotes(ws).worker_accessible)
    return RayExecutor(cluster, home, run, place_of(ws, target))


def arriving_home(services: WorkerServices, name: str, size: int) -> ContentWriter | None:
    """A content on its way into the driver's Store; None when it is there."""
    store = services.store
    assert isinstance(store, LocalStore)
    digest = digest_in(name)
    return None if store.holds(digest, size) else BlobWriter(store, digest, size)


def keep_at_home(services: WorkerServices, contents: Mapping[str, bytes]) -> None:
    """Puts small contents into the driver's Store, in the order given; IntegrityError for one that is not what its name says."""
    store = services.store
    assert isinstance(store, LocalStore)
    new = []
    for name, content in contents.items():
        digest = digest_in(name)
        if digest_of(content) != digest:
            raise IntegrityError(f"other bytes arrived than a machine said, for {digest[:19]}…", hint="run again")
        if not store.holds(digest, len(content)):
            new.append((digest, content))
    for start in range(0, len(new), _BATCH):
        store.publish_contents(new[start : start + _BATCH])
