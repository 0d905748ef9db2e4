"""The one engine that moves bytes between machines: in pieces, with a few calls of Ray under way at a time.

Neither side ever holds more than those few pieces. A piece has a position, so after a cut a transfer goes on where it stood, and
the writer hashes what arrives.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

PIECE = 4 * 2**20  # bytes
IN_FLIGHT = 4  # pieces that are on their way at a time
CUTS = 5  # how often a transfer goes on after the network was cut
PAUSE = 2.0  # seconds before it does


class ContentWriter(Protocol):
    """Content that arrives in order; `position` is the number of bytes that are here."""

    position: int

    def write(self, piece: bytes | memoryview) -> None:
        """Adds the next piece."""

    def commit(self) -> None:
        """Keeps the content; IntegrityError, with nothing kept, when it is not what its name says."""

    def abandon(self) -> None:
        """Removes what has arrived, unless it was committed."""


def receive(
    read: Callable[[int, int], Any], size: int, writer: ContentWriter, *, cuts: int = CUTS, timeout: float | None = None
) -> None:
    """Reads from the writer's position up to `size`, then commits; on any error the writer is abandoned.

    `read(position, size)` is a call of Ray that gives a piece, or None when the content is gone: FileNotFoundError.
    """

    def read_on() -> None:
        starts = range(writer.position, size, PIECE)
        for piece in results((read(start, min(PIECE, size - start)) for start in starts), timeout):
            if piece is None:
                raise FileNotFoundError
            writer.write(bytes_of(piece))

    try:
        through_cuts(read_on, cuts)
        writer.commit()
    except BaseException:
        writer.abandon()
        raise


def results(calls: Iterable[Any], timeout: float | None = None) -> Iterator[Any]:
    """The results of calls of Ray, in order. Calls are made as `calls` is read: a few ahead of the result that is next."""
    import ray

    started: deque[Any] = deque()
    for call in calls:
        started.append(call)
        if len(started) == IN_FLIGHT:
            ray.wait(list(started), num_returns=IN_FLIGHT, timeout=0)  # they set out now, not when each is waited for
            yield ray.get(started.popleft(), timeout=timeout)
    while started:
        yield ray.get(started.popleft(), timeout=timeout)


def through_cuts(work: Callable[[], None], cuts: int = CUTS) -> None:
    """Does `work`, which goes on where it stood, again after each of so many cuts of the network."""
    import ray

    for _ in range(cuts):
        try:
            return work()
        except ray.exceptions.ActorUnavailableError:
            time.sleep(PAUSE)
    return work()


def bytes_of(piece: Any) -> Any:
    """The bytes of a piece, where they lie."""
    return piece.raw() if hasattr(piece, "raw") else piece
