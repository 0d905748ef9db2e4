"""What a remote store needs to know of the file system of fsspec that it is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from gitml.core.config.remotes import RemoteSpec

if TYPE_CHECKING:
    from gitml.store.remote.backends.partial_upload import PartialUpload


class FileSystemKind(NamedTuple):
    """How fsspec reaches a kind: what opens its file system, and what that can do.

    `ranges`: a piece from the middle can be asked for. `atomic`: what is put appears whole. `partial` begins an upload in parts
    at a path of the file system, None for services that can't go on with one that was cut off; `drop_stale` gives up those
    below a path that nobody went on with. `is_host`: a place is a host and a folder of it, over a connection that may be cut.
    """

    open: Callable[[RemoteSpec], Any]
    ranges: bool = True
    atomic: bool = True
    partial: Callable[[Any, str], PartialUpload] | None = None
    drop_stale: Callable[[Any, str], None] | None = None
    is_host: bool = False
