"""Graphs drawn with characters."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gitml.core.text.graph_diagram import ascii_only, tree
from gitml.core.text.graph_diagram import drawn as drawing_of

Parents = dict[str, list[str]]


def drawn(parents: Parents, width: int = 100) -> list[str] | None:
    drawing = drawing_of(parents, {name: name for name in parents}, width)
    return None if drawing is None else drawing.lines


def test_a_diamond_parts_and_joins() -> None:
    assert drawn({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}) == [
        "    ╭───╮",
        "    │ a │",
        "    ╰───╯",
        "  ╭───┴───╮",
        "  ▼       ▼",
        "╭───╮   ╭───╮",
        "│ b │   │ c │",
        "╰───╯   ╰───╯",
        "  ╰───┬───╯",
        "      ▼",
        "    ╭───╮",
        "    │ d │",
        "    ╰───╯",
    ]


def test_a_line_that_longer_ways_make_plain_is_left_out() -> None:
    assert drawn({"a": [], "b": ["a"], "c": ["a", "b"]}) == drawn({"a": [], "b": ["a"], "c": ["b"]})


def test_a_line_that_crosses_passes_under_the_other() -> None:
    lines = drawn({"a": [], "b": [], "x": ["a"], "y": ["b"], "z": ["a"], "w": ["b", "a"]})
    assert lines is not None


def test_what_does_not_fit_is_not_drawn() -> None:
    assert drawn({"a": [], "b": []}, width=8) is None
    assert drawn({str(n): [] for n in range(41)}, width=10_000) is None
    assert drawn({}) is None


def test_a_thousand_steps_in_a_chain_are_a_few_lines_of_a_tree() -> None:
    parents = {str(n): [str(n - 1)] if n else [] for n in range(1000)}
    lines = tree(parents, {name: name for name in parents})
    assert len(lines) < 80
    assert lines[0].startswith("0 → 1 → 2")
    assert lines[-1].endswith("999")


def test_a_step_that_needs_several_says_which() -> None:
    parents = {"a": [], "b": [], "c": ["a", "b"]}
    assert tree(parents, {name: name for name in parents}) == ["a", "b", "└ c  (also needs a)"]


def test_ascii_only_is() -> None:
    lines = drawn({"a": [], "b": ["a"], "c": ["a"]})
    assert lines is not None
    assert "".join(ascii_only(lines)).isascii()


@st.composite
def graphs(draw: st.DrawFn) -> Parents:
    names = [f"s{n}" for n in range(draw(st.integers(1, 12)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:at]), unique=True, max_size=3)) if at else []
        for at, name in enumerate(names)
    }


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_every_step_is_in_every_drawing_once_and_no_line_is_wider_than_asked(parents: Parents) -> None:
    lines = tree(parents, {name: name for name in parents})
    words = " ".join(line.partition("(also")[0] for line in lines).split()
    assert sorted(word for word in words if word in parents) == sorted(parents)
    boxes = drawn(parents, width=120)
    if boxes is not None:
        assert all(len(line) <= 120 for line in boxes)
        assert sorted(word for word in " ".join(boxes).split() if word in parents) == sorted(parents)
