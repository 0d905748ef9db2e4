"""Inputs of steps that only a remote store has: brought in the background, one thread a step, while other steps run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.model.events import Event
from gitml.core.model.result import OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.core.planner.plan import Decision
from gitml.engine.planning.request import Emit
from gitml.workspace import Workspace

MOST = 4  # steps that are brought inputs at once


class Arrival(NamedTuple):
    """What became of the inputs of a step: those that no remote could bring and why, or what went wrong altogether."""

    name: str
    decision: Decision
    lost: frozenset[Digest]
    problems: Sequence[str]
    error: BaseException | None


class _Fetch:
    def __init__(self, name: str, decision: Decision) -> None:
        self.name = name
        self.decision = decision
        self.stop = StopSignal()


class InputFetches:
    """The fetches of one run that are under way."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._active: dict[str, _Fetch] = {}
        self._told: queue.SimpleQueue[Event | Arrival] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self._active)

    def start(self, name: str, decision: Decision, outputs: Sequence[OutputRef]) -> None:
        """Begins to bring `outputs`, inputs of the step `name`."""
        fetch = self._active[name] = _Fetch(name, decision)
        threading.Thread(target=self._bring, args=(fetch, outputs), daemon=True).start()

    def arrivals(self, emit: Emit) -> Iterator[Arrival]:
        """What has come to an end since; `emit` is given what was told meanwhile."""
        while True:
            try:
                item = self._told.get_nowait()
            except queue.Empty:
                return
            if not isinstance(item, Arrival):
                emit(item)
            elif self._active.pop(item.name, None) is not None:
                yield item

    def cancel(self) -> list[_Fetch]:
        """Ends all of them; those that were under way."""
        cancelled = list(self._active.values())
        self._active = {}
        for fetch in cancelled:
            fetch.stop.ask()
        return cancelled

    def _bring(self, fetch: _Fetch, outputs: Sequence[OutputRef]) -> None:
        from gitml.transfer.download import bring, told_problems

        lost: frozenset[Digest] = frozenset()
        problems: Sequence[str] = ()
        error: BaseException | None = None
        # The index and the Store belong to a thread: this one has its own.
        ws = Workspace(self._ws.location, self._ws.environ)
        try:
            brought = bring(ws, outputs, self._told.put, fetch.stop)
            lost = frozenset(root.digest for root in brought.lost)
            problems = told_problems(brought.problems)
        except BaseException as raised:
            error = raised
        finally:
            ws.close()
            self._told.put(Arrival(fetch.name, fetch.decision, lost, problems, error))
