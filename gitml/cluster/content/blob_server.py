"""The depot of a machine: takes in contents that steps there lack and gives out what they made, piece by piece.

An actor of the driver's, on a machine from the first transfer on. Pieces of one content are asked for or sent one after the
other with a few under way, so neither side ever holds more than a few of them, and after a cut it goes on where it stood.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from gitml.cluster.worker.folder_interface import Arriving, Folder, Place

PIECE = 8 * 2**20
UNDER_WAY = 4
GROUPS = {"in": 1, "out": 2 * UNDER_WAY, "pull": 2, "hold": 1}  # threads

Method = TypeVar("Method", bound=Callable[..., Any])


def _served_by(group: str) -> Callable[[Method], Method]:
    """Marks a method of an actor as served by these threads, as `ray.method` does, without loading Ray.

    Not said at each call: Ray's client can't.
    """

    def mark(method: Method) -> Method:
        method.__ray_concurrency_group__ = group  # type: ignore[attr-defined]
        return method

    return mark


class Depot:
    """An actor with threads: ``in`` takes what the driver sends, in order; ``out`` gives; ``pull`` fetches from other depots;
    ``hold`` keeps from eviction what is to be given.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.taking: Folder = place.folder(os.environ)
        self.arriving: dict[str, Arriving] = {}
        self.held: dict[str, int] = {}  # descriptors of pins, by who needs them

    @_served_by("in")
    def begin(self, name: str, size: int) -> int:
        """Where a content that is sent goes on: 0 for a new one, its size for one that is here already."""
        if not self.taking.lacking([name]):
            return size
        if name not in self.arriving:
            self.arriving[name] = self.taking.arriving(name, size)
        return self.arriving[name].position

    @_served_by("in")
    def take(self, name: str, position: int, piece: Any) -> None:
        """The next piece; one that is here already is passed over, as it was sent twice."""
        arriving = self.arriving[name]
        if position != arriving.position:
            return
        try:
            arriving.write(_bytes_of(piece))
        except BaseException:
            del self.arriving[name]
            arriving.abandon()
            raise

    @_served_by("in")
    def finish(self, name: str) -> None:
        """All of it is here: verifies and keeps it."""
        arriving = self.arriving.pop(name)
        arriving.commit()
        self.taking.added([name], arriving.position)

    @_served_by("pull")
    def fetch(self, source: Any, name: str, size: int) -> None:
        """Takes a content from another depot."""
        folder = self.place.folder(os.environ)
        if not folder.lacking([name]):
            return
        arriving = folder.arriving(name, size)
        try:
            for piece in pulled(source.give.remote, name, 0, size):
                arriving.write(piece)
        except BaseException:
            arriving.abandon()
            raise
        arriving.commit()
        folder.added([name], size)

    @_served_by("hold")
    def hold(self, holder: str, roots: Sequence[str]) -> None:
        """Keeps what is at and below `roots` from being evicted, until `release`, or as long as this lives."""
        self.held[holder] = self.place.folder(os.environ).pin(holder, roots)

    @_served_by("hold")
    def release(self, holder: str) -> None:
        """What `holder` needed may be evicted."""
        pin = self.held.pop(holder, -1)
        if pin >= 0:
            self.place.folder(os.environ).unpin(holder, pin)

    @_served_by("out")
    def give(self, name: str, position: int, size: int) -> Any:
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

    @_served_by("out")
    def give_copy(self, name: str, position: int, size: int) -> bytes:
        """As `give`, for a driver that is reached by Ray's client: what it brings must be copied, or it tries for ever."""
        with self.place.folder(os.environ).open(name) as file:
            file.seek(position)
            return file.read(size)


def pulled(give: Callable[[str, int, int], Any], name: str, position: int, size: int) -> Iterator[Any]:
    """The pieces of a content from `position` on, in order, a few asked for ahead of a depot's `give`."""
    import ray

    asked: deque[Any] = deque()
    while asked or position < size:
        while len(asked) < UNDER_WAY and position < size:
            asked.append(give(name, position, min(PIECE, size - position)))
            position += PIECE
        ray.wait(list(asked), num_returns=len(asked), timeout=0)  # they set out now, not when each is waited for
        yield _bytes_of(ray.get(asked.popleft()))


def _bytes_of(piece: Any) -> Any:
    """The bytes of a piece, where they lie."""
    return piece.raw() if hasattr(piece, "raw") else piece
