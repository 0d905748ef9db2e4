"""The screen Runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.widgets import Input

from gitml.core.records.record import Run, StepRun
from gitml.store.index.runs import put_run
from gitml.tui.screens.runs.screen import RunsPage
from gitml.tui.widgets.table import LazyTable
from gitml.workspace import open_workspace
from tests.kit.projects.command_line import Project
from tests.kit.projects.repository import environment
from tests.kit.screen import shown


def fake_runs(project: Project, count: int) -> list[str]:
    """Rows of runs that are in the index alone; their ids, newest first."""
    ws = open_workspace(str(project.path), project.env)
    ids = []
    with ws.index.batch():
        for number in range(count):
            step = StepRun("train", "executed", "never ran", 1.0, metrics={"accuracy": (number * 7919 % 1000) / 1000})
            status = "failed" if number % 10 == 3 else "succeeded"
            id = f"{number:016x}"
            run = Run(
                id, "models", "p", "models", status, "c" * 40, 1e9 + number, 1e9 + number + number % 7, "a", "h", "1"
            )
            put_run(ws.index, run._replace(steps=(step,), message=f"run number {number}"), "r" * 40)
            ids.append(id)
    ws.close()
    return ids[::-1]


async def test_runs_are_listed_newest_first_with_their_metrics(ran: Project) -> None:
    listed = json.loads(ran.do("log", "--json").out)
    async with shown(ran.path, ran.env) as ui:
        rows = [line for line in ui.lines() if "models" in line]

        for row, run in zip(rows, listed, strict=True):
            assert run["run"][:8] in row
        assert "2✓ 1=" in rows[1]
        assert "3=" in rows[0]
        assert "0.75" in rows[0]
        assert "1.5" in rows[1]


async def test_a_filter_works_as_it_is_typed_and_escape_clears_it(ran: Project) -> None:
    async with shown(ran.path, ran.env) as ui:
        await ui.press("slash")
        await ui.type("twice")
        assert len([line for line in ui.lines() if "✓ " in line and "models" in line]) == 1
        assert "1 of 3" in ui.text()
        await ui.press("escape", "escape")
        assert len([line for line in ui.lines() if "✓ " in line and "models" in line]) == 3


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("status:failed", 10),
        ("accuracy>=0.9", 9),
        ("accuracy<0.1 status:succeeded", 10),
        ("number 0000000000000042", 1),
        ("pipeline:models", 100),
        ("branch:nowhere", 0),
        ("100%", 0),
        ("since:", 100),
    ],
)
async def test_a_filter_finds_what_it_says(project: Project, asked: str, found: int) -> None:
    fake_runs(project, 100)
    async with shown(project.path, project.env, filter=asked) as ui:
        if found:
            assert ui.app.screen.query_one(LazyTable).count == found
        else:
            assert "No run matches" in ui.text()


async def test_a_filter_that_means_nothing_is_told_and_the_list_stays(ran: Project) -> None:
    async with shown(ran.path, ran.env) as ui:
        await ui.press("slash")
        ui.app.screen.query_one(Input).value = "since:someday"  # as it is pasted: on the way there nothing would fit
        await ui.settle()
        assert "not a date" in ui.text()
        assert "models" in ui.text()


async def test_runs_are_sorted_by_a_metric_and_back(project: Project) -> None:
    fake_runs(project, 100)
    async with shown(project.path, project.env) as ui:
        await ui.press("s")
        await ui.type("train.accuracy")
        await ui.press("enter")
        first = next(line for line in ui.lines() if "models" in line)
        assert "0.981" in first
        await ui.press("S")
        first = next(line for line in ui.lines() if "models" in line)
        assert " 0 " in first


async def test_the_end_of_a_long_list_is_one_key_away_and_only_rows_near_it_are_held(project: Project) -> None:
    ids = fake_runs(project, 20_000)
    async with shown(project.path, project.env) as ui:
        assert "20,000" in ui.text()
        await ui.press("end")
        assert ids[-1][:8] in ui.text()
        assert ui.app.screen.query_one(LazyTable).current.key == ids[-1]  # type: ignore[union-attr]
        for _ in range(5):
            await ui.press("pageup")
        await ui.press("home")
        assert ids[0][:8] in ui.text()
        assert len(ui.app.screen.query_one(LazyTable)._rows) < 10_000


async def test_marked_runs_are_opened_side_by_side(ran: Project) -> None:
    async with shown(ran.path, ran.env) as ui:
        await ui.press("space", "space", "c")
        assert ui.route == "compare"
        assert "2 runs side by side" in ui.text()
        await ui.press("escape")
        assert ui.route == "runs"
        assert "2 marked" in ui.text()


async def test_enter_and_a_double_click_open_a_run(ran: Project) -> None:
    async with shown(ran.path, ran.env) as ui:
        await ui.press("down", "enter")
        assert ui.route == "run"
        await ui.press("escape")
        await ui.pilot.click(LazyTable, offset=(12, 3), times=2)
        await ui.settle()
        assert ui.route == "run"


async def test_a_run_that_was_recorded_elsewhere_appears_by_itself(project: Project) -> None:
    async with shown(project.path, project.env) as ui:
        assert "Nothing has run here yet" in ui.text()
        assert "gated, models" in ui.text()
        run = project.run("models")
        await ui.until(run["run"][:8])


async def test_outside_a_repository_it_says_what_to_do(tmp_path: Path) -> None:
    env = {**environment(), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    async with shown(tmp_path, env) as ui:
        assert "not a git repository" in ui.text().lower()
        assert "git init" in ui.text()
        await ui.press("question_mark")
        assert "This screen" in ui.text()


async def test_in_an_empty_repository_it_says_what_to_do(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {"README": "empty"})
    async with shown(project.path, project.env) as ui:
        assert "gitml init" in ui.text()
        await ui.press("n")
        assert "no pipeline here" in ui.text()


async def test_hostile_names_neither_act_nor_shift_the_screen(project: Project) -> None:
    ws = open_workspace(str(project.path), project.env)
    evil = [
        "\x1b[2J\x1b]0;title\x07gone",
        "日本語のとても長い名前" * 9,
        "שלום עולם",
        "a\u202egnp.exe",
        "e\u0301\u0301",
        "❤\ufe0f heart",
        "tab\tnew\nline",
    ]
    for number, message in enumerate(evil):
        run = Run(
            f"{number:016x}",
            message,
            "p",
            message,
            "succeeded",
            "c" * 40,
            1e9,
            1e9,
            "a",
            "h",
            "1",
            message=message,
            branch=message,
        )
        put_run(ws.index, run, "r" * 40)
    ws.close()
    for size in ((80, 24), (200, 50)):
        async with shown(project.path, project.env, size=size) as ui:
            strips = ui.app.screen._compositor.render_strips(ui.app.size)
            assert {strip.cell_length for strip in strips} == {size[0]}
            assert all(char.isprintable() for line in ui.lines() for char in line)
            assert "日本語" in ui.text()


async def test_a_damaged_index_is_told_or_mended_and_the_screen_goes_on(project: Project) -> None:
    run = project.run("models")
    async with shown(project.path, project.env) as ui:
        assert run["run"][:8] in ui.text()
        for name in ("index.db", "index.db-wal"):
            path = project.path / ".git/gitml" / name
            if path.exists():
                path.write_bytes(b"\0" * path.stat().st_size)
        for _ in range(3):
            await ui.press("ctrl+r")
        await ui.until(run["run"][:8])


async def test_where_one_was_is_found_again_and_no_run_is_left_out_unasked(ran: Project, tmp_path: Path) -> None:
    memory = str(tmp_path / "ui.json")
    async with shown(ran.path, ran.env, state=memory) as ui:
        await ui.press("slash")
        await ui.type("twice")
        await ui.press("enter", "ctrl+t")
        assert "1 of 3" in ui.text()
        ui.app.save_state()
    async with shown(ran.path, ran.env, state=memory) as ui:
        screen = ui.app.screen
        assert isinstance(screen, RunsPage)
        assert (screen.filter, screen.query_one(LazyTable).count) == ("", 3)
        assert ui.app.theme == "gitml-light"
        await ui.press("down")
        chosen = screen.selected_run()
        assert chosen is not None
        ui.app.save_state()
    async with shown(ran.path, ran.env, state=memory) as ui:
        screen = ui.app.screen
        assert isinstance(screen, RunsPage)
        assert (screen.selected_run(), screen.query_one(LazyTable).cursor) == (chosen, 1)


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (300, 80)])
async def test_any_size_is_drawn_and_may_change_at_any_time(ran: Project, size: tuple[int, int]) -> None:
    async with shown(ran.path, ran.env, size=(120, 36)) as ui:
        for place in ("runs", "run"):
            if place == "run":
                await ui.press("enter")
            await ui.pilot.resize_terminal(*size)
            await ui.settle()
            assert len(ui.lines()) == size[1]
            await ui.pilot.resize_terminal(120, 36)
            await ui.settle()
            assert "models" in ui.text()
