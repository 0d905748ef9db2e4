"""What a plan says is what a run then does, and what an incremental run leaves is what a clean one makes."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitml.core.planner.plan import BLOCKED, REUSE, RUN, Plan
from gitml.core.records.record import Run
from tests.kit.projects.project import Project
from tests.kit.strategies import Edit, Sketch, edited, edited_files, edits, examples, files_of, sketches

# Edits, and of the run after them: whether it begins with an empty store, as in a fresh clone, or all is forced, or nothing reused;
# and whether one step is wanted.
rounds = st.lists(
    st.tuples(
        st.lists(edits, max_size=3), st.sampled_from(["", "", "bare", "bare", "force", "no reuse"]), st.integers(-6, 9)
    ),
    min_size=1,
    max_size=3,
)
inline = st.sampled_from([{}, {"gitml.yaml": "records: {inline_file: 0}\n"}])


@pytest.mark.slow
@settings(max_examples=examples(9))
@given(sketches(), rounds, inline)
def test_what_the_plan_says_is_what_the_run_does(sketch: Sketch, turns: list[Any], config: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Project(os.path.join(folder, "r"), {**files_of(sketch), **config})
        for changes, mode, wanted in [([], "", -1), *turns]:
            for change in changes:
                sketch = apply(project, sketch, change)
            if mode == "bare":
                for path in project.objects():
                    os.unlink(path)
            request: dict[str, Any] = {"force": mode == "force", "reuse": mode != "no reuse"}
            if wanted >= 0:
                request["wanted"] = (f"s{wanted % len(sketch.stages)}",)
            plan, again = project.plan(**request), project.plan(**request)
            assert plan == again
            agree(plan, project.run(**request))


def agree(plan: Plan, run: Run) -> None:
    """Fails unless the run did what the plan said."""
    assert run.status == "succeeded", run
    assert [step.name for step in run.steps] == list(plan.decisions)
    for step in run.steps:
        decision = plan.decisions[step.name]
        assert decision.kind != BLOCKED
        if decision.kind == REUSE:
            assert step.outcome == "reused", (step, decision)
            assert decision.result is not None
            assert step.outputs == decision.result.outputs
            assert step.reason == decision.reason
        elif decision.kind == RUN:
            # Another step of this run may have performed the same Action meanwhile.
            twin = step.outcome == "reused" and step.origin == run.id and step.reason.endswith("made meanwhile")
            assert step.outcome == "executed" or twin, (step, decision)
        else:
            assert step.outcome in ("executed", "reused")
        if decision.key is not None:
            assert step.key == decision.key


@pytest.mark.slow
@settings(max_examples=examples(4))
@given(sketches(), st.lists(st.lists(edits, min_size=1, max_size=3), min_size=1, max_size=2), inline)
def test_an_incremental_run_leaves_what_a_run_in_a_fresh_clone_makes(
    sketch: Sketch, turns: list[list[Edit]], config: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Project(os.path.join(folder, "r"), {**files_of(sketch), **config})
        project.run()
        for changes in turns:
            for change in changes:
                sketch = apply(project, sketch, change)
            project.run()
        project.repo.commit()
        # What nothing needs may be reused by its record alone; what is named must be had.
        incremental = project.run(rev="HEAD", wanted=tuple(f"s{number}" for number in range(len(sketch.stages))))
        project.repo.git("clone", "-q", project.repo.path, os.path.join(folder, "clone"))
        clone = Project(os.path.join(folder, "clone"))
        clean = clone.run(rev="HEAD")
        assert incremental.commit == clean.commit
        assert all(step.outcome == "executed" or step.origin == clean.id for step in clean.steps)
        assert contents(project, incremental) == contents(clone, clean)


@pytest.mark.parametrize("kind", ["param", "file", "tool", "how"])
def test_an_edit_that_counts_makes_some_step_run_again(kind: str) -> None:
    from tests.kit.strategies import Stage

    stage = Stage((), (0,), (0,), (), "tool" if kind == "tool" else "concat", False, True, False)
    sketch = Sketch((stage,))
    with tempfile.TemporaryDirectory() as folder:
        project = Project(os.path.join(folder, "r"), files_of(sketch))
        project.run()
        apply(project, sketch, Edit(kind, 0, 3))
        assert project.plan().decisions["s0"].kind == RUN


@pytest.mark.parametrize("kind", ["readme", "comment", "commit"])
def test_an_edit_that_does_not_count_makes_no_step_run_again(kind: str) -> None:
    from tests.kit.strategies import Stage

    sketch = Sketch((Stage((), (0,), (0,), (), "tool", False, True, False),))
    with tempfile.TemporaryDirectory() as folder:
        project = Project(os.path.join(folder, "r"), files_of(sketch))
        project.run()
        apply(project, sketch, Edit(kind, 0, 3))
        assert project.plan().decisions["s0"].kind == REUSE


def apply(project: Project, sketch: Sketch, edit: Edit) -> Sketch:
    """Does an edit in the repository; gives the sketch after it."""
    if edit.kind == "commit":
        project.repo.commit()
    elif edit.kind == "delete":
        objects = project.objects()
        if objects:
            os.unlink(objects[edit.which % len(objects)])
    else:
        sketch = edited(sketch, edit)
        project.repo.write(edited_files(sketch, edit))
    return sketch


def contents(project: Project, run: Run) -> dict[tuple[str, str], object]:
    """The bytes of every output."""
    found: dict[tuple[str, str], object] = {}
    for step in run.steps:
        for output in step.outputs:
            found[step.name, output.name] = (
                project.files(output.digest) if output.is_tree else project.output(step, output.name)
            )
    return found
