"""The screen Time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitml.tui.screens.time.grid import TimeGrid, lay_out
from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project
from tests.kit.screen import Ui, shown

PIPELINE = """\
params: {n: 1}
steps:
  make: {run: "sh make.sh ${{ outputs.o }} ${{ params.n }}", outputs: {o: file}}
  score: {run: "sh score.sh ${{ steps.make.outputs.o }} ${{ outputs.m }}", outputs: {m: metrics}}
"""
FILES = {
    "pipelines/p.yaml": PIPELINE,
    "make.sh": 'echo $2 > "$1"\n',
    "score.sh": 'printf \'{"accuracy": %s}\' "$(cat "$1")" > "$2"\n',
    "README.md": "words\n",
}


def lived(path: Path) -> Project:
    """A project with four commits: one that ran, one of words, one whose score failed, one that never ran."""
    project = Project(path, FILES)
    project.run()
    project.repo.commit("words", {"README.md": "other\n"})
    project.repo.commit("breaks", {"score.sh": "exit 3\n"})
    project.run(code=1)
    project.repo.commit("mends", {"score.sh": FILES["score.sh"], "pipelines/p.yaml": PIPELINE.replace("n: 1", "n: 5")})
    return project


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Nothing may change it."""
    return lived(tmp_path_factory.mktemp("time") / "p")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return lived(tmp_path / "p")


def runs(project: Project) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(project.do("log", "--json").out)
    return found


def cells(ui: Ui, subject: str) -> str:
    """The signs in the row of a commit, one after the other."""
    return "".join(sign for sign in ui.line(subject) if sign in "●○·✗!▶")


async def test_each_cell_says_what_is_known_of_the_step_at_the_commit(history: Project) -> None:
    async with shown(history.path, history.env, "time") as ui:
        assert [cells(ui, subject) for subject in ("mends", "breaks", "words", "begin")] == ["··", "●✗", "●●", "●●"]
        assert "accuracy" in ui.text()
        assert "cached" in ui.text()
        assert "main mends" in ui.text()
        assert "param n: 1 -> 5" in ui.text()


async def test_enter_opens_the_run_behind_the_cell(history: Project) -> None:
    failed = next(run for run in runs(history) if run["status"] == "failed")
    async with shown(history.path, history.env, "time") as ui:
        await ui.press("down", "right")
        assert f"failed in run {str(failed['run'])[:8]}" in ui.text()
        await ui.press("enter")
        assert ui.route == "run"
        assert str(failed["run"])[:8] in ui.text()


async def test_where_nothing_ran_enter_says_what_would(history: Project) -> None:
    async with shown(history.path, history.env, "time") as ui:
        await ui.press("enter")
        assert ui.route == "time"
        assert "nothing has run here yet" in ui.text()


async def test_a_step_is_explained_at_a_commit_and_between_two(history: Project) -> None:
    async with shown(history.path, history.env, "time") as ui:
        await ui.press("e")
        assert ui.route == "TextViewer"
        assert "param" in ui.text()
        await ui.press("escape", "down", "down", "space")
        assert "◆" in ui.line("words")
        await ui.press("up", "up")
        assert "e explains the change between the two" in ui.text()
        await ui.press("e")
        assert f"compared with {history.repo.git('rev-parse', 'HEAD~2')}" in ui.text().replace("\n", " ")
        assert "- 1" in ui.text()
        assert "+ 5" in ui.text()


@pytest.mark.slow
async def test_the_pipeline_is_run_at_the_commit_once_that_was_confirmed(project: Project) -> None:
    before = project.state()
    commit = project.repo.git("rev-parse", "HEAD~2")
    async with shown(project.path, project.env, "time") as ui:
        await ui.press("down", "down", "r")
        assert "2 steps to be reused" in ui.text()
        await ui.press("n")
        assert len(runs(project)) == 2
        await ui.press("r", "y")
        await ui.until("succeeded")
        assert ui.route == "run"
    newest = runs(project)[0]
    assert (newest["commit"], newest["dirty"]) == (commit, False)
    assert project.state() == before


@pytest.mark.slow
async def test_a_run_elsewhere_is_seen_without_a_key(project: Project) -> None:
    async with shown(project.path, project.env, "time") as ui:
        assert cells(ui, "mends") == "··"
        process = project.start("run", "-q")
        process.communicate(timeout=PATIENCE)
        await ui.until("accuracy = " if "accuracy = " in ui.text() else "mends ")
        for _ in range(100):
            await ui.settle()
            if cells(ui, "mends") == "●●":
                break
        assert cells(ui, "mends") == "●●"


@pytest.mark.slow
async def test_a_new_commit_is_seen_without_a_key(project: Project) -> None:
    async with shown(project.path, project.env, "time") as ui:
        project.repo.commit("just now", {"README.md": "news\n"})
        await ui.until("just now")
        assert ui.app.screen.query_one(TimeGrid).cursor == 1, "the cursor stays on its commit"


async def test_the_chosen_metric_is_drawn_along_the_history(history: Project) -> None:
    async with shown(history.path, history.env, "time", size=(160, 50)) as ui:
        await ui.press("m")
        assert "score.accuracy" in ui.text()
        await ui.press("enter", "end")
        assert "score.accuracy = 1" in ui.text()
        assert "oldest" in ui.text()
        await ui.press("v")
        assert "oldest" not in ui.text()


async def test_another_branch_is_shown_when_it_is_chosen(project: Project) -> None:
    project.repo.git("branch", "early", "HEAD~3")
    async with shown(project.path, project.env, "time") as ui:
        await ui.press("b")
        await ui.type("early")
        await ui.press("enter")
        assert "p on early  1 commit" in ui.text()
        assert "mends" not in ui.text()


async def test_it_fits_a_small_terminal(history: Project) -> None:
    async with shown(history.path, history.env, "time", size=(80, 24)) as ui:
        assert cells(ui, "breaks") == "●✗"
        assert "make" in ui.line("SUBJECT")
        await ui.press("v")
        await ui.until("oldest")
        assert any("⠀" < char <= "⣿" for char in ui.text()), "a line of braille dots"
        assert cells(ui, "breaks") == "●✗"


async def test_of_many_steps_the_one_under_the_cursor_is_in_sight(tmp_path: Path) -> None:
    lines = "".join(
        f"  step{n:03}: {{run: 'sh make.sh ${{{{ outputs.o }}}} {n}', outputs: {{o: file}}}}\n" for n in range(300)
    )
    project = Project(tmp_path / "p", {"pipelines/p.yaml": f"steps:\n{lines}", "make.sh": "x\n"})
    async with shown(project.path, project.env, "time", size=(80, 24)) as ui:
        for _ in range(120):
            ui.app.screen.query_one(TimeGrid).action_step(1)
        await ui.settle()
        assert "step120 " in ui.text()
        assert "[·]" in ui.line("begin")


@pytest.mark.parametrize("subject", ["\x1b[2J\x1b]0;owned\x07", "a\u202eb", "wide 日本語 words", "tab\tand\x9b31m"])
async def test_no_subject_acts_on_the_terminal(tmp_path: Path, subject: str) -> None:
    project = Project(tmp_path / "p", FILES)
    project.repo.commit(subject)
    async with shown(project.path, project.env, "time") as ui:
        text = ui.text()
        assert not any(char in text for char in "\x1b\x07\u202e\x9b\t")
        assert len({len(line) for line in ui.lines() if line.isascii()}) == 1


async def test_what_is_missing_is_said_in_place(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {"README.md": "nothing else\n"})
    async with shown(project.path, project.env, "time") as ui:
        assert "no pipeline here" in ui.text()
    project.repo.git("update-ref", "-d", "refs/heads/main")
    async with shown(project.path, project.env, "time") as ui:
        assert "no commit yet" in ui.text()


async def test_a_commit_whose_pipeline_is_broken_says_why_and_the_others_are_shown(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", FILES)
    project.repo.commit("typo", {"pipelines/p.yaml": "steps: [\n"})
    project.repo.commit("back", {"pipelines/p.yaml": PIPELINE})
    async with shown(project.path, project.env, "time") as ui:
        assert "not YAML" in ui.line("typo")
        assert cells(ui, "begin") == "··"


def test_a_column_is_as_wide_as_its_title_is_seen() -> None:
    widths = [width for _, _, width in lay_out(120, ["train[bert]", "train[日本語]"], 0, 0, metric=False).steps]
    assert widths == [4, 6]
