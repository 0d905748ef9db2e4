"""The dialog in which several of a list are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import SelectionList
from textual.widgets.selection_list import Selection

from gitml.tui.widgets.dialogs import Choice


class Several(ModalScreen[list[str] | None]):
    """Gives the keys chosen, in the order of the list; None when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("enter", "take", "Take", priority=True),
    ]

    def __init__(self, title: str, choices: Sequence[Choice], chosen: Sequence[str]) -> None:
        super().__init__()
        self.heading, self.choices, self.chosen = title, choices, frozenset(chosen)

    def compose(self) -> ComposeResult:
        """The list, each with a box to tick."""
        with Vertical(classes="dialog") as box:
            box.border_title = Text(self.heading)
            box.border_subtitle = "space chooses, Enter takes"
            rows = [Selection(Text(c.label), c.key, c.key in self.chosen) for c in self.choices]
            yield SelectionList[str](*rows, classes="dialog-list", compact=True)

    def action_take(self) -> None:
        """What is ticked."""
        ticked = set(self.query_one(SelectionList).selected)
        self.dismiss([choice.key for choice in self.choices if choice.key in ticked])
