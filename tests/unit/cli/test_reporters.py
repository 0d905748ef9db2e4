"""What is told of a run while it goes on."""

from __future__ import annotations

import pytest

from gitml.cli.reporters.board import RUNNING, RunBoard
from gitml.cli.reporters.live import LiveReporter, picture_lines
from gitml.cli.reporters.plain import PlainReporter, summary
from gitml.cli.text.format import cells
from gitml.core.model.events import (
    Note,
    RunFinished,
    RunStarted,
    StepFinished,
    StepOutput,
    StepRetried,
    StepStarted,
    StepWaits,
)
from gitml.core.model.result import Cost
from gitml.core.records.record import Run, StepRun


def a_run(status: str = "running", steps: tuple[StepRun, ...] = ()) -> Run:
    return Run(
        id="1a2b3c4d5e6f7788", pipeline="p", path="pipelines/p.yaml", experiment="p", status=status, commit="c" * 40,
        started=100.0, ended=101.4, by="T", host="h", version="1", steps=steps,
    )  # fmt: skip


def reused(name: str, saved: float = 0.0) -> StepRun:
    return StepRun(name, "reused", "same as in run 11111111", 0.0, saved=Cost(saved))


def test_the_summary_counts_outcomes_and_what_was_saved() -> None:
    steps = (StepRun("a", "executed", "r", 1.0), reused("b", 12.0), reused("c", 0.1))
    assert summary(a_run("succeeded", steps)) == "run 1a2b3c4d succeeded: 1 executed, 2 reused (saved 12s) in 1.4s"
    assert summary(a_run("failed", (StepRun("a", "failed", "r", 1.0),))) == "run 1a2b3c4d failed: 1 failed in 1.4s"
    assert summary(a_run("succeeded")) == "run 1a2b3c4d succeeded: 0 steps in 1.4s"


def test_each_event_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell = PlainReporter(lambda _: ["last words"])
    run = a_run()
    for event in (
        RunStarted(run, ("a", "b", "c", "d")),
        Note("warning", "look out\x07"),
        StepFinished(reused("a")),
        StepStarted("b", "never ran", 1),
        StepOutput("b", "hello"),
        StepRetried("b", "exit status 1"),
        StepStarted("b", "never ran", 2),
        StepFinished(StepRun("b", "executed", "never ran", 1.25)),
        StepWaits("c"),
        StepFinished(StepRun("c", "failed", "never ran", 1.0, error="exit status 3")),
        StepFinished(StepRun("d", "skipped", "needs c, which did not succeed", 0.0)),
        RunFinished(a_run("failed"), "x"),
    ):
        tell(event)
    assert capsys.readouterr().err.splitlines() == [
        r"warning: look out\x07",
        "reuse  a  same as in run 11111111",
        "run    b  never ran",
        "retry  b  exit status 1",
        "run    b  never ran (attempt 2)",
        "done   b  1.2s",
        "wait   c  another gitml is performing it",
        "failed c  exit status 3",
        "  | last words",
        "skip   d  needs c, which did not succeed",
        "run 1a2b3c4d failed: 0 steps in 1.4s",
    ]


def board_of(count: int) -> RunBoard:
    board = RunBoard()
    board.take(RunStarted(a_run(), tuple(f"step-{n}" for n in range(count))), 100.0)
    return board


def test_of_a_thousand_steps_the_picture_shows_those_that_matter() -> None:
    board = board_of(1000)
    for n in range(500):
        board.take(StepFinished(reused(f"step-{n}", 1.0)), 101.0)
    for n in (500, 501, 502):
        board.take(StepStarted(f"step-{n}", "never ran", 1), 102.0)
    board.take(StepFinished(StepRun("step-501", "failed", "never ran", 1.0)), 103.0)
    board.take(StepFinished(StepRun("step-502", "executed", "never ran", 1.0)), 103.0)
    lines = [line for line, _ in picture_lines(board, 100, 24, 104.0)]
    assert len(lines) == 23
    text = "\n".join(lines)
    assert "run   step-500" in text
    assert "fail  step-501" in text
    assert "done  step-502" in text
    assert "wait  step-503" in text
    assert "… and 979 steps more" in text
    assert lines[-1] == "502 of 1,000 steps  500 reused (saved 8m20s)  1 executed  1 failed  4.0s"


@pytest.mark.parametrize(("width", "height"), [(20, 3), (40, 10), (80, 24), (200, 60), (1, 1)])
def test_the_picture_fits_terminals_of_any_size(width: int, height: int) -> None:
    board = board_of(50)
    board.take(StepStarted("step-3", "code src/火.py changed", 1), 100.0)
    board.take(StepOutput("step-3", "x" * 500), 100.0)
    lines = picture_lines(board, width, height, 101.0)
    assert len(lines) <= max(height, 3)
    assert all(cells(line) < max(width, 2) for line, _ in lines)


def test_a_row_is_told_by_its_sign_and_word_not_by_colour_alone() -> None:
    board = board_of(3)
    board.take(StepStarted("step-0", "never ran", 1), 100.0)
    board.take(StepWaits("step-1"), 100.0)
    words = [line.split()[1] for line, _ in picture_lines(board, 80, 24, 101.0)[:3]]
    assert words == ["run", "other", "wait"]
    assert board.rows["step-0"].state == RUNNING


def test_the_account_has_a_line_a_step_or_a_line_an_outcome_when_there_are_many() -> None:
    tell = LiveReporter(lambda _: [])
    tell.board = board_of(32)
    for n in range(30):
        tell.board.take(StepFinished(StepRun(f"step-{n}", "executed", "never ran", 1.0)), 101.0)
    tell.board.take(StepFinished(reused("step-30")), 101.0)
    tell.board.take(StepFinished(StepRun("step-31", "skipped", "the run was ended before it", 0.0)), 101.0)
    lines = tell.account()
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        "step-30  same as in run 11111111",
        "step-31  the run was ended before it",
        "30 steps executed",
    ]
