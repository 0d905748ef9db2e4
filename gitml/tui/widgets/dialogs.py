"""Dialogs: to confirm with the consequences shown, to choose one or several of a list, to type a line, to read a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option


class MenuItem(NamedTuple):
    """Something to choose: its key, what is shown, and a dim remark."""

    key: str
    label: str
    remark: str = ""


class ConfirmDialog(ModalScreen[bool]):
    """Asks before something is done. `lines` say what will come of it; `danger` colours what can't be undone."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "answer(False)", "No"),
        Binding("y", "answer(True)", "Yes"),
        Binding("left,right", "app.focus_next", "Other button", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[str], yes: str = "Yes", *, danger: bool = False) -> None:
        super().__init__()
        self.heading, self.lines, self.yes, self.danger = title, lines, yes, danger

    def compose(self) -> ComposeResult:
        """The question, the consequences, the buttons."""
        with Vertical(classes="dialog") as box:
            box.border_title = Text(self.heading)
            with VerticalScroll(classes="dialog-text"):
                yield Static(Text("\n".join(self.lines)))
            with Horizontal(classes="dialog-buttons"):
                yield Button(Text(f"{self.yes} (y)"), id="yes", variant="error" if self.danger else "primary")
                yield Button("No (Esc)", id="no")

    def on_mount(self) -> None:
        """What can be undone is one Enter away, what can't is not."""
        self.query_one("#no" if self.danger else "#yes", Button).focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Yes or no."""
        self.dismiss(answer)


LISTED = 500  # choices shown at once: each costs time to lay out


class ChoiceDialog(ModalScreen[str]):
    """One of several, found by typing; gives its key, None when none was chosen."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
    ]

    def __init__(self, title: str, choices: Sequence[MenuItem], chosen: str | None = None) -> None:
        super().__init__()
        self.heading, self.choices, self.chosen = title, choices, chosen

    def compose(self) -> ComposeResult:
        """A line to type in, the list."""
        with Vertical(classes="dialog") as box:
            box.border_title = Text(self.heading)
            yield Input(placeholder="type to find", compact=True)
            yield OptionList(classes="dialog-list", compact=True)

    def on_mount(self) -> None:
        """All of them, the chosen one first."""
        self._list("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._list(event.value)

    @on(Input.Submitted)
    def _entered(self) -> None:
        listed = self.query_one(OptionList)
        if listed.highlighted is not None:
            self.dismiss(listed.get_option_at_index(listed.highlighted).id)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_move(self, by: int) -> None:
        """The list's cursor, while the keys go to the line."""
        listed = self.query_one(OptionList)
        if by > 0:
            listed.action_cursor_down()
        else:
            listed.action_cursor_up()

    def _list(self, typed: str) -> None:
        listed = self.query_one(OptionList)
        listed.clear_options()
        words = typed.casefold().split()
        at = 0
        for choice in self.choices:
            if listed.option_count == LISTED:
                listed.add_option(Option(Text("… type to find the rest", Style(dim=True)), disabled=True))
                break
            if all(word in f"{choice.label} {choice.remark}".casefold() for word in words):
                if choice.key == self.chosen:
                    at = listed.option_count
                shown = Text.assemble(choice.label, (f"  {choice.remark}" if choice.remark else "", Style(dim=True)))
                listed.add_option(Option(shown, id=choice.key))
        listed.highlighted = at if listed.option_count else None


class TextPrompt(ModalScreen[str]):
    """A line of text; None when it was not given."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, title: str, explained: str, value: str) -> None:
        super().__init__()
        self.heading, self.explained, self.value = title, explained, value

    def compose(self) -> ComposeResult:
        """The explanation, and a line to type in."""
        with Vertical(classes="dialog") as box:
            box.border_title = Text(self.heading)
            yield Label(Text(self.explained))
            yield Input(self.value)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class TextViewer(ModalScreen[None]):
    """A text to read; Esc closes it."""

    CSS_PATH = "dialogs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Close")]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self.heading, self.text = title, text

    def compose(self) -> ComposeResult:
        """The text, in a box that scrolls."""
        with Vertical(classes="dialog wide") as box:
            box.border_title = Text(self.heading)
            box.border_subtitle = "Esc closes"
            with VerticalScroll(classes="dialog-text"):
                yield Static(self.text)

    def on_mount(self) -> None:
        """The keys scroll."""
        self.query_one(VerticalScroll).focus()


class MultiSelect(ModalScreen[list[str]]):
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
