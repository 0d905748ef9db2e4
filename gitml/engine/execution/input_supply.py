"""What steps need that only remote stores have: brought here before they begin, or left to the machine that performs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gitml.core.model.digest import Digest
from gitml.core.model.events import StepFetches
from gitml.core.model.graph import GraphStep
from gitml.core.model.result import ActionResult, OutputRef
from gitml.core.planner.plan import Decision
from gitml.engine.execution.executors import is_local
from gitml.engine.execution.input_prefetch import MOST, Arrival, InputFetches
from gitml.engine.planning.planner import Planner
from gitml.engine.planning.request import Emit
from gitml.store.local.locks import Locks
from gitml.workspace import Workspace

Results = Mapping[str, ActionResult | None]


class Supplies:
    """Those of one run. From `bring` until it is taken, a step holds its Action's lock."""

    def __init__(self, ws: Workspace, planner: Planner, emit: Emit) -> None:
        self._ws = ws
        self._planner = planner
        self._emit = emit
        self._fetches = InputFetches(ws)
        self._here: dict[str, Digest] = {}  # the keys of steps whose inputs were brought, and that have not begun
        self._machines_ask = True

    def __bool__(self) -> bool:
        """Whether something is on its way."""
        return bool(self._fetches)

    def __contains__(self, name: str) -> bool:
        """Whether all that a step lacked is here."""
        return name in self._here

    @property
    def has_room(self) -> bool:
        """Whether one more step may have its inputs brought."""
        return len(self._fetches) < MOST

    def left_to_machine(self, step: GraphStep, lacking: Sequence[OutputRef], results: Results) -> bool:
        """Whether the machine that performs a step is to bring all that is lacking, so that it need not come here."""
        return step.gang[0] == 1 and set(lacking) <= set(self.for_machine(step, results))

    def for_machine(self, step: GraphStep, results: Results) -> tuple[OutputRef, ...]:
        """What the machine that performs a step may bring from remote stores by itself."""
        if is_local(self._planner.target(step)) or not self._machines_ask:
            return ()
        return self._planner.stored(step, results)

    def machines_cannot(self) -> None:
        """What a machine could not reach is brought here for all that follow."""
        self._machines_ask = False

    def bring(self, name: str, decision: Decision, lacking: Sequence[OutputRef]) -> None:
        """Begins to bring inputs of a step here."""
        self._emit(StepFetches(name, sum(output.size for output in lacking)))
        self._fetches.start(name, decision, lacking)

    def arrivals(self) -> Iterator[Arrival]:
        """What has come to an end since."""
        return self._fetches.arrivals(self._emit)

    def have(self, name: str, decision: Decision) -> None:
        """All that a step lacked is here."""
        assert decision.key is not None
        self._here[name] = decision.key

    def take(self, name: str) -> bool:
        """A step begins, or won't: whether its inputs had been brought."""
        return self._here.pop(name, None) is not None

    def end(self) -> None:
        """Stops bringing, and frees the Actions of the steps that waited for it."""
        keys = [fetch.decision.key for fetch in self._fetches.cancel()]
        for key in (*keys, *self._here.values()):
            assert key is not None
            self._ws.locks.unlock(Locks.slot_for(key))
        self._here.clear()
