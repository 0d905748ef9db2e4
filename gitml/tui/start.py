"""Starting the application: in a terminal, or without one to take a picture."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from gitml.tui.query_runner import QueryRunner
from gitml.tui.routes import First

_TURN = 0.001  # seconds that the screen and the threads of queries wait for one another, instead of 0.005


def show(start: str, environ: Mapping[str, str], first: First | None = None, theme: str | None = None) -> int:
    """Shows the repository that `start` lies in until the person leaves; the exit code."""
    from gitml.tui.app import GitmlApp, state_path

    sys.setswitchinterval(_TURN)
    queries = QueryRunner(start, environ)
    try:
        app = GitmlApp(queries, state_path(start, environ), first, few_colours=_few_colours())
        if theme is not None:
            app.theme = theme
        app.run()
        return app.return_code or 0
    finally:
        queries.close()


def _few_colours() -> bool:
    """Whether this terminal has 16 colours or less."""
    from rich.console import Console
    from textual.constants import COLOR_SYSTEM

    if COLOR_SYSTEM is not None and COLOR_SYSTEM != "auto":
        return COLOR_SYSTEM == "standard"
    return Console(stderr=True).color_system in ("standard", "windows")


def picture(
    start: str, environ: Mapping[str, str], first: First, size: tuple[int, int], theme: str, keys: tuple[str, ...] = ()
) -> str:
    """A screen as SVG, as it looks once every query is done and `keys` were pressed; names nothing outside."""
    from gitml.tui.app import GitmlApp

    queries = QueryRunner(start, environ)
    app = GitmlApp(queries, None, first)
    app.theme = theme

    async def shown() -> str:
        async with app.run_test(size=size, notifications=True) as pilot:
            await settle(app, pilot)
            for key in keys:
                await pilot.press(key)
                await settle(app, pilot)
            return without_addresses(app.export_screenshot())

    try:
        return asyncio.run(shown())
    finally:
        queries.close()


async def settle(app: Any, pilot: Any, patience: float = 20.0) -> None:
    """Waits until every query is done and drawn."""
    end = asyncio.get_running_loop().time() + patience
    quiet = 0
    while quiet < 3 and asyncio.get_running_loop().time() < end:
        await pilot.pause()
        quiet = quiet + 1 if app.settled else 0
        if not quiet:
            await asyncio.sleep(0.01)


def without_addresses(svg: str) -> str:
    """The picture with fonts of the machine that shows it: what Rich writes would fetch them from elsewhere."""
    import re

    svg = re.sub(r'\s*url\("https?://[^)]*\)[^,;]*[,;]', "", svg)
    return re.sub(r",\s*}", ";\n    }", svg)
