"""Dark and light, turned while one looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitml.tui.styles import DARK, LIGHT
from tests.kit.projects.command_line import Project
from tests.kit.screen import Ui, shown

PLACES = ("runs", "time", "lineage", "artifacts", "modules", "run", "compare")


def written_in(ui: Ui) -> set[str]:
    """The colours in which anything is written, as ``#rrggbb``."""
    strips = ui.app.screen._compositor.render_strips(ui.app.size)
    styles = [segment.style for strip in strips for segment in strip if segment.text.strip()]
    return {style.color.get_truecolor().hex for style in styles if style is not None and style.color is not None}


async def assert_light(ui: Ui) -> None:
    await ui.settle()
    dark = {DARK.primary, DARK.foreground, DARK.accent, DARK.success, DARK.warning, DARK.error}
    assert written_in(ui).isdisjoint(dark - {None}), ui.text()
    assert LIGHT.foreground in written_in(ui)


@pytest.mark.parametrize("place", PLACES)
async def test_all_that_is_seen_turns_light_at_once(ran: Project, place: str) -> None:
    runs = [run["run"] for run in ran.do("log", "--json").json]
    what = {"run": {"run": runs[0]}, "compare": {"runs": tuple(runs[:2])}}.get(place, {})
    async with shown(ran.path, ran.env, place, **what) as ui:
        await ui.press("ctrl+t")
        await assert_light(ui)


async def test_screens_that_are_not_seen_turn_light_too(ran: Project) -> None:
    async with shown(ran.path, ran.env, "artifacts") as ui:
        await ui.press("1", "ctrl+t", "4")
        assert ui.route == "artifacts"
        await assert_light(ui)


async def test_what_is_said_where_there_is_nothing_turns_light_too(tmp_path: Path) -> None:
    project = Project(tmp_path / "p", {"a": "b"})
    async with shown(project.path, project.env, "artifacts") as ui:
        await ui.press("ctrl+t")
        await assert_light(ui)
