"""`decide`: what becomes of a step, in every case, and the reason it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from gitml.core.model.action import Action, ActionInput, ActionOutput, CodeFile
from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.graph import Binding, Graph, GraphStep
from gitml.core.model.protocols import Failure
from gitml.core.model.result import ActionResult, Cost, OutputRef
from gitml.core.model.step_settings import StepSettings
from gitml.core.planner.plan import (
    BLOCKED,
    NEEDED,
    NOT_NEEDED,
    PERHAPS,
    REUSE,
    RUN,
    UNKNOWN,
    ActionParts,
    Decision,
    PartProblem,
    PendingInput,
    Plan,
    Policy,
    action_of,
    decide,
    last_steps,
    needed_by,
)

STEP = GraphStep(
    "train[svm]",
    "train",
    "svm",
    ("python", "train.py", "3"),
    None,
    (("n", 3),),
    (Binding("raw", "data", "data"), Binding("o", ".gitml/in/0/o", None, "make", "o")),
    (ActionOutput("model", ".gitml/out/model", "file"), ActionOutput("scores", ".gitml/out/scores", "metrics")),
    (("A", "1"),),
    (),
    ("make",),
)
RAW = ActionInput("raw", "data", "directory", "git:40000:" + "1" * 40)
MADE = ActionInput("o", ".gitml/in/0/o", "file", digest_of(b"o"))
CODE = (CodeFile("train.py", "100644", "2" * 40),)
PARTS = ActionParts((RAW, MADE), CODE, digest_of(b"env"))
ACTION = action_of(STEP, PARTS)
RESULT = ActionResult(
    (OutputRef("model", "file", digest_of(b"m"), 1), OutputRef("scores", "metrics", digest_of(b"s"), 1)),
    {},
    Cost(1.0),
    "abcdef0123456789",
    0.0,
)


class Cache:
    """An ActionCache of one result and one Action performed before."""

    def __init__(
        self, result: ActionResult | None = None, before: Action | None = None, failed: Action | None = None
    ) -> None:
        self.known, self.before, self.failed = result, before, failed
        self.asked: list[tuple[str, ...]] = []

    def result(self, key: Digest) -> ActionResult | None:
        self.asked.append((key,))
        return self.known if key == ACTION.key() else None

    def recent_actions(self, pipeline: str, step: str) -> Sequence[Action]:
        return [self.before] if self.before else []

    def failure(self, pipeline: str, step: str) -> Failure | None:
        return Failure(self.failed.key(), "fedcba9876543210") if self.failed else None

    def action(self, key: Digest) -> Action | None:
        return self.failed if self.failed and self.failed.params else None

    def environment(self, digest: Digest) -> bytes | None:
        return b'{"python": "3.12.0"}' if digest == digest_of(b"old") else None

    def module(self, content: str) -> Mapping[str, str] | None:
        return {"name": "fit", "version": "1.0.0"} if content == "git:old" else None


def decided(
    cache: Cache,
    parts: ActionParts = PARTS,
    step: GraphStep = STEP,
    policy: Policy | None = None,
    gone: str = "",
    *,
    foresee: bool = False,
    need: str = NEEDED,
) -> Decision:
    given = [policy] if policy else []
    return decide(step, parts, cache, lambda output: output.name != gone, "p", *given, foresee=foresee, need=need)


def test_a_known_result_is_reused() -> None:
    decision = decided(Cache(RESULT))
    assert decision == Decision(REUSE, "same as in run abcdef01", ACTION, ACTION.key(), RESULT)


def test_an_environment_that_differs_is_told_by_what_differs_in_it() -> None:
    before = ACTION._replace(environment=digest_of(b"old"))
    assert decided(
        Cache(before=before), PARTS._replace(described={ACTION.environment: {"python": "3.13.0"}})
    ).reason == ("environment python: 3.12.0 -> 3.13.0")
    unknown = ACTION._replace(environment=digest_of(b"older"))
    assert decided(
        Cache(before=unknown), PARTS._replace(described={ACTION.environment: {"python": "3.13.0"}})
    ).reason == (f"environment: {unknown.environment[7:19]} -> {ACTION.environment[7:19]}")


def test_another_version_of_a_module_is_told_by_its_name() -> None:
    step = STEP._replace(module="new")
    parts = PARTS._replace(described={"git:new": {"name": "fit", "version": "1.1.0"}})
    before = ACTION._replace(module="git:old")
    assert decided(Cache(before=before), parts, step).reason == "module fit: 1.0.0 -> 1.1.0"
    assert decided(Cache(before=before._replace(module="git:lost")), parts, step).reason == "module: lost -> fit@1.1.0"
    other = PARTS._replace(described={"git:new": {"name": "tree", "version": "1.0.0"}})
    assert decided(Cache(before=before), other, step).reason == "module: fit@1.0.0 -> tree@1.0.0"


def test_what_was_never_run_runs() -> None:
    assert decided(Cache()) == Decision(RUN, "never ran", ACTION, ACTION.key())


def test_what_failed_is_told_so_and_what_changed_since() -> None:
    assert decided(Cache(failed=ACTION)).reason == "failed in run fedcba98"
    assert decided(Cache(failed=ACTION, before=ACTION._replace(params=(("n", 2),)))).reason == "failed in run fedcba98"
    other = ACTION._replace(params=(("n", 2),), argv=("python", "train.py", "2"))
    assert decided(Cache(failed=other)).reason == "param n: 2 -> 3 since it failed in run fedcba98"
    assert decided(Cache(failed=other, before=ACTION._replace(params=(("n", 4),)))).reason.startswith("param n: 4 -> 3")
    unknown = ACTION._replace(params=())
    assert decided(Cache(failed=unknown)).reason == "not tried again since it failed in run fedcba98"


def test_what_ran_otherwise_runs_with_the_difference_as_reason() -> None:
    before = ACTION._replace(params=(("n", 2),), argv=("python", "train.py", "2"))
    assert decided(Cache(None, before)).reason == "param n: 2 -> 3"


def test_what_ran_just_so_but_whose_result_is_gone_runs_and_says_so() -> None:
    assert decided(Cache(None, ACTION)) == Decision(RUN, "its result is not known any more", ACTION, ACTION.key())


@pytest.mark.parametrize("name", ["model", "scores"])
def test_a_result_of_which_an_output_is_gone_counts_for_nothing(name: str) -> None:
    decision = decided(Cache(RESULT), gone=name)
    why = f"output {name} of run abcdef01 is not here"
    assert decision == Decision(RUN, why, ACTION, ACTION.key(), absent=(name,))


@pytest.mark.parametrize("name", ["model", "scores"])
def test_a_result_of_which_an_output_is_gone_does_where_nothing_needs_it(name: str) -> None:
    decision = decided(Cache(RESULT), gone=name, need=NOT_NEEDED)
    assert decision == Decision(REUSE, "same as in run abcdef01", ACTION, ACTION.key(), RESULT, absent=(name,))
    perhaps = decided(Cache(RESULT), gone=name, need=PERHAPS)
    why = f"output {name} of run abcdef01 is not here: runs if a step needs it"
    assert perhaps == Decision(UNKNOWN, why, ACTION, ACTION.key(), RESULT, absent=(name,))


def chain(*edges: tuple[str, str, str]) -> dict[str, GraphStep]:
    """Steps that take in what others make: (who takes it, from whom, which output)."""
    names = dict.fromkeys(name for taker, maker, _ in edges for name in (maker, taker))
    return {
        name: STEP._replace(
            name=name,
            base=name,
            inputs=tuple(Binding("i", "i", None, maker, port) for taker, maker, port in edges if taker == name),
        )
        for name in names
    }


GONE = Decision(REUSE, "", result=RESULT, absent=("model",))


def test_what_a_step_that_runs_takes_in_is_needed_and_what_that_takes_in_too() -> None:
    steps = chain(("b", "a", "model"), ("c", "b", "model"), ("d", "a", "model"))
    run = Decision(RUN, "")
    assert needed_by(steps, {"a": GONE, "b": GONE, "c": run, "d": GONE}, RUN) == {"a", "b"}
    assert needed_by(steps, {"a": GONE, "b": Decision(REUSE, ""), "c": run, "d": GONE}, RUN) == set()
    assert needed_by(steps, {"a": GONE, "b": GONE, "c": GONE, "d": run}, RUN) == {"a"}
    assert needed_by(steps, {"a": GONE, "b": GONE, "c": GONE, "d": GONE}, RUN) == set()


def test_only_the_outputs_that_are_taken_in_are_needed() -> None:
    steps = chain(("b", "a", "scores"))
    assert needed_by(steps, {"a": GONE, "b": Decision(RUN, "")}, RUN) == set()


def test_a_chain_of_any_length_is_followed() -> None:
    steps = chain(*((f"s{n + 1}", f"s{n}", "model") for n in range(5000)))
    decisions = dict.fromkeys(steps, GONE) | {"s5000": Decision(UNKNOWN, "")}
    assert needed_by(steps, decisions, UNKNOWN) == set(steps) - {"s5000"}


def test_the_last_steps_are_those_whose_outputs_no_other_takes_in() -> None:
    steps = chain(("b", "a", "model"), ("c", "a", "scores"))
    assert last_steps(steps, ["a", "b", "c"]) == {"b", "c"}
    assert last_steps(steps, ["a"]) == {"a"}


def test_an_input_not_made_yet_leaves_it_unknown() -> None:
    cache = Cache(RESULT, before=ACTION)
    waiting = PARTS._replace(inputs=(RAW, PendingInput("make", "o")))
    for foresee in (False, True):
        decision = decided(cache, waiting, foresee=foresee)
        assert decision == Decision(UNKNOWN, "waits for make: runs unless the same bytes come out")
    assert cache.asked == []
    assert decided(Cache(), waiting).reason == decision.reason, (
        "what has changed already is found out only when asked for"
    )


def test_a_step_that_waits_and_would_not_be_reused_for_the_same_bytes_says_what_else_differs() -> None:
    waiting = PARTS._replace(inputs=(RAW, PendingInput("make", "o")))

    def reason(cache: Cache) -> str:
        decision = decided(cache, waiting, foresee=True)
        assert decision.kind == UNKNOWN
        return decision.reason

    other = ACTION._replace(params=(("n", 2),), argv=("python", "train.py", "2"))
    assert reason(Cache()) == "waits for make, and never ran"
    assert reason(Cache(before=other)) == "waits for make, and param n: 2 -> 3"
    code = (CodeFile("train.py", "100644", "3" * 40),)
    assert reason(Cache(before=ACTION._replace(code=code))) == "waits for make, and code train.py changed"
    assert reason(Cache(before=ACTION._replace(inputs=(RAW,)))) == "waits for make, and input o added"
    assert reason(Cache(failed=ACTION)) == "waits for make, and failed in run fedcba98"
    assert reason(Cache(failed=other)) == "waits for make, and param n: 2 -> 3 since it failed in run fedcba98"


def test_several_that_are_waited_for_are_named_or_counted() -> None:
    def reason(*names: str) -> str:
        inputs = tuple(Binding(name, f".gitml/in/{name}", None, name, "o") for name in names)
        parts = PARTS._replace(inputs=tuple(PendingInput(name, "o") for name in names))
        return decided(Cache(), parts, STEP._replace(inputs=inputs), foresee=True).reason

    assert reason("a", "b", "a") == "waits for a, b, and never ran"
    assert reason("a", "b", "c", "d") == "waits for a, b and 2 more, and never ran"


@pytest.mark.parametrize(
    "parts",
    [
        PARTS._replace(inputs=(PartProblem("no input", "commit it"), MADE)),
        PARTS._replace(inputs=(PendingInput("make", "o"), PartProblem("no input", "commit it"))),
        PARTS._replace(code=PartProblem("no input", "commit it")),
        PARTS._replace(environment=PartProblem("no input", "commit it")),
    ],
)
@pytest.mark.parametrize("policy", [Policy(), Policy(reuse=False), Policy(frozenset([STEP.name]))])
def test_a_part_that_can_t_be_had_blocks_it_whatever_else(parts: ActionParts, policy: Policy) -> None:
    decision = decided(Cache(RESULT), parts, policy=policy)
    assert decision == Decision(BLOCKED, "no input", hint="commit it")


@pytest.mark.parametrize(
    ("step", "policy", "reason"),
    [
        (STEP, Policy(frozenset([STEP.name])), "forced"),
        (STEP, Policy(reuse=False), "reuse is off for this run"),
        (STEP._replace(settings=StepSettings(reuse=False)), Policy(), "the step says reuse: false"),
    ],
)
def test_what_must_run_runs_though_its_result_is_known_or_its_inputs_are_not(
    step: GraphStep, policy: Policy, reason: str
) -> None:
    assert decided(Cache(RESULT), step=step, policy=policy) == Decision(RUN, reason, ACTION, ACTION.key())
    pending = PARTS._replace(inputs=(RAW, PendingInput("make", "o")))
    assert decided(Cache(RESULT), pending, step, policy) == Decision(RUN, reason)


def test_only_the_named_step_is_forced() -> None:
    assert decided(Cache(RESULT), policy=Policy(frozenset(["other", "train[forest]"]))).kind == REUSE
    assert decided(Cache(RESULT), policy=Policy(frozenset([STEP.base]))).kind == RUN  # all its combinations


def test_deciding_twice_gives_the_same() -> None:
    assert decided(Cache(RESULT)) == decided(Cache(RESULT))
    assert decided(Cache(None, ACTION)) == decided(Cache(None, ACTION))


def test_a_plan_tells_what_is_blocked_and_whether_anything_runs() -> None:
    reuse, run, blocked = Decision(REUSE, ""), Decision(RUN, ""), Decision(BLOCKED, "")
    graph = Graph("p", "pipelines/p.yaml", "p", {}, {})
    assert not Plan({"a": reuse}, graph).runs_something()
    assert Plan({"a": reuse, "b": run}, graph).runs_something()
    assert Plan({"a": reuse, "b": blocked}, graph).blocked() == {"b": blocked}
