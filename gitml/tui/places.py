"""The screens there are: name, key, title, and the class that is imported when the screen is first opened."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gitml.tui.page import Page


class Place(NamedTuple):
    """A screen. `key` opens it from anywhere; one without is opened from the thing that it shows."""

    name: str
    key: str
    title: str
    help: str
    module: str
    cls: str

    def page(self) -> type[Page]:
        """The class of the screen, imported now."""
        found: type[Page] = getattr(import_module(f"gitml.tui.screens.{self.module}"), self.cls)
        return found


PLACES: dict[str, Place] = {
    place.name: place for place in (Place("runs", "1", "Runs", "What runs and what ran", "runs", "Runs"),)
}
TABS: tuple[Place, ...] = tuple(place for place in PLACES.values() if place.key)
