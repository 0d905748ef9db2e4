"""Which words about a build are worth a line in a log."""

from __future__ import annotations

from gitml.cli.reporters.preparation import PERIOD, PreparationFilter


def test_a_new_stage_has_a_line_at_once_and_the_same_one_every_ten_seconds() -> None:
    chosen = PreparationFilter()
    assert chosen.line("a", "building the environment", 100.0) == "building the environment"
    assert chosen.line("a", "downloading 57 packages: 1 MiB", 101.5) == "downloading 57 packages: 1 MiB, 1.5s"
    every = [chosen.line("a", f"downloading 57 packages: {n} MiB", 101.5 + n) for n in range(1, 26)]
    assert [n for n, line in enumerate(every, 1) if line is not None] == [PERIOD, 2 * PERIOD]
    assert every[19] == "downloading 57 packages: 20 MiB, 22s"
    assert chosen.line("a", "built the environment in 27s", 127.0) == "built the environment in 27s"


def test_numbers_in_a_stage_make_no_new_one_and_steps_are_apart() -> None:
    chosen = PreparationFilter()
    assert chosen.line("a", "installing 1 of 57 packages", 0.0) is not None
    assert chosen.line("a", "installing 1,002 of 57 packages", 1.0) is None
    assert chosen.line("b", "installing 1 of 57 packages", 1.0) is not None
