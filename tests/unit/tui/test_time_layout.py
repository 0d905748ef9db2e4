"""How the grid of commits and steps is laid out."""

from __future__ import annotations

from gitml.tui.screens.time.grid import grouped, lay_out, title_of

STEPS = ("prepare", "train[ada]", "train[bert]", "report")


def test_steps_have_their_names_when_there_is_room_and_combinations_share_theirs() -> None:
    plan = lay_out(160, STEPS, 0, 0, metric=True)
    assert [width for _, _, width in plan.steps] == [len(title_of(step)) for step in STEPS]
    assert plan.heads == 2
    assert grouped(plan.steps) == [("", 8), ("train", 9), ("", 7)]


def test_parts_never_overlap_nor_leave_the_screen() -> None:
    for width in (60, 80, 99, 100, 160, 300):
        for metric in (False, True):
            plan = lay_out(width, STEPS, 2, 0, metric=metric)
            ends = [at + room for _, at, room in plan.steps]
            begins = [at for _, at, _ in plan.steps]
            assert all(end < begin for end, begin in zip(ends, begins[1:], strict=False))
            assert not ends or ends[-1] <= width


def test_of_many_steps_the_chosen_one_is_in_sight_and_the_first_stays_while_it_can() -> None:
    many = [f"step{number:03d}" for number in range(100)]
    plan = lay_out(80, many, 50, 0, metric=False)
    assert "step050" in [step for step, _, _ in plan.steps]
    again = lay_out(80, many, plan.first + 1, plan.first, metric=False)
    assert again.first == plan.first
    assert lay_out(80, many, 0, plan.first, metric=False).first == 0
