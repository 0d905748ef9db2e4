"""The screens there are: name, key, title, and the class that is imported when the screen is first opened."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gitml.tui.page import Page


class Route(NamedTuple):
    """A screen. `key` opens it from anywhere; one without is opened from the thing that it shows."""

    name: str
    key: str
    title: str
    help: str
    module: str
    cls: str

    def load(self) -> type[Page]:
        """The class of the screen, imported now."""
        found: type[Page] = getattr(import_module(f"gitml.tui.screens.{self.module}.screen"), self.cls)
        return found


_ALL = (
    Route("runs", "1", "Runs", "What runs and what ran", "runs", "RunsPage"),
    Route("run", "", "Run", "One run and its steps", "run", "RunPage"),
    Route("compare", "", "Compare", "Runs side by side", "compare", "ComparePage"),
    Route("time", "2", "Time", "Commits and steps: what is known of each", "time", "TimePage"),
    Route("lineage", "3", "Lineage", "What things were made from, and what was made of them", "lineage", "LineagePage"),
    Route("artifacts", "4", "Artifacts", "What is kept, and what it is", "artifacts", "ArtifactsPage"),
    Route("modules", "5", "Modules", "The registry of modules", "modules", "ModulesPage"),
)
ROUTES: dict[str, Route] = {route.name: route for route in _ALL}
TABS: tuple[Route, ...] = tuple(route for route in _ALL if route.key)
