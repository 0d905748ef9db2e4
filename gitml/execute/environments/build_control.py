"""How a build of an environment is steered and watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gitml.execute.process import StopRequests


def _say_nothing(what: str) -> None:
    return


class BuildControl(NamedTuple):
    """`stop` ends a build, by StoppedError; `report` is called with what goes on when there is something to wait for.

    Packages that there are only as source are built `from_source` or refused, as such a build runs what their authors wrote,
    outside of every sandbox. What was built so before is used in either case.
    """

    stop: StopRequests
    report: Callable[[str], None] = _say_nothing
    from_source: bool = True
