"""The engine of transfers: pieces arrive in order, go on after a cut where they stood, and leave nothing when they fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from gitml.cluster.content import piece_transfer
from gitml.cluster.content.piece_transfer import receive

CONTENT = bytes(range(25))


class MemoryWriter:
    """A ContentWriter that notes how it ended."""

    def __init__(self) -> None:
        self.content = b""
        self.position = 0
        self.ended = ""

    def write(self, piece: bytes | memoryview) -> None:
        self.content += piece
        self.position += len(piece)

    def commit(self) -> None:
        self.ended = "committed"

    def abandon(self) -> None:
        self.ended = "abandoned"


@pytest.fixture(autouse=True)
def _without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def results(calls: Iterable[Any], timeout: float | None) -> Iterator[Any]:
        yield from calls

    monkeypatch.setattr(piece_transfer, "PIECE", 10)
    monkeypatch.setattr(piece_transfer, "PAUSE", 0.0)
    monkeypatch.setattr(piece_transfer, "results", results)


def test_pieces_arrive_in_order_and_the_last_is_as_long_as_what_is_left() -> None:
    writer, asked = MemoryWriter(), []

    def read(position: int, size: int) -> bytes:
        asked.append((position, size))
        return CONTENT[position : position + size]

    receive(read, len(CONTENT), writer)
    assert (writer.content, writer.ended) == (CONTENT, "committed")
    assert asked == [(0, 10), (10, 10), (20, 5)]


def test_after_a_cut_it_goes_on_where_it_stood_and_a_cut_too_many_is_an_error() -> None:
    from ray.exceptions import ActorUnavailableError

    writer, cuts, asked = MemoryWriter(), [10, 20], []

    def read(position: int, size: int) -> bytes:
        asked.append(position)
        if cuts and position == cuts[0]:
            cuts.pop(0)
            raise ActorUnavailableError("cut", None)
        return CONTENT[position : position + size]

    receive(read, len(CONTENT), writer, cuts=2)
    assert (writer.content, asked) == (CONTENT, [0, 10, 10, 20, 20])
    cuts, writer = [10, 10], MemoryWriter()
    with pytest.raises(ActorUnavailableError):
        receive(read, len(CONTENT), writer, cuts=1)
    assert writer.ended == "abandoned"


def test_a_content_that_is_gone_leaves_nothing() -> None:
    writer = MemoryWriter()
    with pytest.raises(FileNotFoundError):
        receive(lambda position, size: None if position else CONTENT[:size], len(CONTENT), writer)
    assert writer.ended == "abandoned"
