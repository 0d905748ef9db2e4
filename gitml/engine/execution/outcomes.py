"""What became of each step of a run, and which steps that makes known enough to be decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from gitml.core.model.result import ActionResult
from gitml.core.records.record import StepRun

DONE = ("executed", "reused")


class Outcomes:
    """Steps with the `parents` they wait for, in the order of the plan; `done` has the outcome of each that has one.

    `result_of` returns the result of a step that succeeded and for which `settle` is given none; `report` is called with each
    outcome as it becomes known.
    """

    def __init__(
        self,
        parents: Mapping[str, Sequence[str]],
        result_of: Callable[[StepRun], ActionResult],
        report: Callable[[StepRun], None],
    ) -> None:
        self.done: dict[str, StepRun] = {}
        self.results: dict[str, ActionResult | None] = {}
        self.stopped = False  # somebody asked to: what is skipped from now on was cancelled
        self._parents = parents
        self._children: dict[str, list[str]] = {name: [] for name in parents}
        for child, names in parents.items():
            for parent in names:
                self._children[parent].append(child)
        self._missing = {name: len(names) for name, names in parents.items()}
        self._result_of = result_of
        self._report = report

    @property
    def complete(self) -> bool:
        """Whether every step has its outcome."""
        return len(self.done) == len(self._parents)

    def first(self) -> list[str]:
        """The steps that wait for none."""
        return [name for name, count in self._missing.items() if count == 0]

    def children(self, name: str) -> Sequence[str]:
        """The steps that wait for it."""
        return self._children[name]

    def in_order(self) -> list[StepRun]:
        """All outcomes, in the plan's order."""
        return [self.done[name] for name in self._parents]

    def settle(self, step: StepRun, result: ActionResult | None = None) -> list[str]:
        """Notes an outcome; gives the steps that can be decided now. What waits for a failure is skipped."""
        self._note(step)
        if step.outcome not in DONE:
            for child in self._children[step.name]:
                self.skip(child, step.name)
            return []
        self.results[step.name] = result or self._result_of(step)
        arrived = []
        for child in self._children[step.name]:
            self._missing[child] -= 1
            if self._missing[child] == 0 and child not in self.done:
                arrived.append(child)
        return arrived

    def skip(self, name: str, because: str | None = None) -> None:
        """Marks a step, and what waits for it, as not run."""
        stack = [(name, because)]
        while stack:
            name, because = stack.pop()
            if name in self.done:
                continue
            reason = f"needs {because}, which did not succeed" if because else "the run was ended before it"
            self._note(StepRun(name, "cancelled" if self.stopped else "skipped", reason, 0.0))
            stack.extend((child, name) for child in self._children[name])

    def waits_for_none(self, name: str) -> bool:
        """Whether all that a step needs is done."""
        return self._missing[name] == 0

    def take_back(self, name: str, parents: Iterable[str]) -> list[str]:
        """Parents of `name` are to be made again; gives those that had been done, whose other children wait again."""
        again = [parent for parent in dict.fromkeys(parents) if parent in self.done]
        for parent in again:
            del self.done[parent], self.results[parent]
            for child in self._children[parent]:
                if self._missing[child] > 0:  # it has not come to its turn
                    self._missing[child] += 1
        self._missing[name] = sum(parent not in self.done for parent in self._parents[name])
        return again

    def _note(self, step: StepRun) -> None:
        self.done[step.name] = step
        self._report(step)
