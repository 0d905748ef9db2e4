"""Matrices over lists that a step makes: known once it is done, read again where it is reused, shrinking, empty, and wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gitml.core.model.events import RunStarted, StepsKnown
from gitml.core.planner.plan import BLOCKED, REUSE, RUN, UNKNOWN
from gitml.core.records.record import Run
from gitml.errors import InputError
from tests.kit.projects.project import Project

PIPELINE = """\
params: {list: '["a", "b"]', suffix: ""}
steps:
  split:
    shell: bash
    run: printf %s ${{ params.list }} > ${{ outputs.parts }}
    outputs: {parts: file}
  train:
    matrix: {part: "${{ steps.split.outputs.parts }}"}
    shell: bash
    run: printf %s ${{ matrix.part }}${{ params.suffix }} > ${{ outputs.model }}
    outputs: {model: {type: file, path: model.txt}}
  score:
    matrix: {part: "${{ steps.split.outputs.parts }}"}
    shell: bash
    run: cat ${{ steps.train[matrix].outputs.model }} > ${{ outputs.o }}
    outputs: {o: file}
  gather:
    shell: bash
    run: for f in ${{ steps.score[*].outputs.o }}; do cat $f; echo; done > ${{ outputs.o }}
    outputs: {o: file}
  report: {run: "wc -c ${{ steps.gather.outputs.o }}"}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "p", {"pipelines/p.yaml": PIPELINE})


def with_list(*values: Any) -> list[tuple[str, str]]:
    return [("list", json.dumps(values))]


def outcomes(run: Run) -> dict[str, str]:
    return {step.name: step.outcome for step in run.steps}


def gathered(project: Project, run: Run) -> list[str]:
    step = run.step("gather")
    assert step is not None
    return project.output(step).decode().splitlines()


def test_a_run_grows_by_the_list_that_a_step_makes_and_the_next_knows_it_at_once(project: Project) -> None:
    plan = project.plan()
    assert {name: one.kind for name, one in plan.decisions.items()} == {
        "split": RUN,
        "train[*]": UNKNOWN,
        "score[*]": UNKNOWN,
        "gather": UNKNOWN,
        "report": UNKNOWN,
    }
    assert plan.decisions["train[*]"].reason == "as many as split.parts lists"

    run = project.run()
    names = ["split", "train[a]", "train[b]", "score[a]", "score[b]", "gather", "report"]
    assert list(outcomes(run)) == names
    assert set(outcomes(run).values()) == {"executed"}
    assert gathered(project, run) == ["a", "b"]
    begun = next(event for event in project.events if isinstance(event, RunStarted))
    known = [event.steps for event in project.events if isinstance(event, StepsKnown)]
    assert begun.steps == ("split", "train[*]", "score[*]", "gather", "report")
    assert known == [tuple(names)]

    assert {one.kind for one in project.plan().decisions.values()} == {REUSE}
    again = project.run()
    assert list(outcomes(again)) == names
    assert set(outcomes(again).values()) == {"reused"}
    assert not [event for event in project.events if isinstance(event, StepsKnown)]


def test_a_list_that_grows_or_shrinks_runs_what_is_new_and_what_gathers(project: Project) -> None:
    project.run()
    plan = project.plan(given=with_list("a", "c", "b"))
    assert plan.decisions["train[*]"].reason == "as many as split.parts lists (2 last time)"
    more = project.run(given=with_list("a", "c", "b"))
    assert {name for name, outcome in outcomes(more).items() if outcome == "reused"} == {
        *("train[a]", "train[b]", "score[a]", "score[b]")
    }
    assert gathered(project, more) == ["a", "c", "b"]
    fewer = project.run(given=with_list("b"))
    assert outcomes(fewer) == {
        **dict.fromkeys(["split", "gather", "report"], "executed"),
        **dict.fromkeys(["train[b]", "score[b]"], "reused"),
    }
    assert gathered(project, fewer) == ["b"]


def test_an_empty_list_gives_no_combination_and_what_gathers_gets_none(project: Project) -> None:
    run = project.run(given=with_list())
    assert list(outcomes(run)) == ["split", "gather", "report"]
    assert run.status == "succeeded"
    assert gathered(project, run) == []
    assert list(project.plan(given=with_list(), wanted=["train"]).decisions) == []
    assert project.run(given=with_list(), wanted=["train"]).steps == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('["a", "a"]', "matrix 'part' (split.parts) has 'a' twice"),
        ('["a", 1, "1"]', "matrix 'part' (split.parts) has '1' twice"),
        ("a b", "matrix 'part': split.parts is not JSON (line 1: Expecting value)"),
        ('"a"', "matrix 'part': split.parts is text and no list"),
        ("[NaN]", "matrix 'part': split.parts is no list that a matrix can have: NaN is no finite number"),
        ("[1e999]", "matrix 'part': split.parts is no list that a matrix can have: 1e999 is no finite number"),
        ('{"a": 1, "a": 2}', "matrix 'part': split.parts is no list that a matrix can have: duplicate key 'a'"),
        ('["\\ud800"]', "matrix 'part': split.parts has text that is not UTF-8"),
        ('["\\u0000"]', "matrix 'part' (split.parts) has a value that holds a NUL character"),
        (
            '["a", null]',
            "matrix 'part' (split.parts) has a value that is no text, number, true, false or mapping",
        ),
        ("[" * 5000, "matrix 'part': split.parts is no list that a matrix can have: nested deeper than 64 levels"),
        (json.dumps(["x" * 1001]), "matrix 'part': split.parts has a value of 1,001 characters: make it a mapping"),
        (
            json.dumps(list(range(10_001))),
            "a matrix of 10,001 combinations; at most 10,000: let each be for several",
        ),
    ],
)
def test_what_is_no_list_fails_where_the_combinations_would_be(project: Project, text: str, problem: str) -> None:
    spec = PIPELINE.replace("printf %s ${{ params.list }}", "cat list.json").replace(
        "run: cat list", "code: [list.json]\n    run: cat list"
    )
    project.repo.commit("a list", {"list.json": text, "pipelines/p.yaml": spec})
    run = project.run()
    assert run.status == "failed"
    failed = run.step("train[*]")
    assert failed is not None
    assert failed.outcome == "failed"
    assert failed.error is not None
    assert failed.error.startswith(problem)
    assert outcomes(run)["gather"] == "skipped"
    # the step itself succeeded: the next plan says at once what is wrong
    decision = project.plan().decisions["train[*]"]
    assert decision.kind == BLOCKED
    assert decision.reason.startswith(problem)
    with pytest.raises(InputError, match=r"step 'train\[\*\]' can't run"):
        project.run()


def test_labels_with_brackets_commas_and_newlines_stay_apart(project: Project) -> None:
    odd = ["a]b", "a,b", "a\nb", "a b", "ä/../b", "*", "-rf", "$(x)", "x" * 400]
    run = project.run(given=with_list(*odd))
    assert run.status == "succeeded"
    step = run.step("gather")
    assert step is not None
    assert project.output(step).decode() == "".join(f"{text}\n" for text in odd)
    assert {f"train[{text}]" for text in odd} <= {step.name for step in run.steps}
    assert {one.kind for one in project.plan(given=with_list(*odd)).decisions.values()} == {REUSE}


def test_named_things_and_other_axes(tmp_path: Path) -> None:
    spec = PIPELINE.replace(
        'train:\n    matrix: {part: "${{ steps.split.outputs.parts }}"}',
        'train:\n    matrix: {part: "${{ steps.split.outputs.parts }}", k: [1, 2], exclude: [{part: b, k: 2}, {part: none}]}',
    ).replace("${{ matrix.part }}", "${{ matrix.part.n }}${{ matrix.k }}")
    spec = spec.replace("train[matrix]", "train[*]")
    project = Project(tmp_path / "p", {"pipelines/p.yaml": spec})
    run = project.run(given=[("list", '{"a": {"n": 5}, "b": {"n": 6}}')])
    assert [step.name for step in run.steps if step.name.startswith("train")] == [
        "train[a,1]",
        "train[a,2]",
        "train[b,1]",
    ]
    assert gathered(project, run) == ["515261", "515261"]


def test_a_list_that_depends_on_a_list(tmp_path: Path) -> None:
    spec = """\
steps:
  first: {shell: bash, run: 'echo "[1, 2]" > ${{ outputs.l }}', outputs: {l: file}}
  second:
    matrix: {n: "${{ steps.first.outputs.l }}"}
    shell: bash
    run: echo "[${{ matrix.n }}0, ${{ matrix.n }}1]" > ${{ outputs.l }}
    outputs: {l: file}
  third:
    matrix: {m: "${{ steps.second[2].outputs.l }}"}
    shell: bash
    run: echo ${{ matrix.m }} > ${{ outputs.o }}
    outputs: {o: file}
  gather: {shell: bash, run: 'cat ${{ steps.third[*].outputs.o }} > ${{ outputs.o }}', outputs: {o: file}}
"""
    project = Project(tmp_path / "p", {"pipelines/p.yaml": spec})
    run = project.run()
    assert list(outcomes(run)) == ["first", "second[1]", "second[2]", "third[20]", "third[21]", "gather"]
    assert gathered(project, run) == ["20", "21"]
    assert {one.kind for one in project.plan().decisions.values()} == {REUSE}
    project.repo.commit("another", {"pipelines/p.yaml": spec.replace("second[2]", "second[7]")})
    plan = project.plan()
    assert plan.decisions["third[*]"].reason == "step 'second' has no combination [7] in this run (there is '1', '2')"


def test_one_combination_is_run_by_its_name(project: Project) -> None:
    run = project.run(wanted=["train[b]"])
    assert outcomes(run) == {"split": "executed", "train[b]": "executed"}
    with pytest.raises(InputError, match=r"no step 'train\[c\]' in pipeline 'p'"):
        project.run(wanted=["train[c]"])
    failed = project.run(wanted=["train[c]"], given=with_list("a", "d"))
    assert outcomes(failed) == {"split": "executed", "train[*]": "failed"}
    forced = project.run(wanted=["train"], force=True)
    assert outcomes(forced) == {"split": "reused", "train[a]": "executed", "train[b]": "executed"}


def test_values_that_lead_out_fail_alone_and_say_which(tmp_path: Path) -> None:
    spec = PIPELINE.replace("path: model.txt", "path: 'out/${{ matrix.part }}'")
    project = Project(tmp_path / "p", {"pipelines/p.yaml": spec})
    run = project.run(given=with_list("a", "../../x"))
    step = run.step("train[*]")
    assert step is not None
    assert step.error is not None
    assert "split.parts can't be used" in step.error
    assert "output 'model'" in step.error


def test_a_failure_before_the_list_skips_what_stands_for_the_combinations(project: Project) -> None:
    spec = PIPELINE.replace("printf %s ${{ params.list }}", "exit 3; printf %s ${{ params.list }}")
    project.repo.commit("fails", {"pipelines/p.yaml": spec})
    run = project.run(keep_going=True)
    assert outcomes(run) == {
        "split": "failed",
        **dict.fromkeys(["train[*]", "score[*]", "gather", "report"], "skipped"),
    }


def test_parameters_of_pending_steps_are_recorded(project: Project) -> None:
    spec = PIPELINE.replace("printf %s ${{ params.list }}", "exit 3; printf %s ${{ params.list }}")
    spec = spec.replace("params: {", "params: {from: c.yaml, ").replace("params.suffix", "params.deep.suffix")
    project.repo.commit("fails", {"pipelines/p.yaml": spec, "c.yaml": "deep: {suffix: x, other: 1}\n"})
    assert project.run().params["deep.suffix"] == "x"


MISTAKES = {
    "${{ steps.train[*].outputs.model }}": "takes one list: name the combination of step 'train'",
    "${{ steps.nothing.outputs.parts }}": "unknown step 'nothing'",
    "${{ steps.split.outputs.path }}": "step 'split' has no output 'path' (did you mean 'parts'?)",
    "${{ steps.folder.outputs.d }}": "steps.folder.outputs.d is a directory, and a list is a file of JSON",
    "${{ steps.gather.outputs.o }}": "steps wait for each other",
    "x${{ steps.split.outputs.parts }}": "takes a list, or what is one",
    "${{ inputs.x }}": "takes a list, or what is one",
}


@pytest.mark.parametrize("source", MISTAKES)
def test_mistakes_are_named(project: Project, source: str) -> None:
    folder = "  folder: {run: 'mkdir ${{ outputs.d }}', outputs: {d: directory}}\n"
    spec = PIPELINE.replace(
        'score:\n    matrix: {part: "${{ steps.split.outputs.parts }}"}', f"score:\n    matrix: {{part: '{source}'}}"
    )
    project.repo.commit("wrong", {"pipelines/p.yaml": spec + folder})
    with pytest.raises(InputError) as caught:
        project.plan()
    assert MISTAKES[source] in str(caught.value)


def test_a_list_that_comes_out_otherwise_the_second_time_is_the_one_that_counts(tmp_path: Path) -> None:
    # a step whose result serves is made again, as another output of it can't be had, and lists something else
    spec = f"""\
params: {{k: 1}}
steps:
  split:
    shell: bash
    run: |
      n=$(cat {tmp_path}/count 2>/dev/null || echo 0); echo $((n + 1)) > {tmp_path}/count
      echo "[\\"x\\", \\"y$n\\"]" > ${{{{ outputs.parts }}}}
      head -c 300000 /dev/urandom > ${{{{ outputs.big }}}}
    outputs: {{parts: file, big: file}}
  train:
    matrix: {{part: "${{{{ steps.split.outputs.parts }}}}"}}
    shell: bash
    run: echo ${{{{ matrix.part }}}} ${{{{ params.k }}}} $(wc -c < ${{{{ steps.split.outputs.big }}}}) > ${{{{ outputs.o }}}}
    outputs: {{o: file}}
  gather: {{shell: bash, run: 'cat ${{{{ steps.train[*].outputs.o }}}} > ${{{{ outputs.o }}}}', outputs: {{o: file}}}}
"""
    project = Project(tmp_path / "p", {"pipelines/p.yaml": spec})
    first = project.run()
    assert gathered(project, first) == ["x 1 300000", "y0 1 300000"]
    split = first.step("split")
    assert split is not None
    os.unlink(project.object_path(next(output for output in split.outputs if output.name == "big").digest))
    assert {one.kind for one in project.plan().decisions.values()} == {REUSE}
    plan = project.plan(given=[("k", "2")])
    assert {name: one.kind for name, one in plan.decisions.items()} == {
        "split": RUN,
        **dict.fromkeys(["train[x]", "train[y0]", "gather"], UNKNOWN),
    }
    run = project.run(given=[("k", "2")])
    assert outcomes(run) == dict.fromkeys(["split", "train[x]", "train[y1]", "gather"], "executed")
    assert gathered(project, run) == ["x 2 300000", "y1 2 300000"]


def test_what_gathers_lists_grows_beside_other_work(tmp_path: Path) -> None:
    # a failure elsewhere: what is known of the list is recorded, and the next run goes on from it
    spec = PIPELINE + "  fails: {shell: bash, run: 'exit 4'}\n"
    project = Project(tmp_path / "p", {"pipelines/p.yaml": spec})
    run = project.run(keep_going=True)
    assert run.status == "failed"
    assert outcomes(run)["fails"] == "failed"
    assert outcomes(run)["report"] == "executed"
    project.repo.commit("mended", {"pipelines/p.yaml": PIPELINE})
    assert set(outcomes(project.run()).values()) == {"reused"}


def test_failed_combinations_of_a_list_are_borne_by_its_length(tmp_path: Path) -> None:
    spec = PIPELINE.replace("  train:\n", "  train:\n    errors: 50%\n").replace(
        "  score:\n", "  score:\n    errors: 50%\n"
    )
    spec = spec.replace(
        "run: printf %s ${{ matrix.part }}", "run: test ${{ matrix.part }} != b; printf %s ${{ matrix.part }}"
    )
    project = Project(tmp_path / "p", {"pipelines/p.yaml": spec})
    run = project.run(keep_going=True)
    assert run.status == "succeeded"
    assert gathered(project, run) == ["a"]
    assert outcomes(run)["train[b]"] == "failed"
    assert outcomes(run)["score[b]"] == "skipped"
    alone = project.run(given=with_list("b"), keep_going=True)
    assert alone.status == "failed"


def test_a_list_of_a_combination_that_failed_is_none(tmp_path: Path) -> None:
    spec = """\
steps:
  lists:
    matrix: {n: [1, 2]}
    errors: 1
    shell: bash
    run: test ${{ matrix.n }} = 1; echo '["x"]' > ${{ outputs.l }}
    outputs: {l: file}
  each: {matrix: {m: "${{ steps.lists[2].outputs.l }}"}, run: "echo ${{ matrix.m }}"}
"""
    run = Project(tmp_path / "p", {"pipelines/p.yaml": spec}).run(keep_going=True)
    assert outcomes(run) == {"lists[1]": "executed", "lists[2]": "failed", "each[*]": "skipped"}


def test_a_list_that_nobody_has_any_more_is_made_again(project: Project) -> None:
    project.repo.commit("settings", {"gitml.yaml": "records: {inline_file: 1B, inline_run: 1B}\n"})
    first = project.run()
    split = first.step("split")
    assert split is not None
    os.unlink(project.object_path(split.outputs[0].digest))
    plan = project.plan()
    assert (plan.decisions["split"].kind, plan.decisions["train[*]"].kind) == (RUN, UNKNOWN)
    assert "is not here" in plan.decisions["split"].reason
    assert outcomes(project.run()) == {name: "executed" if name == "split" else "reused" for name in outcomes(first)}


def test_a_list_that_is_always_made_again_reuses_its_combinations(project: Project) -> None:
    project.repo.commit("always", {"pipelines/p.yaml": PIPELINE.replace("  split:\n", "  split:\n    reuse: false\n")})
    names = list(outcomes(project.run()))
    assert outcomes(project.run()) == {name: "executed" if name == "split" else "reused" for name in names}
