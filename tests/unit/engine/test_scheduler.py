"""Which step starts when, what becomes of failures and of a wish to stop: with an executor in virtual time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitml.core.model.events import Note, StepFinished, StepRetried, StepStarted
from gitml.core.model.protocols import Capabilities
from gitml.core.model.resources import Resources
from gitml.core.model.stop_signal import StopSignal
from gitml.core.records.record import Run
from gitml.engine.execution import local_kind, scheduler
from gitml.errors import InputError
from gitml.store.index.runs import newest_runs
from gitml.store.local.locks import Locks
from tests.kit.fake_executor import Ending, FakeExecutor
from tests.kit.projects.project import Project, outcomes, reasons


class Stage:
    """A project whose steps are performed by a FakeExecutor. A step's command is its name and its parents' outputs."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.project = Project(path / "r", {"README.md": ""})
        self.patch = patch
        self.fake: FakeExecutor | None = None
        self.prepare: Callable[[FakeExecutor], None] = lambda fake: None

    def write(self, text: str) -> None:
        """A step a line: ``name: parents | more YAML``."""
        lines = ["steps:"]
        for line in text.strip().splitlines():
            name, _, rest = line.strip().partition(":")
            parents, _, more = rest.partition("|")
            read = " ".join(f"${{{{ steps.{parent}.outputs.o }}}}" for parent in parents.split())
            lines.append(f'  {name}: {{run: "{name} {read} ${{{{ outputs.o }}}}", outputs: {{o: file}}')
            lines[-1] += f", {more.strip()}}}" if more.strip() else "}"
        # Programs that are not there would be no environment.
        names = [line.strip().partition(":")[0] for line in text.strip().splitlines()]
        lines = [line.replace('run: "', 'run: "./') for line in lines]
        self.project.repo.write({"pipelines/p.yaml": "\n".join(lines) + "\n", **dict.fromkeys(names, "#!/bin/sh\n")})
        for name in names:
            os.chmod(self.project.repo.file(name), 0o755)

    def run(
        self,
        endings: Callable[[str, int], Ending] | None = None,
        *,
        capacity: Resources = Resources(8, 0, 1 << 40),  # noqa: B008
        slots: int = 8,
        **request: Any,
    ) -> Run:
        """Runs it; `fake` is the executor it had."""

        def make(ws: Any, capacity: Resources, folder: str, jobs: int | None, *_: Any) -> FakeExecutor:
            self.fake = FakeExecutor(ws.store, capacity, jobs or slots, named(endings))
            self.prepare(self.fake)
            return self.fake

        self.patch.setattr(local_kind, "make_executor", make)
        self.patch.setattr(local_kind, "local_capacity", lambda *_: capacity)
        return self.project.run("p", **request)

    @property
    def log(self) -> str:
        """What the executor saw."""
        if self.fake is None:  # none was needed
            return ""
        return " ".join(entry.replace("./", "") for entry in self.fake.log)


def named(endings: Callable[[str, int], Ending] | None) -> Callable[[str, int], Ending] | None:
    return None if endings is None else lambda name, number: endings(name.removeprefix("./"), number)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


DIAMOND = "a:\nshort: a\nlong: a\nlast: short long\n"


def test_steps_run_once_those_before_them_have_run(stage: Stage) -> None:
    stage.write(DIAMOND)
    run = stage.run()
    assert run.status == "succeeded"
    assert stage.log == "+a -a +short +long -short -long +last -last"
    assert list(outcomes(run)) == ["a", "short", "long", "last"]
    assert stage.fake is not None
    assert stage.fake.closed


def test_of_the_ready_steps_the_one_with_the_longest_way_to_the_end_starts_first(stage: Stage) -> None:
    stage.write("quick:\nslow:\nhead:\ntail: head\n")
    seconds = {"quick": 1, "slow": 5, "head": 2, "tail": 9}
    durations: Callable[[str, int], Ending] = lambda name, _: Ending(seconds[name])  # noqa: E731
    stage.run(durations)
    stage.run(durations, slots=1, force=True)
    assert stage.log == "+head -head +tail -tail +slow -slow +quick -quick"


def test_steps_never_seen_count_a_second_each(stage: Stage) -> None:
    stage.write("one:\nhead:\nmiddle: head\ntail: middle\n")
    stage.run(slots=1)
    assert stage.log == "+head -head +middle -middle +one -one +tail -tail"


def test_what_does_not_fit_is_held_back_and_what_fits_beside_goes_first(stage: Stage) -> None:
    stage.write("""
        big: | resources: {cpus: 3}
        wide: | resources: {cpus: 4}
        small: | resources: {cpus: 1}
    """)
    stage.run(lambda name, _: Ending({"big": 3, "wide": 2, "small": 1}[name]), capacity=Resources(4, 0, 0))
    assert stage.log == "+big +small -small -big +wide -wide"


@pytest.mark.parametrize("asked", ["gpus: 1", "memory: 600MiB", "custom: {license: 1}", "cpus: 0.6, labels: {zone: a}"])
def test_every_kind_of_resource_is_held_within_what_there_is(stage: Stage, asked: str) -> None:
    stage.write("\n".join(f"s{n}: | resources: {{{asked}}}" for n in range(4)))
    stage.run(capacity=Resources(1 if "0.6" in asked else 9, 1, 1 << 30, {"zone": "a"}, {"license": 1.0}))
    assert stage.fake is not None
    assert stage.fake.most_at_once == 1


def test_no_more_run_at_once_than_jobs_say(stage: Stage) -> None:
    stage.write("\n".join(f"s{n}:" for n in range(6)))
    stage.run(jobs=2)
    assert stage.fake is not None
    assert stage.fake.most_at_once == 2


def test_what_a_machine_can_never_give_is_an_error_before_anything_runs_and_holds_nothing_up(stage: Stage) -> None:
    stage.write("a:\nb: a | resources: {gpus: 2}\n")
    with pytest.raises(InputError, match=r"step 'b' can't run: it asks for 2 gpus \(there are 0\)"):
        stage.run()
    assert stage.fake is None
    stage.write("a:\nb: a\n")
    assert stage.run().status == "succeeded"
    with stage.project.workspace() as ws:
        assert ws.locks.holder(Locks.GC) is None


def test_a_reused_step_needs_no_resources(stage: Stage) -> None:
    stage.write("a: | resources: {gpus: 1}\nb: a\n")
    stage.run(capacity=Resources(1, 1, 0))
    stage.write("a: | resources: {gpus: 1}\nb: a | retries: 1, code: [README.md]\n")
    assert outcomes(stage.run(capacity=Resources(1, 0, 0))) == {"a": "reused", "b": "executed"}


# -- failures


def test_a_failed_step_is_tried_again_as_often_as_it_says(stage: Stage) -> None:
    stage.write("a: | retries: 2\nb: a\n")
    run = stage.run(lambda name, number: Ending(number, "failed" if name == "a" and number < 3 else "done"))
    assert run.status == "succeeded"
    step = run.steps[0]
    assert [(attempt.id, attempt.outcome) for attempt in step.attempts] == [
        ("0-1", "failed"), ("0-2", "failed"), ("0-3", "done"),
    ]  # fmt: skip
    assert step.cost.wall == 1 + 2 + 3
    assert [e.name for e in stage.project.events if isinstance(e, StepRetried)] == ["a", "a"]
    assert [e.number for e in stage.project.events if isinstance(e, StepStarted) and e.name == "a"] == [1, 2, 3]


@pytest.mark.parametrize("outcome", ["failed", "timeout", "lost"])
def test_a_step_that_fails_every_time_fails_and_what_needs_it_is_skipped(stage: Stage, outcome: str) -> None:
    stage.write("a: | retries: 1\nb: a\nc: b\n")
    run = stage.run(lambda *_: Ending(1, outcome))
    assert (run.status, outcomes(run)) == ("failed", {"a": "failed", "b": "skipped", "c": "skipped"})
    assert reasons(run)["b"] == "needs a, which did not succeed"
    assert reasons(run)["c"] == "needs b, which did not succeed"
    assert len(run.steps[0].attempts) == 2
    assert run.steps[0].error == f"{outcome} as told"
    assert stage.project.plan("p").decisions["a"].kind == "run"


def test_after_a_failure_what_runs_is_let_finish_and_nothing_new_starts(stage: Stage) -> None:
    stage.write("bad:\nslow:\nnext: slow\nafter: bad\n")
    run = stage.run(lambda name, _: Ending({"bad": 1}.get(name, 5), "failed" if name == "bad" else "done"), slots=2)
    assert stage.log == "+bad +slow -bad -slow"
    assert outcomes(run) == {"bad": "failed", "slow": "executed", "next": "skipped", "after": "skipped"}


def test_to_keep_going_runs_all_that_does_not_need_the_failure(stage: Stage) -> None:
    stage.write("bad:\nslow:\nnext: slow\nafter: bad\nboth: next after\n")
    run = stage.run(lambda name, _: Ending(1, "failed" if name == "bad" else "done"), keep_going=True)
    assert outcomes(run) == {
        "bad": "failed", "slow": "executed", "next": "executed", "after": "skipped", "both": "skipped",
    }  # fmt: skip
    assert run.status == "failed"
    assert run.options == {"keep_going": True}


def test_what_succeeded_before_a_failure_is_reused_next_time(stage: Stage) -> None:
    stage.write("a:\nb: a\n")
    stage.run(lambda name, _: Ending(1, "failed" if name == "b" else "done"))
    assert outcomes(stage.run()) == {"a": "reused", "b": "executed"}


def test_a_step_whose_input_went_bad_is_not_tried_again_in_vain(stage: Stage) -> None:
    stage.write("a:\nb: a | retries: 3\n")
    run = stage.run(lambda name, _: Ending(1, "failed", b"", ("sha256:" + "0" * 64,)) if name == "b" else Ending())
    assert len(run.steps[1].attempts) == 1
    notes = [event.text for event in stage.project.events if isinstance(event, Note)]
    assert notes == ["stored object sha256:000000000000 was damaged; it was set aside and will be made again"]


def test_every_step_is_told_once_however_the_run_ends(stage: Stage) -> None:
    stage.write(DIAMOND)
    run = stage.run(lambda name, _: Ending(1, "failed" if name == "short" else "done"))
    told = [event.step.name for event in stage.project.events if isinstance(event, StepFinished)]
    assert sorted(told) == sorted(outcomes(run))


# -- stopping


def stop_at(stage: Stage, waits: dict[int, int]) -> StopSignal:
    """A signal that is at the level `waits` says from the executor's n-th wait on."""
    signal = StopSignal()
    count = 0

    def heed() -> None:
        nonlocal count
        count += 1
        for _ in range(waits.get(count, 0)):
            signal.ask()

    def prepare(fake: FakeExecutor) -> None:
        fake.before_wait = heed

    stage.prepare = prepare
    return signal


def test_to_stop_once_ends_what_runs_gently_and_records_what_was_done(stage: Stage) -> None:
    stage.write("a:\nb: a\nc: b\n")
    run = stage.run(lambda name, _: Ending(1), stop=stop_at(stage, {1: 1}))
    assert run.status == "cancelled"
    assert outcomes(run) == {"a": "executed", "b": "cancelled", "c": "cancelled"}
    assert outcomes(stage.run()) == {"a": "reused", "b": "executed", "c": "executed"}


def test_a_running_step_is_asked_to_end_at_the_first_wish_and_killed_at_the_second(stage: Stage) -> None:
    stage.write("a:\nb:\nc: b\n")
    endings: Callable[[str, int], Ending] = lambda name, _: Ending(1) if name == "a" else Ending(99, "stubborn")  # noqa: E731
    run = stage.run(endings, stop=stop_at(stage, {1: 1, 2: 1}))
    assert stage.log == "+b +a -a ?b !b -b"
    assert run.status == "cancelled"
    assert outcomes(run)["c"] == "cancelled"


def test_two_wishes_at_once_kill(stage: Stage) -> None:
    stage.write("a:\nb:\n")
    stage.run(lambda name, _: Ending({"a": 1}.get(name, 99)), stop=stop_at(stage, {1: 2}))
    assert "!b" in stage.log
    assert "?b" not in stage.log


def test_a_cancelled_step_is_not_tried_again(stage: Stage) -> None:
    stage.write("a:\nb: | retries: 5\n")
    run = stage.run(lambda name, _: Ending({"a": 1}.get(name, 99)), stop=stop_at(stage, {1: 1}))
    assert len(run.steps[1].attempts) == 1


def test_a_step_that_was_cancelled_from_elsewhere_is_no_success(stage: Stage) -> None:
    stage.write("a:\nb:\n")
    run = stage.run(lambda name, _: Ending(1, "cancelled" if name == "a" else "done"))
    assert run.status == "failed"
    assert outcomes(run)["a"] == "failed"


def test_a_wish_before_the_start_runs_nothing(stage: Stage) -> None:
    stage.write("a:\nb: a\n")
    signal = StopSignal()
    signal.ask()
    run = stage.run(stop=signal)
    assert outcomes(run) == {"a": "cancelled", "b": "cancelled"}
    assert stage.log == ""


# -- the same Action more than once


def test_of_two_steps_with_one_action_one_runs_and_the_other_reuses(stage: Stage) -> None:
    stage.project.repo.write(
        {"tool": "#!/bin/sh\n", "pipelines/p.yaml": "steps:\n  a: {run: './tool ${{ outputs.o }}', outputs: {o: file}}\n"
         "  b: {run: './tool ${{ outputs.o }}', outputs: {o: file}}\n"}
    )  # fmt: skip
    os.chmod(stage.project.repo.file("tool"), 0o755)
    run = stage.run()
    assert outcomes(run) == {"a": "executed", "b": "reused"}
    assert reasons(run)["b"] == f"same as in run {run.id[:8]}, made meanwhile"
    assert outcomes(stage.run(reuse=False)) == {"a": "executed", "b": "executed"}


def test_an_early_cutoff_stops_a_change(stage: Stage) -> None:
    stage.write("a:\nb: a\nc: b\n")
    stage.run()
    stage.write("a: | code: [README.md]\nb: a\nc: b\n")
    assert outcomes(stage.run()) == {"a": "executed", "b": "reused", "c": "reused"}
    assert stage.log == "+a -a"


def test_reuse_false_runs_every_time_and_only_what_gets_other_bytes_after_it(stage: Stage) -> None:
    stage.write("a: | reuse: false\nb: a\n")
    stage.run()
    assert outcomes(stage.run()) == {"a": "executed", "b": "reused"}
    assert reasons(stage.run(lambda *_: Ending(1, "done", b"other"))) == {
        "a": "the step says reuse: false",
        "b": "input o changed",
    }


def test_what_is_forced_runs_and_what_it_needs_does_not(stage: Stage) -> None:
    stage.write("a:\nb: a\nc: b\n")
    stage.run()
    assert outcomes(stage.run(wanted=("b",), force=True)) == {"a": "reused", "b": "executed"}
    assert reasons(stage.run(force=True)) == {"a": "forced", "b": "forced", "c": "forced"}


@pytest.mark.slow
def test_a_chain_of_a_thousand_steps_runs_and_is_reused(stage: Stage) -> None:
    stage.project.repo.write({"tool": "", "pipelines/p.yaml": "steps:\n  s0: {run: './tool 0 ${{ outputs.o }}', outputs: {o: file}}\n" + "".join(
        f"  s{n}: {{run: './tool {n} ${{{{ steps.s{n - 1}.outputs.o }}}} ${{{{ outputs.o }}}}', outputs: {{o: file}}}}\n"
        for n in range(1, 1000))})  # fmt: skip
    os.chmod(stage.project.repo.file("tool"), 0o755)
    assert set(outcomes(stage.run()).values()) == {"executed"}
    assert set(outcomes(stage.run()).values()) == {"reused"}


def test_an_error_on_the_way_leaves_no_lock_and_the_next_run_works(stage: Stage) -> None:
    stage.write("a:\nb: a\n")

    def explode(name: str, number: int) -> Ending:
        if name == "b":
            raise OSError("the executor broke")
        return Ending()

    with pytest.raises(OSError, match="broke"):
        stage.run(explode)
    with stage.project.workspace() as ws:
        assert ws.locks.holder(Locks.GC) is None
    run = stage.run()
    assert outcomes(run) == {"a": "reused", "b": "executed"}
    with stage.project.workspace() as ws:
        assert [row.status for row in newest_runs(ws.index, limit=None)] == ["succeeded", "failed"]


def shrinking(stage: Stage, to: float) -> Callable[[FakeExecutor], None]:
    """Once a step has ended badly there is only so much left, as when its machine was lost."""

    def prepare(fake: FakeExecutor) -> None:
        def before_wait() -> None:
            if "-./a" in fake.log:
                return
            (first, *_) = sorted(fake.running.items(), key=lambda item: item[1][0])
            if first[1][1].action.argv[0] == "./a":
                fake.whole = Resources(to, 0, 1 << 40)

        fake.before_wait = before_wait

    return prepare


def fails_once(name: str, number: int) -> Ending:
    return Ending(1.0, "lost") if (name, number) == ("a", 1) else Ending(5.0)


TWO_THAT_FILL_IT = "a: | resources: {cpus: 4}, retries: 1\nb: | resources: {cpus: 4}"


def test_a_step_is_tried_again_only_when_there_is_room_for_it(stage: Stage) -> None:
    stage.write(TWO_THAT_FILL_IT)
    stage.prepare = shrinking(stage, 4)
    run = stage.run(fails_once)
    assert stage.log == "+a +b -a -b +a -a"
    assert outcomes(run) == {"a": "executed", "b": "executed"}


def test_a_step_that_finds_no_room_any_more_failed_as_it_did_and_the_others_are_kept(stage: Stage) -> None:
    stage.write(TWO_THAT_FILL_IT.replace("b: | resources: {cpus: 4}", "b: | resources: {cpus: 2}\nc: a"))
    stage.prepare = shrinking(stage, 2)
    run = stage.run(fails_once)
    assert stage.log == "+a +b -a -b"
    assert outcomes(run) == {"a": "failed", "b": "executed", "c": "skipped"}
    (a, *_) = run.steps
    assert (a.error, [attempt.outcome for attempt in a.attempts]) == ("lost as told", ["lost"])
    assert stage.run(lambda name, number: Ending()).status == "succeeded", "its Action is free"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps run on a cluster, whose machines are not waited for."""
    monkeypatch.setattr(FakeExecutor, "capabilities", Capabilities(elastic=True))
    monkeypatch.setattr(scheduler, "PATIENCE", 0.0)


def test_steps_of_a_cluster_whose_machines_are_gone_failed_and_say_so(stage: Stage, elsewhere: None) -> None:
    """Also one that was never tried; the run comes to its end as others do."""
    stage.write(TWO_THAT_FILL_IT.replace("retries: 1", "retries: 5") + "\nc: b | resources: {cpus: 3}\nd: c")
    stage.prepare = shrinking(stage, 2)
    run = stage.run(fails_once, keep_going=True)
    assert outcomes(run) == {"a": "failed", "b": "executed", "c": "failed", "d": "skipped"}
    (a, _, c, _) = run.steps
    gone = "no machine that is left of target local can take it: it asks for"
    assert a.error == f"lost as told; {gone} 4 cpus"
    assert c.error == f"{gone} 3 cpus"
    notes = [event.text for event in stage.project.events if isinstance(event, Note)]
    assert notes == ["step 'a' waits up to 0 s: no machine that is left of target local can take it"]
    assert stage.run(lambda name, number: Ending()).status == "succeeded", "their Actions are free"


@pytest.mark.timeout(60)
def test_a_step_that_waits_for_one_that_finds_no_room_does_not_hold_up_the_end(stage: Stage, elsewhere: None) -> None:
    """Both have one Action: the second waits for what the first makes."""
    stage.write("a: | resources: {cpus: 4}, retries: 1, matrix: {x: [1, 2]}")
    stage.prepare = shrinking(stage, 2)
    run = stage.run(fails_once, keep_going=True)
    assert outcomes(run) == {"a[1]": "failed", "a[2]": "failed"}
    assert all("no machine that is left" in str(step.error) for step in run.steps)


def test_a_step_that_waits_to_be_tried_again_is_cancelled_with_the_others(stage: Stage) -> None:
    stage.write(TWO_THAT_FILL_IT)
    stop = StopSignal()
    shrink = shrinking(stage, 4)

    def prepare(fake: FakeExecutor) -> None:
        shrink(fake)
        before = fake.before_wait

        def stop_once_it_waits() -> None:
            before()
            if "-./a" in fake.log:
                stop.level = 1

        fake.before_wait = stop_once_it_waits

    stage.prepare = prepare
    run = stage.run(fails_once, stop=stop)
    assert run.status == "cancelled"
    assert outcomes(run)["a"] == "cancelled"
    assert [attempt.outcome for attempt in run.steps[0].attempts] == ["lost"]
