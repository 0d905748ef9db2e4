"""The terminal UI without a terminal: keys go in, what a person would see comes out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from gitml.tui.app import GitmlApp
from gitml.tui.query_runner import QueryRunner
from gitml.tui.start import settle
from tests.kit.patience import PATIENCE


class Ui:
    """The running application."""

    def __init__(self, app: GitmlApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot
        self.held: set[Hashable] = set()  # lanes of queries that are held up

    @property
    def route(self) -> str:
        """The name of the screen that is seen; the class of a dialog."""
        return getattr(self.app.screen, "route", type(self.app.screen).__name__)

    async def press(self, *keys: str) -> None:
        """Presses keys one after the other, each once all that the one before asked for is drawn."""
        for key in keys:
            await self.pilot.press(key)
            await self.settle()

    async def type(self, text: str) -> None:
        """Types a text."""
        for char in text:
            await self.pilot.press({" ": "space"}.get(char, char))
        await self.settle()

    async def settle(self) -> None:
        """Waits until nothing is asked any more, beside what waits for an answer that is `Held`."""
        if not self.held:
            await settle(self.app, self.pilot, PATIENCE)
            assert self.app.settled, "something is still asked"
            return
        end = asyncio.get_running_loop().time() + PATIENCE
        quiet = 0
        while quiet < 3:
            assert asyncio.get_running_loop().time() < end, "something is still asked beside what is held"
            await self.pilot.pause(0.01)
            quiet = quiet + 1 if self._only_held() else 0

    def _only_held(self) -> bool:
        queries = self.app.queries
        with queries._changed:
            return {*queries._busy, *(question.lane for question in queries._waiting.values())} <= self.held

    async def until(self, text: str, seconds: float = PATIENCE) -> None:
        """Waits until a text is seen."""
        end = asyncio.get_running_loop().time() + seconds
        while text not in self.text():
            assert asyncio.get_running_loop().time() < end, f"{text!r} was never seen:\n{self.text()}"
            await asyncio.sleep(0.05)
            await self.pilot.pause()

    def lines(self) -> list[str]:
        """What is seen, by line."""
        return [strip.text for strip in self.app.screen._compositor.render_strips(self.app.size)]

    def text(self) -> str:
        """What is seen, notifications and all."""
        return "\n".join(self.lines())

    def line(self, text: str) -> str:
        """The first line that has a text."""
        found = next((line for line in self.lines() if text in line), None)
        assert found is not None, f"{text!r} is not seen:\n{self.text()}"
        return found


@asynccontextmanager
async def shown(
    path: str | Path,
    env: Mapping[str, str],
    route: str = "runs",
    *,
    size: tuple[int, int] = (120, 36),
    state: str | None = None,
    **what: Any,
) -> AsyncIterator[Ui]:
    """The UI of the repository at `path`, at a route that shows `what`."""
    queries = QueryRunner(str(path), env)
    app = GitmlApp(queries, state, (route, what) if state is None else None)
    try:
        async with app.run_test(size=size, notifications=True) as pilot:
            ui = Ui(app, pilot)
            await ui.settle()
            yield ui
    finally:
        queries.close()


class Held:
    """A lane of queries that is held up until `go` is called: what is asked in it is answered late."""

    def __init__(self, ui: Ui, lane: Hashable) -> None:
        self._gate = threading.Event()
        begun = threading.Event()

        def hold(ws: object) -> None:
            begun.set()
            self._gate.wait(PATIENCE)

        ui.app.queries.submit(("held", lane), hold, lambda value, error: None, lane=lane)
        assert begun.wait(PATIENCE)
        self._release = lambda: ui.held.discard(lane)
        ui.held.add(lane)

    def go(self) -> None:
        """Lets the answers come."""
        self._release()
        self._gate.set()
