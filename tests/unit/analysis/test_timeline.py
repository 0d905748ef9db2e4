"""The grid of commits and steps: what a cell says, and what is worked out again and what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitml.analysis.timeline import (
    CACHED,
    CANT_RUN,
    FAILED,
    NEVER,
    WOULD_RUN,
    Questions,
    Timeline,
    TimelineRow,
    TracedSource,
    open_timeline,
    steps_of,
)
from gitml.engine.planning.load import load
from gitml.engine.planning.planner import make_plan
from gitml.maintenance.gc import KeepPolicy, collect
from tests.kit.projects.project import Project

PIPELINE = """\
params: {n: 1}
steps:
  a: {run: "sh src/a.sh ${{ outputs.o }} ${{ params.n }}", outputs: {o: file}}
  b: {run: "sh src/b.sh ${{ steps.a.outputs.o }} ${{ outputs.m }}", outputs: {m: metrics}}
"""
FILES = {
    "pipelines/p.yaml": PIPELINE,
    "src/a.sh": 'echo $2 > "$1"\n',
    "src/b.sh": 'printf \'{"score": %s}\' "$(cat "$1")" > "$2"\n',
    "gitml.yaml": "records: {inline_file: 0}\n",
    "README.md": "words\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "r", FILES)


def rows(project: Project, timeline: Timeline | None = None) -> list[TimelineRow]:
    with project.workspace() as ws:
        timeline = timeline or open_timeline(ws, None)
        return timeline.rows(ws, 0, len(timeline.commits))


def states(row: TimelineRow) -> list[str]:
    return [cell.state for cell in row.cells.values()]


def test_a_cell_is_cached_where_its_result_is_known_and_names_the_run_that_made_it(project: Project) -> None:
    run = project.run()
    project.repo.commit("words", {"README.md": "other words\n"})
    project.repo.commit("two", {"pipelines/p.yaml": PIPELINE.replace("n: 1", "n: 2")})
    newest, words, first = rows(project)
    assert states(first) == states(words) == [CACHED, CACHED]
    assert {cell.run for cell in words.cells.values()} == {run.id}
    assert (words.runs, [row.id for row in first.runs]) == ((), [run.id])
    assert words.metrics == {"b.score": 1}
    assert states(newest) == [NEVER, NEVER]
    assert newest.cells["a"].reason == "param n: 1 -> 2"
    assert newest.names == ("main",)


def test_a_step_that_failed_at_a_commit_says_so_until_its_result_is_known(project: Project) -> None:
    project.repo.commit("broken", {"src/b.sh": "exit 3\n"})
    run = project.run()
    assert run.status == "failed"
    broken, first = rows(project)
    assert (broken.cells["b"].state, broken.cells["b"].run) == (FAILED, run.id)
    assert "exit status 3" in broken.cells["b"].reason
    assert states(first) == [CACHED, NEVER]


def test_what_ran_at_a_commit_and_is_no_longer_stored_would_run(project: Project) -> None:
    run = project.run(given=[("n", "1")])
    project.repo.commit("on")
    with project.workspace() as ws:
        for digest, _ in list(ws.store.iterate()):
            ws.store.delete(digest)
    _, first = rows(project)
    assert first.cells["a"].state == WOULD_RUN
    gone = "is not here: it was not pushed to a remote store"
    assert first.cells["a"].reason == f"output o of run {run.id[:8]} {gone}"
    assert first.cells["a"].run == run.id


def test_a_commit_whose_pipeline_can_not_be_read_or_is_not_there_says_why(project: Project) -> None:
    project.repo.commit(
        "typo", {"pipelines/p.yaml": PIPELINE.replace("outputs.o }} ${{ params.n", "outputs.x }} ${{ params.n")}
    )
    os.unlink(project.repo.file("pipelines/p.yaml"))
    project.repo.commit("gone")
    with project.workspace() as ws:
        timeline = open_timeline(ws, "p")
        gone, typo, first = timeline.rows(ws, 0, 3)
    assert "no pipeline 'p'" in str(gone.problem)
    assert "never says where to write output" in str(typo.problem)
    assert (first.problem, len(first.cells)) == (None, 2)


def test_a_step_whose_parts_are_missing_can_not_run(project: Project) -> None:
    project.repo.commit(
        "input", {"pipelines/p.yaml": "inputs: {x: no/such.csv}\n" + PIPELINE.replace("params.n }}", "inputs.x }}")}
    )
    newest, _ = rows(project)
    assert newest.cells["a"].state == CANT_RUN
    assert "no/such.csv" in newest.cells["a"].reason


def test_cells_agree_with_the_plan_at_each_commit(project: Project) -> None:
    project.run()
    project.repo.commit("two", {"src/b.sh": FILES["src/b.sh"] + "# more\n"})
    project.repo.commit("three", {"pipelines/p.yaml": PIPELINE.replace("n: 1", "n: 3")})
    with project.workspace() as ws:
        timeline = open_timeline(ws, "p")
        for row in timeline.rows(ws, 0, 3):
            decisions = make_plan(ws, load(ws, "p", row.commit)).decisions
            known = [name for name, cell in row.cells.items() if cell.state == CACHED]
            assert known == [name for name, decision in decisions.items() if decision.kind == "reuse"]


def test_commits_that_planning_sees_alike_are_planned_once(project: Project) -> None:
    for n in range(6):
        project.repo.commit(f"words {n}", {"README.md": f"{n}\n"})
    for n in range(4):
        number = 2 if n % 2 else 1
        project.repo.commit(f"value {n}", {"pipelines/p.yaml": PIPELINE.replace("n: 1", f"n: {number}")})
    with project.workspace() as ws:
        timeline = open_timeline(ws, "p")
        assert len(timeline.rows(ws, 0, 50)) == 11
        assert timeline.planned == 2
        timeline.rows(ws, 0, 50)
        assert timeline.planned == 2
        timeline.forget()
        timeline.rows(ws, 0, 1)
        assert timeline.planned == 3


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"src/a.sh": "echo other\n"}, True),
        ({"gitml.yaml": "records: {inline_file: 1}\n"}, True),
        ({"src/unused.sh": "echo\n"}, False),
        ({"pipelines/other.yaml": PIPELINE}, False),
        ({"top.txt": "a new name at the root may be what a word of a command means\n"}, True),
    ],
)
def test_a_change_is_planned_again_exactly_where_planning_could_see_it(
    project: Project, change: dict[str, str], again: bool
) -> None:
    project.repo.commit("change", change)
    with project.workspace() as ws:
        timeline = open_timeline(ws, "p")
        timeline.rows(ws, 0, 2)
        assert timeline.planned == (2 if again else 1)


def test_a_new_run_is_seen_by_a_timeline_that_was_open(project: Project) -> None:
    with project.workspace() as ws:
        timeline = open_timeline(ws, None)
        assert states(timeline.rows(ws, 0, 1)[0]) == [NEVER, NEVER]
    project.run()
    with project.workspace() as ws:
        assert states(timeline.rows(ws, 0, 1)[0]) == [CACHED, CACHED]
        assert timeline.series(ws, "b.score") == [(0, 1.0)]


def test_nothing_is_written_to_work_tree_or_store_by_looking(project: Project) -> None:
    project.run()
    before = project.objects()
    os.unlink(project.repo.file("src/a.sh"))
    assert states(rows(project)[0]) == [CACHED, CACHED]
    assert project.objects() == before
    assert project.repo.git("status", "--porcelain") == " D src/a.sh"


def test_merged_commits_are_shown_only_when_asked_for(project: Project) -> None:
    project.repo.git("checkout", "-q", "-b", "side")
    side = project.repo.commit("aside", {"side.txt": "s\n"})
    project.repo.git("checkout", "-q", "main")
    project.repo.commit("ahead", {"main.txt": "m\n"})
    project.repo.git(
        "merge",
        "-q",
        "--no-edit",
        "side",
        env={"GIT_AUTHOR_DATE": "1700009999 +0000", "GIT_COMMITTER_DATE": "1700009999 +0000"},
    )
    with project.workspace() as ws:
        assert side not in open_timeline(ws, "p").commits
        assert side in open_timeline(ws, "p", merged=True).commits
        assert open_timeline(ws, "p", "side").commits[0] == side


def test_collected_bytes_show_once_the_timeline_is_told_to_look_again(project: Project) -> None:
    project.run()
    project.repo.git("checkout", "-q", "--orphan", "elsewhere")
    project.repo.git("branch", "-q", "-D", "main")
    project.repo.commit("elsewhere")
    with project.workspace() as ws:
        timeline = open_timeline(ws, "p")
        assert states(timeline.rows(ws, 0, 1)[0]) == [CACHED, CACHED]
        collect(ws, KeepPolicy(last=0), dry_run=False)
        ws.store.sound_trees.clear()
        timeline.forget()
        assert CACHED not in states(timeline.rows(ws, 0, 1)[0])


def test_questions_that_were_asked_of_one_tree_tell_others_apart(project: Project) -> None:
    project.repo.commit("on", {"README.md": "new\n", "lib/x/y.txt": "1\n"})
    project.repo.commit("on", {"lib/x/y.txt": "2\n"})
    with project.workspace() as ws:
        two, one, zero = open_timeline(ws, "p").commits
        asked = TracedSource(ws.objects, two)
        asked.lookup("lib/x/y.txt")
        asked.lookup("lib/none.txt")
        questions = Questions(asked.asked)
        answers = [questions.ask(ws.objects, TracedSource(ws.objects, commit).tree) for commit in (two, one, zero)]
        assert len(set(answers)) == 3
        other = Questions({"lib/none.txt": "content", "src/a.sh": "content"})
        assert len({other.ask(ws.objects, TracedSource(ws.objects, commit).tree) for commit in (two, one)}) == 1


def test_columns_keep_their_place_and_new_steps_stand_where_the_pipeline_has_them() -> None:
    def row(*names: str) -> TimelineRow:
        return TimelineRow("", None, (), dict.fromkeys(names), (), {})  # type: ignore[arg-type, misc]

    assert steps_of([row("a", "b", "c")]) == ["a", "b", "c"]
    assert steps_of([row("a", "new", "c"), row("z", "a")], ["a", "b", "c"]) == ["z", "a", "new", "b", "c"]
