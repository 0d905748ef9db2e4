"""The depot of a machine: takes in contents that steps there lack and gives out what they made, piece by piece.

An actor of the driver's, on a machine from the first transfer on. Pieces of one content are asked for or sent one after the
other with a few under way, so neither side ever holds more than a few of them, and after a cut it goes on where it stood.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from gitml.cluster.worker.folder_interface import ContentWriter, Folder, FolderSpec

PIECE = 8 * 2**20
IN_FLIGHT = 4
GROUPS = {"write": 1, "read": 2 * IN_FLIGHT, "copy": 2, "pin": 1}  # threads

Method = TypeVar("Method", bound=Callable[..., Any])


def _served_by(group: str) -> Callable[[Method], Method]:
    """Marks a method of an actor as served by these threads, as `ray.method` does, without loading Ray.

    Not said at each call: Ray's client can't.
    """

    def mark(method: Method) -> Method:
        method.__ray_concurrency_group__ = group  # type: ignore[attr-defined]
        return method

    return mark


class BlobServer:
    """An actor with threads: ``in`` takes what the driver sends, in order; ``out`` gives; ``pull`` fetches from other depots;
    ``pin`` keeps from eviction what is to be given.
    """

    def __init__(self, place: FolderSpec) -> None:
        self.place = place
        self.folder: Folder = place.folder(os.environ)
        self.writers: dict[str, ContentWriter] = {}
        self.pins: dict[str, int] = {}  # descriptors of pins, by who needs them

    @_served_by("write")
    def open_writer(self, name: str, size: int) -> int:
        """Where a content that is sent goes on: 0 for a new one, its size for one that is here already."""
        if not self.folder.missing([name]):
            return size
        if name not in self.writers:
            self.writers[name] = self.folder.open_writer(name, size)
        return self.writers[name].position

    @_served_by("write")
    def write(self, name: str, position: int, piece: Any) -> None:
        """The next piece; one that is here already is passed over, as it was sent twice."""
        writer = self.writers[name]
        if position != writer.position:
            return
        try:
            writer.write(_bytes_of(piece))
        except BaseException:
            del self.writers[name]
            writer.abandon()
            raise

    @_served_by("write")
    def commit(self, name: str) -> None:
        """All of it is here: verifies and keeps it."""
        writer = self.writers.pop(name)
        writer.commit()
        self.folder.note_added([name], writer.position)

    @_served_by("copy")
    def copy_from(self, source: Any, name: str, size: int) -> None:
        """Takes a content from another depot."""
        folder = self.place.folder(os.environ)
        if not folder.missing([name]):
            return
        writer = folder.open_writer(name, size)
        try:
            for piece in pulled(source.read.remote, name, 0, size):
                writer.write(piece)
        except BaseException:
            writer.abandon()
            raise
        writer.commit()
        folder.note_added([name], size)

    @_served_by("pin")
    def pin(self, user: str, roots: Sequence[str]) -> None:
        """Keeps what is at and below `roots` from being evicted, until `release`, or as long as this lives."""
        self.pins[user] = self.place.folder(os.environ).pin(user, roots)

    @_served_by("pin")
    def unpin(self, user: str) -> None:
        """What `user` needed may be evicted."""
        pin = self.pins.pop(user, -1)
        if pin >= 0:
            self.place.folder(os.environ).unpin(user, pin)

    @_served_by("read")
    def read(self, name: str, position: int, size: int) -> Any:
        """A piece of a content that is here."""
        import mmap
        import pickle

        with self.place.folder(os.environ).open(name) as file:
            try:
                if not position % mmap.ALLOCATIONGRANULARITY:
                    return pickle.PickleBuffer(mmap.mmap(file.fileno(), size, offset=position, prot=mmap.PROT_READ))
            except OSError:  # a small content, which has no file any more
                pass
            file.seek(position)
            return pickle.PickleBuffer(file.read(size))

    @_served_by("read")
    def read_copy(self, name: str, position: int, size: int) -> bytes:
        """As `give`, for a driver that is reached by Ray's client: what it brings must be copied, or it tries for ever."""
        with self.place.folder(os.environ).open(name) as file:
            file.seek(position)
            return file.read(size)


def pulled(read: Callable[[str, int, int], Any], name: str, position: int, size: int) -> Iterator[Any]:
    """The pieces of a content from `position` on, in order, a few asked for ahead of a depot's `give`."""
    import ray

    asked: deque[Any] = deque()
    while asked or position < size:
        while len(asked) < IN_FLIGHT and position < size:
            asked.append(read(name, position, min(PIECE, size - position)))
            position += PIECE
        ray.wait(list(asked), num_returns=len(asked), timeout=0)  # they set out now, not when each is waited for
        yield _bytes_of(ray.get(asked.popleft()))


def _bytes_of(piece: Any) -> Any:
    """The bytes of a piece, where they lie."""
    return piece.raw() if hasattr(piece, "raw") else piece
