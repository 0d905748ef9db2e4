"""Boxes to tick, as a sign and not as a colour: one alone, and the dialog in which several of a list are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Checkbox, OptionList
from textual.widgets.option_list import Option

from gitml.tui.widgets.dialogs.choices import MenuItem


class TickBox(Checkbox):
    """A box that is empty until it is ticked."""

    BUTTON_LEFT = BUTTON_RIGHT = ""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]  # noqa: N802 - Textual's name
        """What stands in the box."""
        return "[✓]" if self.value else "[ ]"


class MultiSelect(ModalScreen[list[str] | None]):
    """Gives the keys chosen, in the order of the list; None when it was left."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("space", "tick", "Tick", priority=True),
        Binding("enter", "take", "Take", priority=True),
    ]

    def __init__(self, title: str, choices: Sequence[MenuItem], chosen: Sequence[str]) -> None:
        super().__init__()
        self.heading, self.choices = title, choices
        self.ticked = {choice.key for choice in choices} & set(chosen)

    def compose(self) -> ComposeResult:
        """The list, each with a box to tick."""
        with Vertical(classes="dialog") as box:
            box.border_title = Text(self.heading)
            box.border_subtitle = "space ticks, Enter takes"
            yield OptionList(
                *[Option(self._shown(each), each.key) for each in self.choices], classes="dialog-list", compact=True
            )

    def action_tick(self) -> None:
        """Ticks the one under the cursor, or takes the tick away."""
        listed = self.query_one(OptionList)
        if listed.highlighted is not None:
            choice = self.choices[listed.highlighted]
            self.ticked ^= {choice.key}
            listed.replace_option_prompt_at_index(listed.highlighted, self._shown(choice))

    @on(OptionList.OptionSelected)
    def _clicked(self) -> None:
        self.action_tick()

    def action_take(self) -> None:
        """What is ticked."""
        self.dismiss([choice.key for choice in self.choices if choice.key in self.ticked])

    def _shown(self, choice: MenuItem) -> Text:
        return Text(f"[{'✓' if choice.key in self.ticked else ' '}] {choice.label}")
