"""Steps that wait at Ray for machines: where an autoscaler adds some for what waits, Ray must be told of more than fits now."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gitml.core.model.resources import Resources

MOST = 32  # that wait at once: enough to be worth machines, few enough to be cancelled quickly and to keep the order


class AutoscalingQueue:
    """`can_scale_up` tells whether an autoscaler may add a machine that fulfils a wish; it is asked once for each wish."""

    def __init__(self, can_scale_up: Callable[[Resources], bool]) -> None:
        self._can_scale_up = can_scale_up
        self._known: dict[str, bool] = {}
        self.waiting: dict[str, Resources] = {}  # attempts that Ray has put nowhere yet, as far as is known

    def serves(self, asked: Resources) -> bool:
        """Whether a wish that no machine fulfils now may be fulfilled by one that comes."""
        key = repr(asked)
        if key not in self._known:
            self._known[key] = self._can_scale_up(asked)
        return self._known[key]

    def refuse(self, wishes: Iterable[Resources]) -> None:
        """Takes note of wishes that will never be fulfilled after all."""
        self._known.update({repr(asked): False for asked in wishes})

    def takes(self, asked: Resources) -> bool:
        """Whether one more step that asks for this is to wait at Ray."""
        return len(self.waiting) < MOST and self.serves(asked)
