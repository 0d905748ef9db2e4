"""The steps of a run that could begin: which of them is begun next where there is room."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gitml.core.model.digest import Digest


class ResourceRequest(NamedTuple):
    """What a step requests of its target: steps with equal requests are started in order, without looking at each.

    `asked` has its Resources written out. `prepared`: its inputs were fetched for it, and its Action's lock is held.
    """

    target: str
    asked: str
    nodes: int
    environment: Digest
    prepared: bool


class ReadySteps:
    """Names of steps by their expected seconds to the end of the run, longest first; then by `numbers`, in the order of the plan.

    They lie in heaps by request: the first of one that does not fit speaks for all.
    """

    def __init__(self, priority: Mapping[str, float], numbers: Mapping[str, int]) -> None:
        self._priority = priority
        self._numbers = numbers
        self._heaps: dict[ResourceRequest, list[tuple[float, int, str]]] = {}

    def __bool__(self) -> bool:
        return bool(self._heaps)

    def push(self, request: ResourceRequest, name: str) -> None:
        """One more step could begin."""
        heapq.heappush(self._heaps.setdefault(request, []), (-self._priority[name], self._numbers[name], name))

    def first(self) -> tuple[ResourceRequest, str]:
        """A step that could begin."""
        request, heap = next(iter(self._heaps.items()))
        return request, heap[0][2]

    def take(self, fits: Callable[[ResourceRequest, str], bool]) -> str | None:
        """Takes out the step that comes first of those that fit; None when none does.

        Something later in the order may fit beside what runs.
        """
        for request in sorted(self._heaps, key=lambda request: self._heaps[request][0]):
            heap = self._heaps[request]
            if fits(request, heap[0][2]):
                name = heapq.heappop(heap)[2]
                if not heap:
                    del self._heaps[request]
                return name
        return None

    def rank(self, priority: Mapping[str, float], numbers: Mapping[str, int]) -> None:
        """Orders those that come from now on by these; those that are there keep their places among them."""
        self._priority = priority
        self._numbers = numbers

    def clear(self) -> None:
        """None of them is to begin."""
        self._heaps.clear()
