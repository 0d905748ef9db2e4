"""ErrorBudget: how many members of a step may fail without the run failing (`errors` of a step with a matrix)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

SKIP, FAIL = "skip", "fail"
ACTIONS = (SKIP, FAIL)
WHOLE = 100_000
"""All members, in thousandths of a percent."""


class ErrorBudget(NamedTuple):
    """A count of members, thousandths of a percent of them, or both, of which the lower counts; None for what is not said.

    `action` SKIP: members that failed are left out of what gathers. FAIL: the other members are made, then the step fails.
    """

    items: int | None = None
    share: int | None = None
    action: str = SKIP

    def allowed(self, members: int) -> int:
        """How many of so many members may fail; a part of a member is none."""
        limits = [limit for limit in (self.items, self._of(members)) if limit is not None]
        return min(limits, default=0)

    def _of(self, members: int) -> int | None:
        return None if self.share is None else members * self.share // WHOLE

    @property
    def is_none(self) -> bool:
        """Whether no failure is borne, whatever number of members there are."""
        return not self.allowed(WHOLE)

    def __str__(self) -> str:
        """As a pipeline file says it, in one line: ``10%``, ``3``, ``3 and 10%``, ``10%, action: fail``."""
        share = None if self.share is None else f"{self.share / 1000:.3f}".rstrip("0").rstrip(".") + "%"
        amounts = " and ".join(str(amount) for amount in (self.items, share) if amount is not None)
        return f"{amounts or 0}" + (f", action: {self.action}" if self.action != SKIP else "")


NO_ERRORS = ErrorBudget()


def budget_from_json(raw: Sequence[Any]) -> ErrorBudget:
    """The inverse of a budget as a list."""
    items, share, action = raw
    return ErrorBudget(items, share, action)
