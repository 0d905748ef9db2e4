"""From what `gitml.yaml` says of a remote store to the remote store."""

from __future__ import annotations

from gitml.core.protocols import SweptRemote
from gitml.core.remotes import RemoteSpec


def open_remote(spec: RemoteSpec) -> SweptRemote:
    """The remote store of any kind but ``lfs``. Nothing is asked of it yet; InputError when the package for it is missing."""
    if spec.scheme == "file":
        from gitml.store.remote.folder import FolderRemote

        return FolderRemote(spec, spec.path)
    from gitml.store.remote.cloud import CloudRemote

    return CloudRemote(spec)
