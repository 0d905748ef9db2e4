"""`errors`: how many members of a matrix may fail, what is a mistake in it, and what of commands goes with members that failed."""

from __future__ import annotations

import json

import pytest

from gitml.core.language.diagnostics import SpecError
from gitml.core.language.expand import build_graph
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.graph import Graph, graph_as_json, graph_from_json
from gitml.core.parameters.error_budget import NO_ERRORS, ErrorBudget
from gitml.core.planner.step_words import words_with

STEP = "steps:\n  a: {{matrix: {{m: [x, y]}}, run: 'true', {}}}\n"


def build(text: str) -> Graph:
    graph = build_graph(parse_pipeline(text.encode(), "pipelines/p.yaml"), {})
    assert graph_from_json(json.loads(json.dumps(graph_as_json(graph)))) == graph
    return graph


def mistake(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_pipeline(text.encode(), "pipelines/p.yaml")
    (found,) = caught.value.diagnostics
    return str(found).partition(" ")[2]


@pytest.mark.parametrize(
    ("written", "budget", "shown"),
    [
        ("3", ErrorBudget(3), "3"),
        ("10%", ErrorBudget(share=10_000), "10%"),
        ('"2.5 %"', ErrorBudget(share=2_500), "2.5%"),
        ("100%", ErrorBudget(share=100_000), "100%"),
        ("{items: 3, percent: 10}", ErrorBudget(3, 10_000), "3 and 10%"),
        ("{percent: 10%, action: fail}", ErrorBudget(share=10_000, action="fail"), "10%, action: fail"),
        ("{percent: 0.5, action: skip}", ErrorBudget(share=500), "0.5%"),
        ("0", NO_ERRORS, "0"),
        ("0%", NO_ERRORS, "0"),
        ("{items: 5, percent: 0}", NO_ERRORS, "0"),
        ("{items: 0, action: fail}", NO_ERRORS, "0"),
    ],
)
def test_what_is_borne(written: str, budget: ErrorBudget, shown: str) -> None:
    found = {step.settings.errors for step in build(STEP.format(f"errors: {written}")).steps.values()}
    assert found == {budget}
    assert str(budget) == shown


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0.1", "errors is a number of members, or a percentage such as 10%: write 10%, not 0.1"),
        ("1.5", "errors is a number of members, or a percentage such as 10%"),
        ("'3'", "errors is a number of members, or a percentage such as 10%"),
        ("true", "errors is a number of members, or a percentage such as 10%"),
        ("[1]", "errors is a number of members, or a percentage such as 10%"),
        ("", "errors is a number of members, or a percentage such as 10%"),
        ("some", "errors is a number of members, or a percentage such as 10%"),
        ("-1", "errors must be at least 0"),
        ("1e400", "errors is a number of members, or a percentage such as 10%"),
        ("10000000000", "errors must be at most 1,000,000,000"),
        ("101%", "errors is at most 100%: all members"),
        ("100.001%", "errors is at most 100%: all members"),
        ("-5%", "errors is a percentage such as 10%, with three decimal places at most"),
        ("1.2345%", "errors is a percentage such as 10%, with three decimal places at most"),
        ("99999999999999999999%", "errors is a percentage such as 10%, with three decimal places at most"),
        ("{}", "errors says how many members may fail: items: 3, or percent: 10%"),
        ("{action: fail}", "errors says how many members may fail: items: 3, or percent: 10%"),
        ("{batches: 2}", "errors: a matrix has no batches: say items or percent"),
        ("{items: 2, most: 3}", "errors has items, percent and action, not 'most'"),
        ("{items: 10%}", "items of errors is a number of members, or a percentage such as 10%"),
        ("{percent: 110}", "percent of errors is at most 100%: all members"),
        ("{percent: true}", "percent of errors is a percentage such as 10%, with three decimal places at most"),
        ("{items: 1, action: stop}", "action of errors must be skip or fail, not 'stop'"),
    ],
)
def test_what_is_a_mistake(written: str, said: str) -> None:
    assert mistake(STEP.format(f"errors: {written}")) == said


def test_only_a_step_with_a_matrix_has_members() -> None:
    text = "steps:\n  a: {run: 'true', errors: 0}\n"
    assert mistake(text) == "step 'a' has no matrix, of whose members errors bears failures: leave it out"


@pytest.mark.parametrize(
    ("budget", "members", "allowed"),
    [
        (ErrorBudget(share=10_000), 5, 0),
        (ErrorBudget(share=10_000), 10, 1),
        (ErrorBudget(share=10_000), 19, 1),
        (ErrorBudget(share=2_300), 1000, 23),
        (ErrorBudget(share=100_000), 7, 7),
        (ErrorBudget(3), 2, 3),
        (ErrorBudget(3, 10_000), 20, 2),
        (ErrorBudget(1, 10_000), 20, 1),
        (NO_ERRORS, 20, 0),
    ],
)
def test_a_part_of_a_member_is_none_and_of_two_limits_the_lower_counts(
    budget: ErrorBudget, members: int, allowed: int
) -> None:
    assert budget.allowed(members) == allowed


TRAIN = "  train: {matrix: {m: [a, ab, c]}, run: 'make ${{ outputs.o }}', outputs: {o: file}%s}\n"
GATHER = "  g: {run: %s, outputs: {o: {type: file, path: o}}}\n"
ALL, ONE = "${{ steps.train[*].outputs.o }}", "${{ steps.train[ab].outputs.o }}"
BARE = f"'sort {ALL} -o ${{{{ outputs.o }}}}'"


def places(*labels: str) -> list[str]:
    return [f".gitml/in/0/{label}/o" for label in labels]


def gathering(run: str, more: str = "", errors: str = ", errors: 2") -> Graph:
    return build("steps:\n" + TRAIN % errors + GATHER % (run + more))


@pytest.mark.parametrize(
    ("run", "more", "one", "two"),
    [
        (BARE, "", ["sort", *places("a", "c"), "-o", "o"], ["sort", *places("c"), "-o", "o"]),
        (
            f"'x --all={ALL}! --in {ALL}'",
            "",
            ["x", f"--all={' '.join(places('a', 'c'))}!", "--in", *places("a", "c")],
            ["x", f"--all={places('c')[0]}!", "--in", *places("c")],
        ),
        (
            f"'for f in {ALL}; do cat $f; done; echo \"{ALL}\" > o'",
            ", shell: sh",
            [
                'for f in "${_gitml_0}" "${_gitml_2}"; do cat $f; done; echo "${_gitml_3} ${_gitml_5}" > o',
                *(places("a")[0], "", places("c")[0]) * 2,
            ],
            [
                'for f in "${_gitml_2}"; do cat $f; done; echo "${_gitml_5}" > o',
                *("", "", places("c")[0]) * 2,
            ],
        ),
        (
            "'x ${{ inputs.all }}'",
            f", inputs: {{all: {{from: '{ALL}', path: in}}}}",
            ["x", "in/a/o", "in/c/o"],
            ["x", "in/c/o"],
        ),
    ],
)
def test_nothing_is_left_in_a_command_of_members_that_failed(
    run: str, more: str, one: list[str], two: list[str]
) -> None:
    step = gathering(run, more).steps["g"]
    assert [binding.member for binding in step.inputs] == [True] * 3
    assert list(words_with(step, frozenset({1}), frozenset({1}))) == one
    assert list(words_with(step, frozenset({0, 1}), frozenset({0, 1}))) == two
    assert words_with(step, frozenset()) == step.argv


def test_members_in_a_parameter_of_a_notebook_leave_the_list_or_the_text() -> None:
    notebook = f"  g: {{notebook: n.ipynb, params: {{each: '{ALL}', text: 'of \"{ALL}\"'}}}}\n"
    step = build("steps:\n" + TRAIN % ", errors: 2" + notebook).steps["g"]
    words = words_with(step, frozenset({1}), frozenset({1}))
    found = {name: value for word in words if word.startswith("{") for name, value in json.loads(word).items()}
    assert found == {"each": places("a", "c"), "text": f'of "{" ".join(places("a", "c"))}"'}


@pytest.mark.parametrize("errors", ["", ", errors: {items: 2, action: fail}"])
def test_without_failures_that_are_borne_a_step_that_gathers_needs_every_member(errors: str) -> None:
    step = gathering(BARE, errors=errors).steps["g"]
    assert [binding.member for binding in step.inputs] == [False] * 3
    assert step.conditional == ()


def test_a_budget_changes_no_command_and_one_member_by_its_label_is_needed() -> None:
    with_it, without = (
        gathering(f"'sort {ALL} {ONE} -o o'", errors=errors).steps["g"] for errors in (", errors: 1", "")
    )
    assert with_it.argv == without.argv
    assert [binding.member for binding in with_it.inputs] == [True, True, True, False]
