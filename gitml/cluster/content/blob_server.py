"""The blob server of a machine: takes in contents that steps there lack, and gives out what they made, piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from gitml.cluster.content.piece_transfer import IN_FLIGHT, ContentWriter, bytes_of, receive
from gitml.cluster.worker.folder import FolderSpec

GROUPS = {"write": 1, "read": 2 * IN_FLIGHT, "copy": 2, "pin": 1}  # threads

Method = TypeVar("Method", bound=Callable[..., Any])


def _served_by(group: str) -> Callable[[Method], Method]:
    """Marks a method of an actor as served by these threads, as `ray.method` does, without loading Ray.

    Not an option of each call: Ray's client has none.
    """

    def mark(method: Method) -> Method:
        method.__ray_concurrency_group__ = group  # type: ignore[attr-defined]
        return method

    return mark


class BlobServer:
    """An actor of the driver's, on a machine from the first transfer on, with threads for each kind of call.

    ``write`` takes what the driver sends, in order; ``read`` gives; ``copy`` fetches from other blob servers; ``pin`` keeps from
    eviction what is to be read.
    """

    def __init__(self, place: FolderSpec) -> None:
        self.place = place
        self.folder = place.open(os.environ)  # of the thread that writes
        self.writers: dict[str, ContentWriter] = {}
        self.pins: dict[str, int] = {}  # descriptors of pins, by who needs them

    @_served_by("write")
    def open_writer(self, name: str, size: int) -> int | None:
        """The position from which a content is to be sent, 0 for a new one; None when it is here already."""
        if not self.folder.missing([name]):
            return None
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
            writer.write(bytes_of(piece))
        except BaseException:
            del self.writers[name]
            writer.abandon()
            raise

    @_served_by("write")
    def commit(self, name: str) -> None:
        """Verifies and keeps a content whose last piece was written."""
        writer = self.writers.pop(name)
        writer.commit()
        self.folder.gc.note_added([name], writer.position)

    @_served_by("copy")
    def copy_from(self, source: Any, name: str, size: int) -> None:
        """Downloads a content from another blob server."""
        folder = self.place.open(os.environ)
        if folder.missing([name]):
            # without patience: the driver has other sources
            receive(partial(source.read.remote, name), size, folder.open_writer(name, size), cuts=0)
            folder.gc.note_added([name], size)

    @_served_by("pin")
    def pin(self, user: str, roots: Sequence[str]) -> None:
        """Keeps what is at and below `roots` from being evicted, until `unpin`, or as long as this lives."""
        self.pins[user] = self.place.open(os.environ).gc.pin(user, roots)

    @_served_by("pin")
    def unpin(self, user: str) -> None:
        """What `user` needed may be evicted."""
        pin = self.pins.pop(user, -1)
        if pin >= 0:
            self.place.open(os.environ).gc.unpin(user, pin)

    @_served_by("read")
    def read(self, name: str, position: int, size: int) -> Any:
        """A piece of a content that is here."""
        import mmap
        import pickle

        with self.place.open(os.environ).open(name) as file:
            try:
                if not position % mmap.ALLOCATIONGRANULARITY:
                    return pickle.PickleBuffer(mmap.mmap(file.fileno(), size, offset=position, prot=mmap.PROT_READ))
            except OSError:  # a small content, which has no file any more
                pass
            file.seek(position)
            return pickle.PickleBuffer(file.read(size))

    @_served_by("read")
    def read_copy(self, name: str, position: int, size: int) -> bytes:
        """As `read`, for a driver that is reached by Ray's client: what that fetches must be copied, or it tries for ever."""
        with self.place.open(os.environ).open(name) as file:
            file.seek(position)
            return file.read(size)
