"""What an executor needs of Git and of the Store, as small protocols that their real forms fulfil."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gitml.core.model.digest import Digest
from gitml.core.model.protocols import Entry, Store

if TYPE_CHECKING:
    from gitml.execute.environments.environments import Environments


class GitObjectReader(Protocol):
    """The objects of a Git repository, by their hex ids."""

    def read(self, oid: str) -> bytes:
        """The content of the object `oid`, a blob or another."""

    def tree(self, oid: str) -> Mapping[str, Entry]:
        """The names directly in the tree `oid`."""

    def folder(self, oid: str) -> Mapping[str, Entry]:
        """The same, with submodules that are here as folders."""

    def stream(self, oid: str, write: Callable[[bytes], object]) -> int:
        """Gives the content of the blob `oid` to `write` in chunks; its size."""

    def read_many(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """(oid, content) of each blob in order; never more than a few in memory."""


class WorkerServices(NamedTuple):
    """What a worker works with; made in the worker, so nothing in it is shared between processes.

    `lfs_object` gives the file that holds a Git LFS object on this machine, None when it was not fetched.
    """

    store: Store
    git_objects: GitObjectReader
    lfs_object: Callable[[Digest], str | None]
    environments: Environments
