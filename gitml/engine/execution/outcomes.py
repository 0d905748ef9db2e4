"""What became of each step of a run, and which steps that makes known enough to be decided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from gitml.core.model.result import NOT_MADE, ActionResult
from gitml.core.records.record import StepRun
from gitml.engine.execution.member_failures import MemberFailures

DONE = ("executed", "reused")


class Outcomes:
    """Steps with the `parents` they wait for, in the order of the plan; `done` has the outcome of each that has one.

    `result_of` returns the result of a step that succeeded and for which `settle` is given none; `report` is called with each
    outcome as it becomes known. `members` says which failures are borne: what gathers then goes on, with NOT_MADE as result.
    """

    def __init__(
        self,
        parents: Mapping[str, Sequence[str]],
        result_of: Callable[[StepRun], ActionResult],
        report: Callable[[StepRun], None],
        members: MemberFailures | None = None,
    ) -> None:
        self.done: dict[str, StepRun] = {}
        self.results: dict[str, ActionResult | None] = {}
        self.stopped = False  # somebody asked to: what is skipped from now on was cancelled
        self.members = members or MemberFailures()
        self._parents = parents
        self._children = _children_of(parents)
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

    def succeeded(self) -> bool:
        """Whether every step was done, or is one that is borne."""
        done = self.done.values()
        return all(step.outcome in DONE or self.members.is_borne(step.name) for step in done)

    def in_order(self) -> list[StepRun]:
        """All outcomes, in the plan's order."""
        return [self.done[name] for name in self._parents]

    def settle(self, step: StepRun, result: ActionResult | None = None) -> list[str]:
        """Notes an outcome; gives the steps that can be decided now. What waits for a failure that is not borne is skipped."""
        self._note(step)
        if step.outcome not in DONE:
            return self._after_failure(step.name)
        self.results[step.name] = result or self._result_of(step)
        return [child for child in self._children[step.name] if self._arrives(child)]

    def skip(self, name: str, because: str | None = None) -> list[str]:
        """Marks a step, and what waits for it, as not run; gives those that can be decided now, as they go on without it."""
        if name in self.done:
            return []
        self._note_skipped(name, because)
        return self._after_failure(name)

    def _after_failure(self, name: str) -> list[str]:
        """What waits for a step that did not succeed is skipped, with all that waits for that; gives what goes on without it."""
        arrived = []
        stack = [name]
        while stack:
            name = stack.pop()
            if self.members.is_borne(name):
                self.results[name] = NOT_MADE
            for child in self._children[name]:
                if child in self.done:
                    continue
                if not self.members.goes_on(child, name):
                    self._note_skipped(child, name)
                    stack.append(child)
                elif self._arrives(child):
                    arrived.append(child)
        return arrived

    def _arrives(self, child: str) -> bool:
        """One that a step waits for has its outcome; whether it was the last."""
        self._missing[child] -= 1
        return self._missing[child] == 0 and child not in self.done

    def _note_skipped(self, name: str, because: str | None) -> None:
        left_out = because is not None and not self.stopped and self.members.leaves_out(name, because)
        reason = "the run was ended before it"
        if because is not None:
            reason = f"needs {because}, which did not succeed{self.members.advice(name, because)}"
        self._note(StepRun(name, "cancelled" if self.stopped else "skipped", reason, 0.0), left_out=left_out)

    def rearrange(self, parents: Mapping[str, Sequence[str]], members: MemberFailures) -> list[str]:
        """Which steps there are, in the order of the plan, is now known better; gives those that can be decided.

        What stood for others and is not among `parents` goes, with its outcome. Of what is new, that is skipped which waits for
        a failure.
        """
        new = [name for name in parents if name not in self._parents or self._parents[name] != parents[name]]
        gone = {name for name in self._parents if name not in parents} | {name for name in new if name in self._parents}
        for name in gone:
            self.done.pop(name, None)
            self.results.pop(name, None)
        self.members = members
        self._parents = parents
        self._children = _children_of(parents)
        self._missing = {name: sum(one not in self.results for one in names) for name, names in parents.items()}
        arrived = [name for name in new if self._missing[name] == 0]
        for name in new:
            failed = [one for one in parents[name] if one in self.done and self.done[one].outcome not in DONE]
            without = next((one for one in failed if not members.goes_on(name, one)), None)
            if without is not None:
                arrived += self.skip(name, without)
        return arrived

    def waits_for_none(self, name: str) -> bool:
        """Whether all that a step needs is done."""
        return self._missing[name] == 0

    def take_back(self, name: str, parents: Iterable[str]) -> list[str]:
        """Parents of `name` are to be made again; gives those that had been done, whose other children wait again."""
        again = [parent for parent in dict.fromkeys(parents) if parent in self.done]
        for parent in again:
            del self.done[parent], self.results[parent]
            self.members.forget(parent)
            for child in self._children[parent]:
                if self._missing[child] > 0:  # it has not come to its turn
                    self._missing[child] += 1
        self._missing[name] = sum(parent not in self.done for parent in self._parents[name])
        return again

    def _note(self, step: StepRun, *, left_out: bool = False) -> None:
        self.done[step.name] = step
        self.members.note(step.name, step.outcome, left_out=left_out)
        self._report(step)


def _children_of(parents: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The steps that wait for each, in order."""
    children: dict[str, list[str]] = {name: [] for name in parents}
    for child, names in parents.items():
        for parent in names:
            children[parent].append(child)
    return children
