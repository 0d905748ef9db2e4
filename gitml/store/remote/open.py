"""From what `gitml.yaml` says of a remote store to the remote store."""

from __future__ import annotations

from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.protocols import SweptRemote


def open_remote(spec: RemoteSpec) -> SweptRemote:
    """The remote store of any kind but ``lfs``. Nothing is asked of it yet; InputError when the package for it is missing."""
    if spec.scheme == "file":
        from gitml.store.remote.backends.folder import FolderRemote

        return FolderRemote(spec, spec.path)
    from gitml.store.remote.backends.object_storage import ObjectStorageRemote

    return ObjectStorageRemote(spec)
