"""Runs in which members of a matrix fail and that is borne, from the file to the record and the next run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gitml.core.model.events import Event, StepStarted
from gitml.core.model.stop_signal import StopSignal
from gitml.core.records.member_errors import MemberErrors
from gitml.core.records.record import Run, decode_run, encode_run, run_as_json
from gitml.records.runs import read_run
from tests.kit.projects.project import Project, outcomes, reasons

TRAIN = """\
steps:
  train:
    matrix: {m: [a, b, c, d]%s}
    errors: %s
    shell: sh
    run: |
      %s
      echo ${{ matrix.m }} > ${{ outputs.o }}
    outputs: {o: file%s}
"""
SUM = "  sum: {run: 'sort -o ${{ outputs.o }} ${{ steps.train[*].outputs.o }}', outputs: {o: file}}\n"
SCRIPT = """\
  script: {shell: sh, run: 'cat ${{ steps.train[*].outputs.o }} > ${{ outputs.o }}', outputs: {o: file}}
"""
SVM = "  one: {run: 'cp ${{ steps.train[b].outputs.o }} ${{ outputs.o }}', outputs: {o: file}}\n"
CHAIN = """\
  eval:
    matrix: {m: [a, b, c, d]}
    errors: 25%
    run: cp ${{ steps.train[matrix].outputs.o }} ${{ outputs.o }}
    outputs: {o: file}
  best: {run: 'sort -u -o ${{ outputs.o }} ${{ steps.eval[*].outputs.o }}', outputs: {o: file}}
  last: {run: 'sort -o ${{ outputs.o }} ${{ steps.best.outputs.o }} ${{ steps.sum.outputs.o }}', outputs: {o: file}}
"""


def unless_there(path: Path, *labels: str) -> str:
    """A line of a script that fails for some members until a file is there."""
    tests = " && ".join(f"test ${{{{ matrix.m }}}} != {label}" for label in labels)
    return f"{{ {tests}; }} || test -e {path} || exit 3"


def train(errors: str = "25%", line: str = "", output: str = "", matrix: str = "") -> str:
    return TRAIN % (matrix, errors, line or "true", output)


def project(tmp_path: Path, text: str) -> Project:
    return Project(tmp_path / "r", {"pipelines/p.yaml": text})


def failed(run: Run) -> set[str]:
    return {name for name, outcome in outcomes(run).items() if outcome == "failed"}


def keys(run: Run) -> Mapping[str, str | None]:
    return {step.name: step.key for step in run.steps}


def test_the_run_goes_on_with_what_succeeded_and_the_next_makes_what_failed_and_what_gathers(tmp_path: Path) -> None:
    there = tmp_path / "there"
    made = project(tmp_path, train(line=unless_there(there, "b")) + SUM + SCRIPT + CHAIN)
    run = made.run()
    assert run.status == "succeeded"
    assert failed(run) == {"train[b]"}
    assert outcomes(run)["eval[b]"] == "skipped"
    assert [made.output(step) for name in ("sum", "script", "best") if (step := run.step(name))] == [b"a\nc\nd\n"] * 3
    assert reasons(run)["sum"] == "never ran; without train[b], which did not succeed"
    assert reasons(run)["best"] == "never ran; without eval[b], which did not succeed"
    assert run.errors == {
        "train": MemberErrors("25%", 4, ("train[b]",), (), borne=True),
        "eval": MemberErrors("25%", 4, (), ("eval[b]",), borne=True),
    }
    with made.workspace() as ws:
        assert encode_run(read_run(ws.index, ws.objects, run.id)) == encode_run(run)

    plan = made.plan()
    assert {name: d.kind for name, d in plan.decisions.items() if d.kind != "reuse"} == {
        "train[b]": "run",
        **dict.fromkeys(("sum", "script", "eval[b]", "best", "last"), "unknown"),
    }
    assert plan.decisions["sum"].reason == "waits for train[b], and input o of train[b] added"
    again = made.run()
    assert (again.status, failed(again)) == ("succeeded", {"train[b]"})
    assert {name for name, outcome in outcomes(again).items() if outcome == "executed"} == set()
    assert reasons(again)["sum"] == f"same as in run {run.id[:8]}; without train[b], which did not succeed"

    there.touch()
    whole = made.run()
    assert (whole.status, dict(whole.errors)) == ("succeeded", {})
    assert {name for name, outcome in outcomes(whole).items() if outcome == "executed"} == {
        "train[b]", "eval[b]", "sum", "script", "best", "last",
    }  # fmt: skip
    assert reasons(whole)["sum"] == "input o of train[b] added"
    assert reasons(whole)["script"] == "input o of train[b] added"
    assert set(outcomes(made.run()).values()) == {"reused"}


def test_what_gathers_has_the_key_that_it_has_where_the_member_is_excluded(tmp_path: Path) -> None:
    text = train(line=unless_there(tmp_path / "never", "b")) + SUM
    made = project(tmp_path, text)
    one = made.run()
    made.repo.commit("without it", {"pipelines/p.yaml": text.replace("d]", "d], exclude: [{m: b}]")})
    two = made.run()
    assert keys(two)["sum"] == keys(one)["sum"]
    assert set(outcomes(two).values()) == {"reused"}
    made.repo.commit("no budget", {"pipelines/p.yaml": text.replace("25%", "0")})
    assert outcomes(made.run(keep_going=True))["train[a]"] == "reused", "errors is in no key"


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_step_that_needs_the_member_is_skipped_so_that_the_run_fails_but_ends_nothing(
    tmp_path: Path, keep_going: bool
) -> None:
    made = project(tmp_path, train(line=unless_there(tmp_path / "never", "b")) + SVM + SUM)
    run = made.run(jobs=1, keep_going=keep_going)
    assert run.status == "failed"
    assert {name for name, outcome in outcomes(run).items() if outcome == "executed"} == {
        "train[a]", "train[c]", "train[d]", "sum",
    }  # fmt: skip
    assert run.step("one") is not None
    assert reasons(run)["one"] == "needs train[b], which did not succeed"
    assert run.errors["train"].borne


def test_beyond_the_budget_the_run_ends_as_after_any_failure_and_keeps_what_was_running(tmp_path: Path) -> None:
    """a and b fail once c runs, which goes on until both have."""
    signs = tmp_path / "signs"
    signs.mkdir()
    line = f"""case ${{{{ matrix.m }}}} in
      a|b) until test -e {signs}/c; do sleep 0.01; done; exit 3;;
      c) touch {signs}/c; until test -e {signs}/over; do sleep 0.01; done;;
      d) until test -e {signs}/over; do sleep 0.01; done;;
      esac"""
    made = project(tmp_path, train("1", line) + SUM + "  other: {run: 'true', after: sum}\n")

    def over(event: Event) -> None:
        made.events.append(event)
        names = [one.step.name for one in made.events if type(one).__name__ == "StepFinished"]  # type: ignore[union-attr]
        if {"train[a]", "train[b]"} <= set(names):
            (signs / "over").touch()

    run = run_with(made, over, jobs=3)
    assert run.status == "failed"
    assert failed(run) == {"train[a]", "train[b]"}
    assert outcomes(run)["train[c]"] == "executed"
    assert outcomes(run)["train[d]"] in ("executed", "skipped"), "it began if there was room before both had failed"
    assert {outcomes(run)[name] for name in ("sum", "other")} == {"skipped"}
    assert run.errors["train"].words() == "2 of 4 failed, not borne by errors: 1"


def run_with(made: Project, emit: object, stop: StopSignal | None = None, **request: object) -> Run:
    from gitml.engine.planning.load import load
    from gitml.engine.planning.request import RunRequest
    from gitml.engine.run import run_pipeline

    with made.workspace() as ws:
        loaded = load(ws, None, None)
        return run_pipeline(ws, loaded, RunRequest(**request), emit, stop or StopSignal())  # type: ignore[arg-type]


@pytest.mark.parametrize("keep_going", [False, True])
def test_with_action_fail_all_members_are_made_and_the_step_fails(tmp_path: Path, keep_going: bool) -> None:
    text = train("{percent: 50%, action: fail}", unless_there(tmp_path / "never", "a", "b")) + SUM
    made = project(tmp_path, text)
    run = made.run(jobs=1, keep_going=keep_going)
    assert run.status == "failed"
    assert list(outcomes(run).values()) == ["failed", "failed", "executed", "executed", "skipped"]
    assert run.errors["train"].words() == "2 of 4 failed, not borne by errors: 50%, action: fail"


def test_where_all_members_fail_nothing_gathers_and_the_run_fails(tmp_path: Path) -> None:
    made = project(tmp_path, train("100%", "exit 3") + SUM + CHAIN)
    run = made.run()
    assert run.status == "failed"
    assert {outcomes(run)[name] for name in ("sum", "best", "last", "eval[a]")} == {"skipped"}
    assert run.errors["train"].words() == "none of 4 succeeded (4 failed), so that nothing is left to gather"


def test_a_part_of_a_member_bears_nothing_and_only_members_of_the_run_count(tmp_path: Path) -> None:
    made = project(tmp_path, train("25%", unless_there(tmp_path / "never", "b")) + SUM)
    assert made.run(wanted=("sum",)).status == "succeeded"
    run = made.run(wanted=("train[a]", "train[b]"))
    assert run.status == "failed"
    assert run.errors["train"].members == 2
    made.repo.commit("three", {"pipelines/p.yaml": train("25%", "exit 3").replace(", d]", "]") + SUM})
    assert made.run(keep_going=True).errors["train"].borne is False


def test_retries_come_first_and_a_member_that_succeeds_then_is_no_failure(tmp_path: Path) -> None:
    line = f"test ${{{{ matrix.m }}}} != b || {{ echo x >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) = 2; }} || exit 3"
    text = train("25%", line).replace("    shell", "    retries: 1\n    shell") + SUM
    made = project(tmp_path, text)
    run = made.run()
    assert (run.status, failed(run), dict(run.errors)) == ("succeeded", set(), {})
    (tmp_path / "tries").write_text("1\n2\n3\n")
    run = made.run(reuse=False)
    step = run.step("train[b]")
    assert step is not None
    assert (run.status, len(step.attempts)) == ("succeeded", 2)


def test_an_optional_output_that_is_left_out_and_a_member_that_failed_are_both_absent(tmp_path: Path) -> None:
    """c leaves its output out, b fails; where the input is not optional, what c left out is a mistake as ever."""
    line = "case ${{ matrix.m }} in b) exit 3;; c) exit 0;; esac"
    gather = "  sum: {run: 'sort -o ${{ outputs.o }} ${{ inputs.all }}', outputs: {o: file}, inputs: {all: {from: '${{ steps.train[*].outputs.o }}', optional: true}}}\n"
    text = train("25%", line, output=", optional: true").replace(
        "{o: file, optional: true}", "{o: {type: file, optional: true}}"
    )
    made = project(tmp_path, text + gather)
    run = made.run()
    assert run.status == "succeeded"
    step = run.step("sum")
    assert step is not None
    assert made.output(step) == b"a\nd\n"
    run = Project(tmp_path / "needed", {"pipelines/p.yaml": text + SUM}).run()
    assert (run.status, failed(run)) == ("failed", {"train[b]", "sum"})


def test_a_stop_is_no_failure_that_is_borne_and_the_next_run_goes_on(tmp_path: Path) -> None:
    line = f"test ${{{{ matrix.m }}}} != b || test -e {tmp_path}/there || {{ trap 'exit 4' TERM; while :; do sleep 0.01; done; }}"
    made = project(tmp_path, train("75%", line) + SUM)
    stop = StopSignal()

    def stopping(event: Event) -> None:
        if isinstance(event, StepStarted) and event.name == "train[b]":
            stop.ask()

    run = run_with(made, stopping, stop, jobs=1)
    assert run.status == "cancelled"
    assert dict(run.errors) == {}
    (tmp_path / "there").touch()
    assert made.run().status == "succeeded"


def test_an_older_reader_passes_over_what_the_record_says_of_errors_and_a_newer_one_checks_it(tmp_path: Path) -> None:
    made = project(tmp_path, train(line=unless_there(tmp_path / "never", "b")) + SUM)
    run = made.run()
    raw = json.loads(encode_run(run))
    assert raw["format"] == 1
    assert raw["errors"] == {"train": {"borne": True, "budget": "25%", "failed": ["train[b]"], "members": 4}}
    assert json.loads(json.dumps(run_as_json(run)))["errors"] == raw["errors"]
    for wrong in (
        3,
        {"train": {}},
        {"train": {**raw["errors"]["train"], "failed": [1]}},
        {"train": {**raw["errors"]["train"], "members": -1}},
    ):
        with pytest.raises(ValueError, match="not a run record"):
            decode_run(json.dumps({**raw, "errors": wrong}).encode())
