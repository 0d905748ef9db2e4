"""The remote store `lfs`: the Git LFS of a Git remote, a server's or that of a remote on this machine."""

from __future__ import annotations

from gitml.core.config.remotes import FROM, RemoteSpec
from gitml.core.model.protocols import RemoteStore
from gitml.git.lfs.endpoint import Endpoint, find_endpoint
from gitml.git.url_policy import refuse_inner_place
from gitml.records.lfs_pointers import LogPointers
from gitml.store.remote.backends.digest_only import DigestOnlyObjects, DigestOnlyRemote
from gitml.workspace import Workspace

_PLACE = "place"  # option of a resolved spec, so that another server is another remote in what is remembered


def resolved(ws: Workspace, spec: RemoteSpec) -> RemoteSpec:
    """The spec with the place that its Git remote has now."""
    endpoint = find_endpoint(ws.location, spec.options.get("remote"))
    told = {_PLACE: endpoint.shown} | ({FROM: endpoint.source} if endpoint.source else {})
    return spec._replace(options={**spec.options, **told})


def open_lfs(ws: Workspace, spec: RemoteSpec) -> RemoteStore:
    """The remote store."""
    endpoint = find_endpoint(ws.location, spec.options.get("remote"))
    pointers = LogPointers(ws.index, ws.records, ws.objects)
    return DigestOnlyRemote(_objects(ws, spec, endpoint), pointers)


def _objects(ws: Workspace, spec: RemoteSpec, endpoint: Endpoint) -> DigestOnlyObjects:
    if endpoint.folder is not None:
        if endpoint.source:
            refuse_inner_place(ws.location, endpoint.folder, "a remote store")
        from gitml.store.remote.backends.folder import FolderRemote
        from gitml.store.remote.layout import lfs_key_of

        return FolderRemote(spec, endpoint.folder, lfs_key_of)
    from gitml.git.lfs.client import LfsServer

    return LfsServer(spec, ws.location, endpoint)
