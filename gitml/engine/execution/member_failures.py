"""The members of steps that bear failures of some: which failed or were left out, and whether that is borne."""

from __future__ import annotations

from collections.abc import Iterable

from gitml.core.model.graph import GraphStep
from gitml.core.parameters.error_budget import NO_ERRORS, SKIP, ErrorBudget
from gitml.core.records.member_errors import MemberErrors


class _Members:
    """Those of one step, by what became of them as far as that is known."""

    def __init__(self, budget: ErrorBudget) -> None:
        self.budget = budget
        self.count = 0
        self.failed: dict[str, None] = {}
        self.left_out: dict[str, None] = {}
        self.others: set[str] = set()

    @property
    def missing(self) -> int:
        return len(self.failed) + len(self.left_out)

    @property
    def is_exceeded(self) -> bool:
        """Whether more failed than may, or none succeeded nor can."""
        return len(self.failed) > self.budget.allowed(self.count) or self.missing == self.count

    @property
    def bears(self) -> bool:
        """Whether what gathers goes on without those that are missing."""
        return not self.is_exceeded and self.budget.action == SKIP

    @property
    def is_failed(self) -> bool:
        """Whether the step as a whole failed: with `action: fail` that is so once all members have an outcome."""
        complete = self.missing + len(self.others) == self.count
        return self.missing > 0 and (self.is_exceeded or (complete and not self.bears))


class MemberFailures:
    """Those of one run, of the steps that have a budget; without one a step bears nothing."""

    def __init__(self, steps: Iterable[GraphStep] = ()) -> None:
        steps = list(steps)
        self._by_base: dict[str, _Members] = {}
        self._by_name: dict[str, tuple[str, _Members]] = {}
        self._exact: dict[str, frozenset[str]] = {}
        self._without: dict[str, str] = {}  # members of steps without a budget
        for step in steps:
            budget = step.settings.errors
            if budget != NO_ERRORS:
                members = self._by_base.setdefault(step.base, _Members(budget))
                members.count += 1
                self._by_name[step.name] = step.base, members
            elif step.label:
                self._without[step.name] = step.base
        if self._by_base:
            for step in steps:
                exact = [b.step for b in step.inputs if b.step is not None and not b.member]
                self._exact[step.name] = frozenset(step.parents if step.pending else exact)

    def among(self, steps: Iterable[GraphStep]) -> MemberFailures:
        """The same where these are the steps: what became of those that stay is known."""
        found = MemberFailures(steps)
        for name in self._by_name.keys() & found._by_name.keys():
            before, now = self._by_name[name][1], found._by_name[name][1]
            if name in before.failed:
                now.failed[name] = None
            elif name in before.left_out:
                now.left_out[name] = None
            elif name in before.others:
                now.others.add(name)
        return found

    def note(self, name: str, outcome: str, *, left_out: bool = False) -> None:
        """A step has an outcome; `left_out`: it was skipped as it needs another that is missing, and both are borne."""
        if name not in self._by_name:
            return
        members = self._by_name[name][1]
        self.forget(name)
        if outcome == "failed":
            members.failed[name] = None
        elif left_out:
            members.left_out[name] = None
        else:
            members.others.add(name)

    def forget(self, name: str) -> None:
        """A step has no outcome any more: it is to be made again."""
        if name in self._by_name:
            members = self._by_name[name][1]
            members.failed.pop(name, None)
            members.left_out.pop(name, None)
            members.others.discard(name)

    def is_borne(self, name: str) -> bool:
        """Whether a step did not succeed, and what gathers goes on without it, as far as is known by now."""
        if name not in self._by_name:
            return False
        members = self._by_name[name][1]
        return (name in members.failed or name in members.left_out) and members.bears

    def goes_on(self, child: str, without: str) -> bool:
        """Whether a step that waits for one which did not succeed goes on without it: it gathers, or is only after it."""
        return self.is_borne(without) and without not in self._exact[child]

    def leaves_out(self, child: str, without: str) -> bool:
        """Whether a step that can't go on without one that did not succeed is left out, like that, by what gathers."""
        if not self.is_borne(without) or child not in self._by_name:
            return False
        return self._by_name[child][1].budget.action == SKIP

    def advice(self, child: str, without: str) -> str:
        """What to add to the reason of a step that is skipped as it needs one which is missing."""
        base = self._without.get(child)
        if base is None or not self.is_borne(without):
            return ""
        return f"; with errors of its own, step {base} would be gathered without it"

    def fails(self, name: str, outcome: str) -> bool:
        """Whether, with the outcome of a step, it or the step whose member it is has failed."""
        if name in self._by_name:
            return self._by_name[name][1].is_failed
        return outcome == "failed"

    def errors(self) -> dict[str, MemberErrors]:
        """What became of the steps of which members did not succeed, by name."""
        return {
            name: MemberErrors(str(one.budget), one.count, tuple(one.failed), tuple(one.left_out), one.bears)
            for name, one in self._by_base.items()
            if one.missing
        }
