"""The screen Lineage."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.history.lineage.nodes import find_nodes
from gitml.tui.screens.lineage.screen import LineagePage
from gitml.tui.screens.lineage.view import LineageTree
from gitml.workspace import open_workspace
from tests.kit.projects.command_line import Project
from tests.kit.screen import shown

PIPELINE = """\
params: {n: 1}
inputs: {raw: data/raw.txt}
steps:
  make: {run: "sh make.sh ${{ inputs.raw }} ${{ outputs.o }} ${{ params.n }}", outputs: {o: file}}
  score: {run: "sh score.sh ${{ steps.make.outputs.o }} ${{ outputs.m }}", outputs: {m: metrics}}
"""
FILES = {
    "pipelines/p.yaml": PIPELINE,
    "make.sh": 'cat "$1" > "$2"; echo $3 >> "$2"\n',
    "score.sh": 'printf \'{"lines": %s}\' "$(wc -l < "$1")" > "$2"\n',
    "data/raw.txt": "raw\n",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that ran once; nothing may change it."""
    made = Project(tmp_path_factory.mktemp("lineage") / "p", FILES)
    made.run()
    return made


async def test_it_begins_with_what_the_newest_run_made_and_opens_branches_one_by_one(project: Project) -> None:
    async with shown(project.path, project.env, "lineage") as ui:
        assert "What score.m was made from" in ui.text()
        assert "make.o" in ui.text()
        assert "data/raw.txt" not in ui.text(), "what is below make.o was not asked for yet"
        await ui.press("down", "down", "right")
        assert "» make" in ui.text()
        assert "data/raw.txt" in ui.text()
        assert "n = 1" in ui.text()
        await ui.press("left", "left")
        assert "data/raw.txt" not in ui.text()


async def test_one_goes_there_and_back(project: Project) -> None:
    async with shown(project.path, project.env, "lineage") as ui:
        await ui.press("down", "down", "enter")
        assert "What make.o was made from" in ui.text()
        assert "1 back" in ui.text()
        await ui.press("d")
        assert "What was made of make.o" in ui.text()
        assert "» score" in ui.text()
        await ui.press("backspace")
        assert "What make.o was made from" in ui.text()
        await ui.press("escape")
        assert "What score.m was made from" in ui.text()
        await ui.press("f")
        assert "What make.o was made from" in ui.text()


@pytest.mark.parametrize(
    ("asked", "title"),
    [("data/raw.txt", "data/raw.txt"), ("latest:make.o", "make.o"), ("HEAD", "begin"), ("latest:make", "make.o")],
)
async def test_any_thing_is_found_by_its_name(project: Project, asked: str, title: str) -> None:
    async with shown(project.path, project.env, "lineage") as ui:
        await ui.press("slash")
        await ui.type(asked)
        await ui.press("enter")
        assert f"What {title} was made from" in ui.text()


async def test_what_is_not_found_is_said_and_the_tree_stays(project: Project) -> None:
    async with shown(project.path, project.env, "lineage") as ui:
        await ui.press("slash")
        await ui.type("no-such-thing")
        await ui.press("enter")
        assert "nothing here is called" in ui.text()
        assert "What score.m was made from" in ui.text()


async def test_the_thing_under_the_cursor_is_told_of(project: Project) -> None:
    async with shown(project.path, project.env, "lineage") as ui:
        await ui.press("down")
        assert "sh score.sh" in ui.text()
        assert "succeeded" in ui.text()
        await ui.press("down")
        assert "bytes    here" in ui.text()
        assert "6 B" in ui.text()


async def test_downstream_of_a_file_is_all_that_was_made_with_it(project: Project) -> None:
    async with shown(project.path, project.env, "lineage", thing="data/raw.txt", direction="down") as ui:
        assert "What was made of data/raw.txt" in ui.text()
        for name in ("» make", "make.o", "» score", "score.m"):
            assert name in ui.text()
            await ui.press("down", "right")


async def test_what_is_said_late_of_the_tree_before_leaves_the_next_alone(project: Project) -> None:
    ws = open_workspace(str(project.path), project.env)
    try:
        [raw] = find_nodes(ws, "data/raw.txt")
    finally:
        ws.close()
    async with shown(project.path, project.env, "lineage") as ui:
        screen = ui.app.screen
        assert isinstance(screen, LineagePage)
        tree = screen.query_one(LineageTree)
        nodes = [tree.root]
        for node in nodes:
            nodes += node.children
        [before] = [node for node in nodes if node.data is not None and node.data.thing.name == "make.o"]
        screen.direction = "down"
        screen._show(raw)
        before.expand()
        await ui.settle()
        for name in ("» make", "make.o", "» score", "score.m"):
            assert name in ui.text()
            await ui.press("down", "right")
        assert "above" not in ui.text()


async def test_a_thing_opens_in_its_own_screen(project: Project) -> None:
    async with shown(project.path, project.env, "lineage") as ui:
        await ui.press("o")
        assert ui.route == "artifacts"
        await ui.press("3", "down", "o")
        assert ui.route == "run"


async def test_a_small_terminal_shows_tree_and_thing(project: Project) -> None:
    async with shown(project.path, project.env, "lineage", size=(80, 24)) as ui:
        assert "» score" in ui.text()
        assert "score.m\n" in ui.text() or "◆ artifact" in ui.text()


async def test_where_nothing_was_made_it_says_what_to_do(tmp_path: Path) -> None:
    fresh = Project(tmp_path / "p", FILES)
    async with shown(fresh.path, fresh.env, "lineage") as ui:
        assert "Nothing was made here yet" in ui.text()
        await ui.press("slash")
        await ui.type("data/raw.txt")
        await ui.press("enter")
        assert "What data/raw.txt was made from" in ui.text()


async def test_no_name_acts_on_the_terminal(tmp_path: Path) -> None:
    name = "data/a\x1b[31m\u202eb.txt"
    hostile = Project(
        tmp_path / "p", {**FILES, name: "x\n", "pipelines/p.yaml": PIPELINE.replace("data/raw.txt", "data")}
    )
    hostile.repo.commit("cat", {"make.sh": 'cat "$1"/* > "$2"\n'})
    hostile.run()
    async with shown(hostile.path, hostile.env, "lineage", thing=name) as ui:
        assert not any(char in ui.text() for char in "\x1b\u202e")
        assert "\\x1b[31m" in ui.text()
