"""Answers that come late: what they are about is not what is shown any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gitml.tui.screens.lineage.view import LineageTree
from gitml.tui.screens.run.log_pane import EVERY, LogPane
from gitml.tui.widgets.table import LazyTable
from tests.kit.projects.command_line import Project, wait_until
from tests.kit.screen import Held, Ui, shown
from tests.tui.screens.test_runs import fake_runs


async def to(ui: Ui, tree: LineageTree, name: str) -> None:
    """Puts the cursor on a thing below it."""
    while tree.current is None or tree.current.name != name:
        assert tree.cursor_line < tree.last_line, ui.text()
        await ui.press("down")


async def test_rows_of_the_order_before_are_not_taken_for_those_of_the_new_one(project: Project) -> None:
    ids = fake_runs(project, 300)
    async with shown(project.path, project.env) as ui:
        held = Held(ui, (id(ui.app.screen), "rows256"))
        await ui.press("end", "S")
        table = ui.app.screen.query_one(LazyTable)
        assert table.current is not None
        assert table.current.key == ids[-1], "the oldest is the first now"
        held.go()
        await ui.settle()
        await ui.press("end")
        assert table.current.key == ids[0]


async def test_what_was_in_an_artifact_is_not_told_where_none_fits_the_filter(ran: Project) -> None:
    async with shown(ran.path, ran.env, "artifacts") as ui:
        await ui.press("down")
        digest = ui.app.screen.current.digest  # type: ignore[attr-defined]
        await ui.press("up")
        held = Held(ui, digest)
        await ui.press("down", "slash", "z", "z", "z")
        await ui.until("nothing fits the filter")
        held.go()
        await ui.settle()
        assert "nothing fits the filter" in ui.text()
        assert "made by" not in ui.text()


async def test_the_artifact_is_told_again_once_the_filter_is_cleared(ran: Project) -> None:
    async with shown(ran.path, ran.env, "artifacts") as ui:
        await ui.until("made by")
        await ui.press("slash")
        await ui.type("zzz")
        assert "nothing fits the filter" in ui.text()
        await ui.press("escape")
        await ui.until("made by")
        assert "nothing fits the filter" not in ui.text()


async def test_branches_of_the_tree_before_are_no_part_of_the_tree_of_the_same_thing(ran: Project) -> None:
    async with shown(ran.path, ran.env, "lineage") as ui:
        tree = ui.app.screen.query_one(LineageTree)
        await to(ui, tree, "prepare.clean")
        node = tree.cursor_node
        assert node is not None
        held = Held(ui, (id(ui.app.screen), f"node {node.id}"))
        await ui.press("right", "enter", "backspace")
        held.go()
        await ui.settle()
        await to(ui, tree, "prepare.clean")
        await ui.press("right")
        await ui.until("data.csv")
        assert "above" not in ui.line("» prepare")


async def test_where_nothing_was_made_what_was_looked_for_stays(tmp_path: Path) -> None:
    fresh = Project(tmp_path / "p", {"data.csv": "1\n"})
    async with shown(fresh.path, fresh.env, "lineage") as ui:
        page = ui.app.screen
        held = Held(ui, (id(page), "begin"))
        page.refresh_data()  # type: ignore[attr-defined]
        await ui.press("slash", *"data", "full_stop", *"csv", "enter")
        await ui.until("What data.csv was made from")
        held.go()
        await ui.settle()
        assert "What data.csv was made from" in ui.text()
        assert "Nothing was made here yet" not in ui.text()


async def test_what_runs_is_told_at_the_top_of_a_screen_one_comes_back_to(project: Project, tmp_path: Path) -> None:
    process = project.start("run", "gated", "-S", f"gate={tmp_path}/gate")
    try:
        async with shown(project.path, project.env) as ui:
            await ui.until("1 running")
            await ui.press("2")
            await ui.until("1 running")
            await asyncio.to_thread(project.do, "cancel", "latest")
            while "running" in ui.lines()[0]:
                await asyncio.sleep(0.05)
                await ui.pilot.pause()
            await ui.press("1")
            assert "running" not in ui.lines()[0]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("typed", "told"), [("models", "3 of 3"), ("no-such-run", "0 of 3")])
async def test_the_number_of_runs_that_fit_a_filter_is_told(ran: Project, typed: str, told: str) -> None:
    async with shown(ran.path, ran.env) as ui:
        await ui.press("slash")
        await ui.type(typed)
        assert told in ui.lines()[-2]
        await ui.press("enter", "space")
        assert told in ui.lines()[-2]


async def test_what_was_searched_for_in_the_log_of_one_step_is_not_shown_as_that_of_another(ran: Project) -> None:
    run = ran.do("log", "--json").json[-1]["run"]
    async with shown(ran.path, ran.env, "run", run=run, step="train[ada]", section="log") as ui:
        held = Held(ui, f"search {id(ui.app.screen.query_one(LogPane))}")
        await ui.press("l", "slash", *"line", "space", "5", "enter", "shift+tab", "home")
        await ui.until("preparing from")
        held.go()
        await ui.settle()
        assert "preparing from" in ui.text()
        assert "line 5" not in ui.text()


async def test_a_log_is_still_followed_after_its_end_was_asked_for_while_it_was_looked_at(
    project: Project, tmp_path: Path
) -> None:
    process = project.start("run", "gated", "-q", "-S", f"gate={tmp_path}/gate")
    try:
        wait_until(lambda: list((project.path / ".git/gitml/live").glob("*/logs/1-1.log")))
        (log,) = (project.path / ".git/gitml/live").glob("*/logs/1-1.log")
        run = log.parent.parent.name
        async with shown(project.path, project.env, "run", run=run, step="wait", section="log") as ui:
            await ui.until("waiting for the gate")
            await ui.press("l")
            held = Held(ui, (id(ui.app.screen), "log"))
            await ui.pilot.pause(2 * EVERY)
            await ui.press("G")
            held.go()
            await ui.pilot.pause(2 * EVERY)
            with open(log, "ab") as file:
                file.write(b"and then one more\n")
            await ui.until("and then one more")
    finally:
        process.kill()
        process.communicate()
