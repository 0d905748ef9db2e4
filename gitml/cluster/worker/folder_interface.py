"""What the Ray part asks of the folder that a machine keeps contents in; made where Store and Git are known."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from gitml.core.config.remotes import RemoteSpec
from gitml.core.model.result import OutputRef
from gitml.execute.interfaces import WorkerServices


class FetchProblem(NamedTuple):
    """What went wrong with a remote store, or (`store` None) with some content that it was to have."""

    store: RemoteSpec | None
    words: str


class ContentWriter(Protocol):
    """Content on its way in, in order; `position` bytes of it are here."""

    position: int

    def write(self, piece: bytes | memoryview) -> None:
        """Adds the next piece."""

    def commit(self) -> None:
        """Keeps it; IntegrityError, with nothing kept, when it is not what its name says."""

    def abandon(self) -> None:
        """Gives it up."""


class Folder(Protocol):
    """A folder of contents by name (see `naming`), shared by all processes of a machine and kept between runs."""

    root: str

    def services(self) -> WorkerServices:
        """What performs steps on it."""

    def put(self, contents: Mapping[str, bytes]) -> None:
        """Keeps whole contents; IntegrityError for one that is not what its name says, MachineError when the disk is full."""

    def missing(self, roots: Sequence[str]) -> list[str]:
        """What of `roots`, and of all below the trees among them, is not here; what is below a tree that is not here, aside."""

    def open_writer(self, name: str, size: int) -> ContentWriter:
        """Takes in a content of `size` bytes piece by piece."""

    def fetch_outputs(
        self, outputs: Sequence[OutputRef], stores: Sequence[RemoteSpec], stopped: Callable[[], bool]
    ) -> list[FetchProblem]:
        """Brings what it can of `outputs` from remote stores; what went wrong. What did not come is still lacking."""

    def open(self, name: str) -> BinaryIO:
        """The bytes of a content. IntegrityError when it is not here."""

    def contents_of(self, root: str) -> list[tuple[str, int]]:
        """Every Blob and Tree of `root` with its size, those below a Tree before it."""

    def pin(self, user: str, roots: Sequence[str]) -> int:
        """Keeps contents from being evicted as long as the descriptor given back is open; `user` names who needs them."""

    def unpin(self, user: str, pin: int) -> None:
        """Lets go of what `user` pinned."""

    def note_added(self, roots: Sequence[str], size: int) -> None:
        """Notes what was made or brought here, `size` bytes of it, and tidies when that is much."""

    def collect_garbage(self, *, now: bool = False) -> None:
        """Clears up after attempts that were killed, and evicts what was used longest ago beyond the limit.

        Without `now` nothing is done when someone did so lately.
        """


class FolderSpec(NamedTuple):
    """Where a machine keeps contents, as data: `assembly` names what makes the Folder (``module:function``)."""

    assembly: str
    root: str | None = None  # None: in the user's cache
    limit: int | None = None  # bytes; None: half of the disk
    tops: str = ""  # the work trees of the repository whose steps run, one a line: they may be on this machine too

    def folder(self, machine: Mapping[str, str]) -> Folder:
        """The Folder, in this process; `machine` is the environment of steps here."""
        module, _, function = self.assembly.partition(":")
        make: Any = getattr(importlib.import_module(module), function)
        return cast(Folder, make(self, machine))
