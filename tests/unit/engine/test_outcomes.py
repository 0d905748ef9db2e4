"""What becomes of steps when others end, well or not: which can be decided, which never will be."""

from __future__ import annotations

from gitml.core.model.result import ActionResult, Cost
from gitml.core.records.record import StepRun
from gitml.engine.execution.outcomes import Outcomes

RESULT = ActionResult((), {}, Cost(), "abcdef0123456789", 0.0)
DIAMOND = {"top": (), "left": ("top",), "right": ("top",), "end": ("left", "right"), "alone": ()}


class Told:
    """Outcomes of some steps, and what they told."""

    def __init__(self, parents: dict[str, tuple[str, ...]]) -> None:
        self.told: list[tuple[str, str]] = []
        self.all = Outcomes(parents, lambda _: RESULT, lambda step: self.told.append((step.name, step.outcome)))

    def settle(self, name: str, outcome: str = "executed") -> list[str]:
        return self.all.settle(StepRun(name, outcome, "", 0.0))


def test_a_step_can_be_decided_once_all_it_waits_for_was_done_well() -> None:
    steps = Told(DIAMOND)
    assert steps.all.first() == ["top", "alone"]
    assert steps.settle("top") == ["left", "right"]
    assert steps.settle("left", "reused") == []
    assert steps.settle("right") == ["end"]
    assert not steps.all.complete
    steps.settle("end")
    steps.settle("alone")
    assert steps.all.complete
    assert [step.name for step in steps.all.in_order()] == list(DIAMOND)
    assert steps.all.results["end"] == RESULT


def test_what_waits_for_a_failure_is_skipped_with_its_name_and_the_rest_is_not() -> None:
    steps = Told(DIAMOND)
    steps.settle("top")
    steps.settle("left", "failed")
    assert steps.told == [("top", "executed"), ("left", "failed"), ("end", "skipped")]
    assert steps.all.done["end"].reason == "needs left, which did not succeed"
    assert steps.settle("right") == []
    assert set(steps.all.results) == {"top", "right"}


def test_what_is_skipped_after_somebody_asked_to_stop_was_cancelled() -> None:
    steps = Told(DIAMOND)
    steps.all.stopped = True
    steps.settle("top", "cancelled")
    assert dict(steps.told) == dict.fromkeys(("top", "left", "right", "end"), "cancelled")


def test_each_outcome_is_told_once() -> None:
    steps = Told(DIAMOND)
    steps.all.skip("left")
    steps.all.skip("left")
    steps.all.skip("top")
    assert sorted(steps.told) == sorted((name, "skipped") for name in ("left", "end", "top", "right"))


def test_a_step_whose_outputs_are_lost_is_made_again_before_those_that_need_it() -> None:
    steps = Told({"top": (), "left": ("top",), "right": ("top",), "both": ("top", "left")})
    steps.settle("top", "reused")
    steps.settle("left")
    assert steps.all.take_back("both", ["top", "top"]) == ["top"]
    assert "top" not in steps.all.done
    assert "top" not in steps.all.results
    assert steps.settle("top") == ["both"], "left was done and right had come to its turn already"


def test_a_child_that_had_not_come_to_its_turn_waits_anew() -> None:
    steps = Told({"top": (), "side": (), "now": ("top",), "later": ("top", "side")})
    steps.settle("top", "reused")
    steps.all.take_back("now", ["top"])
    assert steps.settle("side") == [], "top is missing again"
    assert steps.settle("top") == ["now", "later"]
