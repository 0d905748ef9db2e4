"""Keys pressed faster than anything can be answered, and in any order."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gitml.tui.app import GitmlApp
from gitml.tui.query_runner import QueryRunner
from tests.kit.patience import PATIENCE
from tests.kit.projects.command_line import Project


async def pressed_at_once(project: Project, memory: Path, *keys: str) -> None:
    """Starts the UI, presses keys without waiting for anything, the last of which ends it; raises what it died of.

    Its clock, which counts in seconds, strikes all the time: at whatever moment a page is opened or closed.
    """
    queries = QueryRunner(str(project.path), project.env)
    app = GitmlApp(queries, str(memory))
    try:
        async with app.run_test(size=(100, 30)):
            app.set_interval(0.001, app._update_ages)
            for key in keys:
                app.simulate_key(key)
            async with asyncio.timeout(PATIENCE):
                while not app._exit:
                    await asyncio.sleep(0.01)
    finally:
        queries.close()


@pytest.mark.parametrize("keys", ["q", "2q", "3q", "4q", "5q", "2345q", "q2", "2q3q"])
async def test_one_leaves_at_once_whatever_is_being_opened(ran: Project, tmp_path: Path, keys: str) -> None:
    await pressed_at_once(ran, tmp_path / "ui.json", *keys)
    assert json.loads((tmp_path / "ui.json").read_text())["place"]


@pytest.mark.parametrize(
    "kept",
    [
        {"place": ["x"]},
        {"theme": {}},
        {"place": "modules", "page:modules": {"module": [1]}},
        {"place": "time", "page:time": {"rev": 5, "pipeline": 7}},
        {"place": "runs", "page:runs": {"sort": "nonsense", "metrics": [1, None], "run": 5}},
        {"place": "lineage", "page:lineage": {"thing": 7}},
        {"place": "artifacts", "page:artifacts": {"order": ["x"]}},
    ],
)
async def test_what_was_remembered_wrongly_is_forgotten(ran: Project, tmp_path: Path, kept: dict[str, object]) -> None:
    (tmp_path / "ui.json").write_text(json.dumps({"format": 1, **kept}))
    await pressed_at_once(ran, tmp_path / "ui.json", "down", "1", "q")
