"""Members of a matrix that fail within the budget of their step: what goes on without them, what is left out, what fails."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gitml.core.language.expand import build_graph
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.result import NOT_MADE, ActionResult, Cost
from gitml.core.records.member_errors import MemberErrors
from gitml.core.records.record import StepRun
from gitml.engine.execution.member_failures import MemberFailures
from gitml.engine.execution.outcomes import Outcomes

RESULT = ActionResult((), {}, Cost(), "abcdef0123456789", 0.0)
PIPELINE = """\
steps:
  train: {matrix: {m: [a, b, c]}, run: 'x ${{ outputs.o }}', outputs: {o: file}%s}
  eval: {matrix: {m: [a, b, c]}, run: 'x ${{ steps.train[matrix].outputs.o }} ${{ outputs.o }}', outputs: {o: file}%s}
  best: {run: 'x ${{ steps.eval[*].outputs.o }} ${{ outputs.o }}', outputs: {o: file}}
  all: {run: 'x ${{ steps.train[*].outputs.o }} ${{ outputs.o }}', outputs: {o: file}}
  both: {run: 'x ${{ steps.train[*].outputs.o }} ${{ steps.train[b].outputs.o }} ${{ outputs.o }}', outputs: {o: file}}
  later: {run: x, after: train}
  end: {run: 'x ${{ steps.all.outputs.o }}'}
"""


class Members:
    """The outcomes of a run of PIPELINE with two budgets, as they come."""

    def __init__(self, train: str, evaluation: str = "") -> None:
        text = PIPELINE % tuple(f", errors: {budget}" if budget else "" for budget in (train, evaluation))
        graph = build_graph(parse_pipeline(text.encode(), "pipelines/p.yaml"), {})
        self.failures = MemberFailures(graph.steps.values())
        self.failed = False
        parents = {name: step.parents for name, step in graph.steps.items()}
        self.all = Outcomes(parents, lambda _: RESULT, self.report, self.failures)

    def report(self, step: StepRun) -> None:
        self.failed = self.failed or self.failures.fails(step.name, step.outcome)

    def settle(self, name: str, outcome: str = "executed") -> list[str]:
        return self.all.settle(StepRun(name, outcome, "", 0.0))

    def train(self, *failing: str) -> list[str]:
        return [child for m in "abc" for child in self.settle(f"train[{m}]", "failed" if m in failing else "executed")]

    def finish(self, names: Sequence[str]) -> None:
        """All that can be done is."""
        todo = list(names)
        while todo:
            todo += self.settle(todo.pop(0))

    def outcome(self, *names: str) -> list[str]:
        return [self.all.done[name].outcome for name in names]


def test_what_gathers_and_what_is_only_after_it_goes_on_and_one_that_needs_the_member_does_not() -> None:
    steps = Members("1")
    arrived = steps.train("b")
    assert arrived == ["eval[a]", "eval[c]", "all", "later"]
    assert steps.all.results["train[b]"] is NOT_MADE
    assert steps.outcome("eval[b]", "both", "best") == ["skipped"] * 3, "eval has no budget, so best needs each"
    reason = "needs train[b], which did not succeed; with errors of its own, step eval would be gathered without it"
    assert steps.all.done["eval[b]"].reason == reason
    assert steps.all.done["both"].reason == "needs train[b], which did not succeed"
    assert not steps.failed, "nothing ends before its time"
    steps.finish(arrived)
    assert steps.all.complete
    assert not steps.all.succeeded(), "what was to be made, and was not, is not borne"


def test_a_member_that_needs_one_which_failed_is_left_out_where_its_step_has_a_budget_and_uses_none_of_it() -> None:
    steps = Members("1", "1")
    arrived = steps.train("b")
    assert steps.outcome("eval[b]") == ["skipped"]
    assert steps.settle("eval[a]", "failed") == []
    assert steps.settle("eval[c]") == ["best"]
    assert not steps.failed
    steps.finish([name for name in (*arrived, "best") if name not in steps.all.done])
    assert steps.failures.errors() == {
        "train": MemberErrors("1", 3, ("train[b]",), (), borne=True),
        "eval": MemberErrors("1", 3, ("eval[a]",), ("eval[b]",), borne=True),
    }
    assert {name for name, step in steps.all.done.items() if step.outcome == "skipped"} == {"eval[b]", "both"}
    assert not steps.all.succeeded(), "both needs train[b]"


@pytest.mark.parametrize(("budget", "failing"), [("1", "bc"), ("10%", "b"), ("", "b"), ("0", "b")])
def test_more_failures_than_are_borne_fail_the_run_at_once(budget: str, failing: str) -> None:
    steps = Members(budget, "3")
    for m in failing:
        assert not steps.failed
        steps.settle(f"train[{m}]", "failed")
    assert steps.failed
    assert steps.outcome("all", "later", "best", "end") == ["skipped"] * 4
    assert steps.settle("train[a]") == ["eval[a]"]


def test_where_none_succeeds_nothing_is_left_to_gather() -> None:
    steps = Members("100%", "3")
    assert steps.train("a", "b", "c") == []
    assert steps.failed
    assert steps.outcome("all", "best", "later") == ["skipped"] * 3
    assert steps.failures.errors()["train"].borne is False
    assert (
        steps.failures.errors()["train"].words() == "none of 3 succeeded (3 failed), so that nothing is left to gather"
    )


def test_members_that_are_left_out_and_those_that_failed_leave_nothing_together() -> None:
    steps = Members("2", "3")
    steps.train("a", "b")
    assert steps.settle("eval[c]", "failed") == []
    assert steps.failed
    assert steps.outcome("best", "eval[a]") == ["skipped", "skipped"]
    words = steps.failures.errors()["eval"].words()
    assert words == "none of 3 succeeded (1 failed and 2 left out), so that nothing is left to gather"


@pytest.mark.parametrize("last", ["executed", "reused", "failed"])
def test_with_action_fail_the_other_members_are_made_and_then_the_step_fails(last: str) -> None:
    steps = Members("{items: 2, action: fail}", "2")
    assert steps.settle("train[b]", "failed") == []
    assert steps.outcome("all", "later", "eval[b]", "best") == ["skipped"] * 4
    assert not steps.failed
    assert steps.settle("train[a]") == ["eval[a]"]
    assert not steps.failed
    steps.settle("train[c]", last)
    assert steps.failed
    assert steps.failures.errors()["train"].borne is False


def test_what_was_cancelled_is_no_failure_that_is_borne() -> None:
    steps = Members("2", "2")
    steps.all.stopped = True
    assert steps.train() == ["eval[a]", "eval[b]", "eval[c]", "all", "both", "later"]
    steps = Members("2", "2")
    steps.all.stopped = True
    steps.settle("train[a]", "cancelled")
    assert steps.outcome("eval[a]", "all", "best") == ["cancelled"] * 3
    assert steps.failures.errors() == {}
    assert not steps.all.succeeded()


def test_a_member_that_is_made_again_counts_once() -> None:
    steps = Members("1", "1")
    steps.settle("train[a]", "reused")
    steps.settle("train[b]", "failed")
    steps.all.take_back("all", ["train[a]"])
    assert steps.settle("train[c]") == ["eval[c]"], "what gathers waits for train[a]"
    assert sorted(steps.settle("train[a]")) == ["all", "later"]
    steps = Members("1", "1")
    steps.settle("train[a]", "reused")
    steps.all.take_back("all", ["train[a]"])
    steps.settle("train[a]", "failed")
    assert not steps.failed
    assert steps.failures.errors()["train"].failed == ("train[a]",)


def test_what_was_within_the_budget_is_said_with_its_numbers() -> None:
    assert MemberErrors("10%", 4000, ("a",) * 2, (), borne=True).words() == "2 of 4,000 failed, borne by errors: 10%"
    assert (
        MemberErrors("3", 9, ("a",), ("b",), borne=True).words() == "1 of 9 failed and 1 left out, borne by errors: 3"
    )
    assert MemberErrors("3", 9, (), ("b",), borne=True).words() == "1 of 9 left out, borne by errors: 3"
    assert MemberErrors("1", 9, ("a", "b"), (), borne=False).words() == "2 of 9 failed, not borne by errors: 1"
