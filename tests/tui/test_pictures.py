"""How screens look: pictures of what never changes, and pictures for documents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gitml.core.records.record import Run, StepRun
from gitml.store.index.runs import put_run
from gitml.tui.app import GitmlApp
from gitml.tui.query_runner import QueryRunner
from gitml.tui.start import settle
from gitml.workspace import open_workspace
from tests.kit.projects.command_line import Project


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project whose index has the same few runs on every day and machine."""
    ws = open_workspace(str(project.path), project.env)
    noon = 1_000_040_000  # whatever the time zone, nearly
    for number, status in enumerate(("succeeded", "failed", "cancelled", "succeeded")):
        outcomes = {"succeeded": ("executed", "reused"), "failed": ("executed", "failed")}.get(
            status, ("executed", "cancelled")
        )
        steps = tuple(StepRun(f"s{at}", outcome, "why", 1.0) for at, outcome in enumerate(outcomes))
        steps = (
            *steps,
            StepRun(
                "train", "executed", "why", 1.0, metrics={"accuracy": 0.9 + number / 100, "loss": 0.5 - number / 10}
            ),
        )
        run = Run(
            f"{number + 1:08x}" + "0" * 8,
            "models",
            "p",
            "models",
            status,
            f"{number:x}" * 40,
            noon + number * 86400.0,
            noon + number * 86400.0 + 7.5,
            "a",
            "h",
            "1",
        )
        put_run(
            ws.index,
            run._replace(
                steps=steps, branch="main", dirty=number == 2, message="日本 words", tags=("best",) if number else ()
            ),
            "r" * 40,
        )
    ws.close()
    return project


@pytest.mark.parametrize(
    ("size", "theme", "keys"),
    [((140, 20), "gitml-dark", ()), ((80, 24), "gitml-light", ("down", "space")), ((100, 34), "gitml-dark", ("n",))],
    ids=["wide-dark", "narrow-light", "new-run"],
)
def test_the_list_of_runs_looks_as_it_did(
    recorded: Project, snap_compare: Any, size: tuple[int, int], theme: str, keys: tuple[str, ...]
) -> None:
    queries = QueryRunner(str(recorded.path), recorded.env)
    app = GitmlApp(queries, None, ("runs", {}))
    app.theme = theme

    async def press(pilot: Any) -> None:
        await settle(app, pilot)
        for key in keys:
            await pilot.press(key)
            await settle(app, pilot)

    try:
        assert snap_compare(app, terminal_size=size, run_before=press)
    finally:
        queries.close()


def test_a_screenshot_is_an_svg_of_the_screen_that_asks_nothing_from_outside(ran: Project, tmp_path: Path) -> None:
    file = tmp_path / "run.svg"
    done = ran.do(
        "ui",
        "--screenshot",
        str(file),
        "--size",
        "100x30",
        "--theme",
        "light",
        "--press",
        "l",
        "run",
        "latest",
        "prepare",
    )
    assert f"wrote {file}" in done.err
    svg = file.read_text()
    assert svg.startswith("<svg")
    assert "preparing&#160;from&#160;data.csv" in svg
    assert re.findall(r"""(?:url\(|href=|src=)["']?https?:[^"')]*""", svg) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--screenshot", "x.svg", "nowhere"), "no screen 'nowhere'"),
        (("--screenshot", "x.svg", "run", "ffff"), "no run 'ffff'"),
        (("--screenshot", "x.svg", "run", "latest", "trian"), "has no step 'trian'"),
        (("--screenshot", "x.svg", "--size", "9x9"), "not a size"),
        (("--press", "l"), "for a picture only"),
        ((), "no terminal"),
    ],
)
def test_mistakes_are_told_on_the_command_line(ran: Project, words: tuple[str, ...], told: str) -> None:
    done = ran.do("ui", *words, code=2)
    assert told in done.err
    assert not (ran.path / "x.svg").exists()
