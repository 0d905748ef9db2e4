"""The screen Artifacts."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gitml.store.index.results import put_result
from gitml.store.index.runs import put_run
from gitml.tui.screens.artifacts.view import PreviewPane
from gitml.tui.widgets.table import LazyTable
from gitml.workspace import open_workspace
from tests.kit.projects.command_line import Project
from tests.kit.screen import shown

MAKE = """\
import base64, os, sys
folder, text, table, data, noise, hostile, picture, drawing = sys.argv[1:]
os.mkdir(folder)
open(folder + "/inside.txt", "w").write("in the folder\\n")
open(text, "w").write("the first line\\nthe second line\\n")
open(table, "w").write("name,score\\n" + "".join(f"row{n},{n * n}\\n" for n in range(30)))
open(data, "w").write('{"alpha": [1, 2], "beta": "text"}')
open(noise, "wb").write(bytes(range(256)) * 40)
open(hostile, "w").write("\\x1b[2J\\x1b]0;owned\\x07 \\u202e reversed\\n")
from PIL import Image
Image.new("RGB", (40, 20), "red").save(picture, "PNG")
open(drawing, "w").write('<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20" fill="blue"/></svg>')
"""
PIPELINE = """\
steps:
  make:
    run: >-
      PYTHON make.py ${{ outputs.folder }} ${{ outputs.text }} ${{ outputs.table }} ${{ outputs.data }} ${{ outputs.noise }}
      ${{ outputs.hostile }} ${{ outputs.picture }} ${{ outputs.drawing }}
    outputs:
      folder: directory
      text: file
      table: {type: file, path: out/table.csv}
      data: file
      noise: file
      hostile: file
      picture: plot
      drawing: plot
  use: {run: "sh use.sh ${{ steps.make.outputs.text }} ${{ outputs.copy }}", outputs: {copy: file}}
"""


def made(path: Path) -> Project:
    """A project that made one of each kind, nothing of it inline in the record."""
    import sys

    project = Project(
        path,
        {
            "pipelines/p.yaml": PIPELINE.replace("PYTHON", sys.executable),
            "make.py": MAKE,
            "use.sh": 'cat "$1" "$1" > "$2"\n',
            "gitml.yaml": "records: {inline_file: 0}\n",
        },
    )
    project.run()
    return project


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Nothing may change it."""
    return made(tmp_path_factory.mktemp("artifacts") / "p")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return made(tmp_path / "p")


def digest(project: Project, port: str) -> str:
    """What a port gave."""
    return next(
        step["outputs"][port]["digest"]
        for step in project.do("show", "latest", "--json").json["steps"]
        if port in step["outputs"]
    )


async def test_everything_that_was_made_is_listed_with_size_users_and_place(ran: Project) -> None:
    async with shown(ran.path, ran.env, "artifacts", size=(160, 40)) as ui:
        assert "Artifacts  9" in ui.text()
        row = ui.line("make.text")
        assert "●" in row
        assert "31 B" in row
        assert row.split("31 B")[1].split()[0] == "1", "one step took it in"
        assert "directory" in ui.line("make.folder")


async def test_it_is_filtered_as_one_types_and_sorted_as_one_asks(ran: Project) -> None:
    async with shown(ran.path, ran.env, "artifacts") as ui:
        await ui.press("slash")
        await ui.type("plot make")
        assert "Artifacts  2 of 9" in ui.text()
        assert "make.picture" in ui.text()
        assert "make.text" not in ui.text()
        await ui.press("escape", "s")
        await ui.type("size")
        await ui.press("enter")
        assert "▼ SIZE" in ui.text()
        lines = [line for line in ui.lines() if "make." in line or "use." in line]
        assert "make.noise" in lines[0]
        await ui.press("S", "home")
        assert "▲ SIZE" in ui.text()


@pytest.mark.parametrize(
    ("port", "seen"),
    [
        ("text", "the second line"),
        ("table", "row7"),
        ("data", '"alpha": ['),
        ("noise", "000010  10 11 12"),
        ("folder", "inside.txt"),
        ("picture", "PNG picture, 40 x 20"),
        ("drawing", "SVG drawing, 40 x 20"),
    ],
)
async def test_each_kind_is_looked_into(ran: Project, port: str, seen: str) -> None:
    async with shown(ran.path, ran.env, "artifacts", size=(160, 40), digest=digest(ran, port)) as ui:
        await ui.until(seen)
        if port == "picture":
            await ui.until("▀▀▀")


async def test_the_numbers_of_a_table_are_drawn_as_curves(ran: Project) -> None:
    async with shown(ran.path, ran.env, "artifacts", size=(160, 40), digest=digest(ran, "table")) as ui:
        await ui.until("row7")
        await ui.press("c")
        await ui.until("841.0")
        await ui.press("c")
        await ui.until("row7")


async def test_no_content_acts_on_the_terminal(ran: Project) -> None:
    async with shown(ran.path, ran.env, "artifacts", size=(160, 40), digest=digest(ran, "hostile")) as ui:
        await ui.until("reversed")
        assert not any(char in ui.text() for char in "\x1b\x07\u202e")
        assert "\\x1b[2J" in ui.text()


async def test_it_is_written_out_as_a_copy_of_ones_own(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "copies"
    place.mkdir()
    async with shown(project.path, project.env, "artifacts", digest=digest(project, "table")) as ui:
        await ui.until("row7")
        await ui.press("w")
        await ui.press("ctrl+u")
        await ui.type(str(place))
        await ui.press("enter")
        await ui.until("written")
        assert (place / "table.csv").read_text().startswith("name,score\nrow0,0\n")
        assert os.access(place / "table.csv", os.W_OK)
        await ui.press("w", "ctrl+u")
        await ui.type("/proc/nowhere/x")
        await ui.press("enter")
        assert ui.route == "artifacts"


async def test_freeing_says_what_keeps_it_and_takes_just_that(project: Project) -> None:
    asked = digest(project, "noise")
    others = {port: project.object(digest(project, port)) for port in ("text", "table", "data")}
    async with shown(project.path, project.env, "artifacts", digest=asked) as ui:
        await ui.until("10 KiB")
        await ui.press("x")
        await ui.until("What keeps it")
        assert "a branch or tag names its commit" in ui.text()
        await ui.press("escape")
        assert project.object(asked).exists()
        await ui.press("x")
        await ui.until("What keeps it")
        await ui.press("enter")  # what a run keeps is not one Enter away
        assert project.object(asked).exists()
        await ui.press("x")
        await ui.until("What keeps it")
        await ui.press("y")
        await ui.until("freed 10 KiB")
        assert not project.object(asked).exists()
        assert all(path.exists() for path in others.values())
        await ui.until("○")
    assert project.outcomes("p", "make", "use") == {"make": "executed", "use": "reused"}


async def test_several_are_freed_at_once_when_they_are_marked(project: Project) -> None:
    asked = [digest(project, port) for port in ("text", "data")]
    async with shown(project.path, project.env, "artifacts", filter="make.") as ui:
        table = ui.app.screen.query_one(LazyTable)
        for number in range(table.count):
            row = table.row(number)
            if row is not None and row.key in asked:
                table.move_to(number)
                await ui.press("space")
        assert "2 marked" in ui.text()
        await ui.press("x")
        await ui.until("Free 2 artifacts?")
        await ui.press("y")
        await ui.until("freed")
    assert not any(project.object(one).exists() for one in asked)


async def test_damage_is_told_in_place_and_the_rest_works(project: Project) -> None:
    path = project.object(digest(project, "data"))
    path.chmod(0o644)
    path.write_text("other bytes")
    async with shown(project.path, project.env, "artifacts", size=(160, 40), filter="make.") as ui:
        ui.app.screen.query_one(LazyTable).move_to(0)
        table = ui.app.screen.query_one(LazyTable)
        for number in range(table.count):
            row = table.row(number)
            assert row is not None
            table.move_to(number)
            pane = ui.app.screen.query_one(PreviewPane)
            wanted = "damaged" if row.key == digest(project, "data") else row.cells[1].text
            await ui.until(wanted)
            assert pane.is_mounted


async def test_lineage_and_run_are_one_key_away(ran: Project) -> None:
    async with shown(ran.path, ran.env, "artifacts", digest=digest(ran, "copy")) as ui:
        await ui.until("use.copy")
        await ui.press("L")
        assert "What use.copy was made from" in ui.text()
        await ui.press("4", "o")
        assert ui.route == "run"


@pytest.fixture
def away(project: Project, tmp_path: Path) -> Project:
    """A project all of whose artifacts but one are in a remote store alone; that one is nowhere."""
    asked = digest(project, "noise")
    config = f"records: {{inline_file: 0}}\nremotes: [{{name: shared, url: 'file://{tmp_path / 'shared'}'}}]\n"
    (project.path / "gitml.yaml").write_text(config)
    project.repo.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    project.repo.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    project.do("push", "--outputs", "make.t*", "--outputs", "make.folder")
    for path in (project.path / ".git/gitml/objects").rglob("*"):
        if path.is_file():
            path.unlink()
    assert not project.object(asked).exists()
    return project


async def test_what_only_a_remote_store_has_is_told_so_and_brought_when_one_asks(away: Project, tmp_path: Path) -> None:
    text, gone = digest(away, "text"), digest(away, "noise")
    async with shown(away.path, away.env, "artifacts", size=(160, 40), digest=text) as ui:
        await ui.until("A remote store has its 31 B")
        assert "◌ in a remote store" in ui.text()
        assert re.search(r"◌ +make\.text", ui.text())
        await ui.press("f")
        await ui.until("the second line")
        assert away.object(text).exists()
        assert re.search(r"● +make\.text", ui.text())
    async with shown(away.path, away.env, "artifacts", size=(160, 40), digest=gone) as ui:
        await ui.until("No remote store is known to have it")
        await ui.press("f")
        await ui.until("no remote store has it")


async def test_what_only_a_remote_store_has_is_written_out(away: Project, tmp_path: Path) -> None:
    async with shown(away.path, away.env, "artifacts", size=(160, 40), digest=digest(away, "folder")) as ui:
        await ui.until("A remote store has")
        await ui.press("w")
        await ui.press("ctrl+u")
        await ui.type(str(tmp_path / "copy"))
        await ui.press("enter")
        await ui.until("written")
    assert (tmp_path / "copy/inside.txt").read_text() == "in the folder\n"


async def test_a_remote_store_is_asked_only_when_a_person_wants_something_of_it(away: Project, tmp_path: Path) -> None:
    config = "records: {inline_file: 0}\nremotes: [{name: shared, url: ssh://127.0.0.1:1/nothing}]\n"
    (away.path / "gitml.yaml").write_text(config)
    async with shown(away.path, away.env, "artifacts", size=(160, 40), digest=digest(away, "text")) as ui:
        await ui.until("No remote store is known to have it")
        assert "Artifacts  1 of 9" in ui.text()
        await ui.press("f")
        await ui.until("remote shared:", 60)


async def test_where_nothing_was_made_it_says_what_to_do(tmp_path: Path) -> None:
    fresh = Project(tmp_path / "p", {"README.md": "x"})
    async with shown(fresh.path, fresh.env, "artifacts") as ui:
        assert "Nothing was made here yet" in ui.text()


@pytest.mark.slow
async def test_many_artifacts_are_paged_filtered_and_sorted(tmp_path: Path) -> None:
    from gitml.core.model.digest import digest_of as digest_of_bytes
    from gitml.core.model.result import ActionResult, Cost, OutputRef
    from gitml.core.records.record import Run, StepRun

    project = Project(tmp_path / "p", {"README.md": "x"})
    ws = open_workspace(str(project.path), project.env)
    with ws.index.batch():
        for number in range(5000):
            id = f"{number:016x}"
            outputs = (OutputRef("o", "file", digest_of_bytes(id.encode()), number),)
            key = digest_of_bytes(f"k{id}".encode())
            put_result(ws.index, key, ActionResult(outputs, {}, Cost(), id, 1e9 + number), None, "p", f"s{number % 9}")
            step = StepRun(f"s{number % 9}", "executed", "", 1.0, key, outputs)
            run = Run(
                id, "p", "p", "p", "succeeded", "c" * 40, 1e9 + number, 1e9 + number, "a", "h", "1", steps=(step,)
            )
            put_run(ws.index, run, "r" * 40)
    ws.close()
    async with shown(project.path, project.env, "artifacts") as ui:
        assert "Artifacts  5,000" in ui.text()
        await ui.press("end")
        await ui.until("0" * 8)
        table = ui.app.screen.query_one(LazyTable)
        assert (table.cursor, table.count) == (4999, 5000)
        await ui.press("slash")
        await ui.type("s3.o")
        assert "556 of 5,000" in ui.text()
