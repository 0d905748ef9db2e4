"""Input prefetch: inputs that only a remote store has are fetched in the background, a thread a step, while others run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gitml.core.model.digest import Digest
from gitml.core.model.events import Emit, Event, StepFetches, StepPrepares
from gitml.core.model.graph import GraphStep
from gitml.core.model.result import OutputRef
from gitml.core.model.stop_signal import StopSignal
from gitml.core.planner.plan import Decision
from gitml.engine.execution.executor_kinds import Executors
from gitml.engine.planning.planner import Planner, Results
from gitml.store.local.locks import Locks
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.core.planner.directory_part import OutputPart

MOST = 4  # steps whose inputs are fetched at once


class PrefetchResult(NamedTuple):
    """What became of the inputs of a step: those that no remote store could provide and why, or the error that ended it.

    `image` is that of its environment where no store has it.
    """

    name: str
    decision: Decision
    lost: frozenset[Digest] = frozenset()
    image: Digest | None = None
    problems: Sequence[str] = ()
    error: BaseException | None = None


class InputPrefetch:
    """The prefetch of one run. From `start` until `take`, a step holds its Action's lock."""

    def __init__(self, ws: Workspace, planner: Planner, executors: Executors, emit: Emit) -> None:
        self._ws = ws
        self._executors = executors
        self._planner = planner
        self._emit = emit
        self._active: dict[str, tuple[Decision, StopSignal]] = {}  # by step
        self._queue: queue.SimpleQueue[Event | PrefetchResult] = queue.SimpleQueue()
        self._ready: dict[str, Digest] = {}  # the keys of steps whose inputs are here, and that have not begun
        self._executor_fetches = True
        self._images: set[Digest] = set()  # those that no store has

    def __bool__(self) -> bool:
        """Whether inputs are being fetched."""
        return bool(self._active)

    def __contains__(self, name: str) -> bool:
        """Whether all that a step lacked is here."""
        return name in self._ready

    @property
    def has_room(self) -> bool:
        """Whether the inputs of one more step may be fetched."""
        return len(self._active) < MOST

    def is_left_to_executor(self, step: GraphStep, lacking: Sequence[OutputRef | OutputPart], results: Results) -> bool:
        """Whether the executor of a step is to fetch all that is lacking, so that it need not come here."""
        able = self.for_executor(step, results) if step.settings.gang[0] == 1 else ()
        return all(one in able for one in lacking)

    def for_executor(self, step: GraphStep, results: Results) -> tuple[OutputRef, ...]:
        """The inputs that the executor of a step may fetch from remote stores by itself."""
        if not self._executor_fetches or not self._executors.capabilities(self._planner.target(step)).fetches_inputs:
            return ()
        return self._planner.stored(step, results)

    def stop_leaving_to_executors(self) -> None:
        """An executor could not reach a remote store: from now on all inputs are fetched here."""
        self._executor_fetches = False

    def lacked_image(self, step: GraphStep, decision: Decision) -> Digest | None:
        """The image that a step on this machine lacks, and that a remote store may have."""
        assert decision.action is not None
        environment = self._planner.builder.by_digest[decision.action.environment]
        if "image" not in environment.description:
            return None
        if not self._executors.capabilities(self._planner.target(step)).shares_machine:
            return None
        from gitml.transfer.images import lacked_image

        image = lacked_image(self._ws, environment)
        return None if image in self._images else image

    def start(
        self, name: str, decision: Decision, lacking: Sequence[OutputRef | OutputPart], image: Digest | None = None
    ) -> None:
        """Begins to fetch inputs of the step `name`, and the `image` of its environment."""
        if lacking:
            self._emit(StepFetches(name, sum(output.size for output in lacking)))
        stop = StopSignal()
        self._active[name] = (decision, stop)
        threading.Thread(target=self._fetch, args=(name, decision, lacking, image, stop), daemon=True).start()

    def results(self) -> Iterator[PrefetchResult]:
        """What ended since the last call; events that were queued meanwhile are emitted."""
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            if not isinstance(item, PrefetchResult):
                self._emit(item)
            elif self._active.pop(item.name, None) is not None:
                if item.image is not None:
                    self._images.add(item.image)
                yield item

    def mark_ready(self, name: str, decision: Decision) -> None:
        """All that a step lacked is here."""
        assert decision.key is not None
        self._ready[name] = decision.key

    def take(self, name: str) -> bool:
        """A step begins, or never will: whether its inputs were made ready."""
        return self._ready.pop(name, None) is not None

    def cancel(self) -> None:
        """Ends all fetches, and frees the Actions of the steps that waited for them."""
        keys = [decision.key for decision, _ in self._active.values()]
        for _, stop in self._active.values():
            stop.ask()
        for key in (*keys, *self._ready.values()):
            assert key is not None
            self._ws.locks.unlock(Locks.slot_for(key))
        self._active.clear()
        self._ready.clear()

    def _fetch(
        self,
        name: str,
        decision: Decision,
        outputs: Sequence[OutputRef | OutputPart],
        image: Digest | None,
        stop: StopSignal,
    ) -> None:
        from gitml.transfer.download import fetch_outputs, problem_texts

        result = PrefetchResult(name, decision)
        # The index and the Store belong to a thread: this one has its own.
        ws = Workspace(self._ws.location, self._ws.environ)
        try:
            if outputs:
                fetched = fetch_outputs(ws, outputs, self._queue.put, stop)
                lost = frozenset(root.digest for root in fetched.lost)
                result = result._replace(lost=lost, problems=problem_texts(fetched.problems))
            if image is not None and not self._fetch_image(ws, name, image, stop):
                result = result._replace(image=image)
        except BaseException as error:
            result = result._replace(error=error)
        finally:
            ws.close()
            self._queue.put(result)

    def _fetch_image(self, ws: Workspace, name: str, image: Digest, stop: StopSignal) -> bool:
        from gitml.transfer.images import download_words, fetch_image

        def emit(event: Event) -> None:
            words = download_words(event)
            if words is not None:
                self._queue.put(StepPrepares(name, words))

        return fetch_image(ws, image, emit, lambda: stop.level > 0)
