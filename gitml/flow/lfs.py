"""The remote store `lfs`: the Git LFS of a Git remote, a server's or that of a remote on this machine."""

from __future__ import annotations

from gitml.core.protocols import RemoteStore
from gitml.core.remotes import FROM, RemoteSpec
from gitml.ledger.pointers import LogPointers
from gitml.repo.allowedurls import refuse_inner_place
from gitml.repo.lfsplace import Endpoint, find_endpoint
from gitml.store.remote.pointed import Objects, PointedRemote
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
    return PointedRemote(_objects(ws, spec, endpoint), pointers)


def _objects(ws: Workspace, spec: RemoteSpec, endpoint: Endpoint) -> Objects:
    if endpoint.folder is not None:
        if endpoint.source:
            refuse_inner_place(ws.location, endpoint.folder, "a remote store")
        from gitml.store.remote.folder import FolderRemote
        from gitml.store.remote.layout import lfs_key_of

        return FolderRemote(spec, endpoint.folder, lfs_key_of)
    from gitml.repo.lfsserver import LfsServer

    return LfsServer(spec, ws.location, endpoint)
