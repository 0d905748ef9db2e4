"""The application: places to go, one feed of answers, a pulse that tells when something went on, and what is remembered."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

from rich.style import Style
from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from gitml.core.text.format import safe
from gitml.tui import ui_state
from gitml.tui.change_detector import Pulse, feel
from gitml.tui.errors import Told, told
from gitml.tui.page import Page
from gitml.tui.query_runner import ALONE, Feed
from gitml.tui.routes import PLACES, TABS
from gitml.tui.themes import DARK, LIGHT, THEMES, Inked, inks

BEAT = 0.5  # seconds between looks at what goes on


class Felt(Message):
    """What the pulse was, or why it could not be felt."""

    def __init__(self, pulse: Pulse | None, error: Exception | None) -> None:
        self.pulse, self.error = pulse, error
        super().__init__()


class Recovered(Message):
    """Runs whose gitml was killed were recorded, or why they could not be."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        super().__init__()


class ManyRecords(Message):
    """So many records are being read before the first answer."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__()


class GitmlApp(App[None]):
    """gitml in the terminal. `first` is the place shown first, with what it shows; None: where one was last."""

    TITLE = "gitml"
    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(place.key, f"go({place.name!r})", place.title, show=False) for place in TABS],
        Binding("q", "quit", "Quit"),
        Binding("ctrl+t", "other_theme", "Dark or light", show=False),
    ]

    inks: dict[str, Style]

    def __init__(
        self,
        feed: Feed,
        memory_path: str | None,
        first: tuple[str, Mapping[str, Any]] | None = None,
        *,
        few: bool = False,
    ) -> None:
        self.few = few  # of colours: 16 or less
        self.feed = feed
        feed.on_many_records = self._deliver_many
        self.pulse: Pulse | None = None
        self.memory_path = memory_path
        self.memory: dict[str, Any] = ui_state.recall(memory_path) if memory_path else {}
        self.first = first or (str(self.memory.get("place", TABS[0].name)), {})
        self._feeling = False
        self._felt_once = False
        self._leaving = False  # nothing is opened any more
        name = self.first[0]
        # What Textual opens first by itself is the place itself, not an empty screen.
        self.DEFAULT_MODE = name if name in PLACES and PLACES[name].key else TABS[0].name  # type: ignore[misc]
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        for place in TABS:
            self.add_mode(place.name, partial(self._page, place.name))
        known = {theme.name for theme in self.available_themes.values()}
        wanted = str(self.memory.get("theme"))
        self.theme = wanted if wanted in known else DARK.name

    # -- going places

    async def on_mount(self) -> None:
        """The first place, and the pulse from now on."""
        self.theme_changed_signal.subscribe(self, lambda theme: self._repaint())
        name, what = self.first
        if name not in PLACES:
            name, what = TABS[0].name, {}
        if what or not PLACES[name].key:
            await self._open(name, what)
        self.set_interval(BEAT, self._feel)
        self.set_interval(1.0, self._age)
        self._feel()

    def go(self, name: str, **what: Any) -> None:
        """Opens a place and has it show `what`: a run as ``go("run", run=id)``, the list of runs as ``go("runs")``."""
        self.call_later(self._open, name, what)

    async def _open(self, name: str, what: Mapping[str, Any]) -> None:
        if self._leaving:
            return
        place = PLACES[name]
        if place.key:
            await self.switch_mode(name)
            while len(self.screen_stack) > 1:
                await self.pop_screen()
        else:
            await self.push_screen(self._page(name))
        page = self.screen
        if what and isinstance(page, Page):
            page.call_after_refresh(page.arrive, **what)

    def action_go(self, name: str) -> None:
        """Opens a place; a place that is open already shows its first page again."""
        if not self._asking:
            self.go(name)

    @property
    def _asking(self) -> bool:
        """Whether a dialog waits for an answer."""
        return not isinstance(self.screen, Page)

    def _page(self, name: str) -> Page:
        return PLACES[name].page()()

    # -- what goes on

    def _feel(self) -> None:
        if not self._feeling:
            self._feeling = True
            self.feed.ask("pulse", feel, self._deliver_pulse)

    def _age(self) -> None:
        stack = [] if self._leaving else self.screen_stack  # empty while the first page is being opened
        if stack and isinstance(stack[-1], Page) and stack[-1].is_open:
            stack[-1].age(time.time())

    def _deliver_many(self, count: int) -> None:
        self.post_message(ManyRecords(count))

    @on(ManyRecords)
    def _reading(self, message: ManyRecords) -> None:
        self.say(f"reading {message.count:,} records of runs…")

    def _deliver_pulse(self, pulse: Pulse | None, error: Exception | None) -> None:
        self.post_message(Felt(pulse, error))

    @on(Felt)
    def _felt(self, message: Felt) -> None:
        self._feeling, self._felt_once = False, True
        if message.pulse is None or message.pulse == self.pulse:
            return
        first = self.pulse is None
        self.pulse = message.pulse
        if self.pulse.left:
            self._recover()
        for screen in self.screen_stack:
            if isinstance(screen, Page) and screen.is_open:  # one that is being opened asks by itself
                screen.tell(self.pulse)
        page = next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Page)), None)
        if page is not None and page.is_open and not first:
            page.refresh_data()

    def _recover(self) -> None:
        """Has the runs recorded whose gitml was killed, as every command does; the next pulse tells of it."""
        from gitml.engine.journal.recovery import recover

        self.feed.ask("recover", recover, lambda found, error: self._deliver_recovered(error), lane=ALONE)

    def _deliver_recovered(self, error: Exception | None) -> None:
        self.post_message(Recovered(error))

    @on(Recovered)
    def _recovered(self, message: Recovered) -> None:
        if message.error is not None:
            self.fail(message.error)
        else:
            self._feel()

    @property
    def settled(self) -> bool:
        """Whether every question was answered and drawn, as far as can be told from here."""
        return self.feed.idle and self._felt_once and not getattr(self.screen, "busy", False)

    # -- what is said

    def fail(self, error: Exception | Told) -> None:
        """Tells of an error that has no place of its own."""
        words = error if isinstance(error, Told) else told(error)
        self.notify(words.text, title=words.title, severity="error", markup=False, timeout=10)

    def say(self, text: str) -> None:
        """Tells that something was done; `text` is plain."""
        self.notify(safe(text), markup=False, timeout=4)

    def copy(self, text: str, what: str) -> None:
        """Puts `text` on the clipboard and says so."""
        self.copy_to_clipboard(text)
        self.say(f"{what} copied: {text}")

    def action_help(self) -> None:
        """The keys of this page and of all pages."""
        from gitml.tui.widgets.dialogs.dialogs import Reading
        from gitml.tui.widgets.key_help import key_help

        if not self._asking:
            self.push_screen(Reading("Keys", key_help(self)))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the command palette offers: the places, what the page can do, the theme, the end."""
        for place in TABS:
            yield SystemCommand(f"Go to {place.title}", place.help, partial(self.go, place.name))
        for active in screen.active_bindings.values():
            binding = active.binding
            if (
                binding.description
                and active.enabled
                and not binding.system
                and binding.action.partition("(")[0] != "go"
            ):
                yield SystemCommand(binding.description, f"key {binding.key}", self._doing(active.node, binding.action))
        yield SystemCommand("Choose a theme", "Colours; dark and light", self.action_change_theme)

    def _doing(self, node: Any, action: str) -> Callable[[], None]:
        def do() -> None:
            self.call_later(self.run_action, action, node)

        return do

    # -- how it looks

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """What the themes that come with Textual lack."""
        return dict(DARK.variables)

    def get_css_variables(self) -> dict[str, str]:
        """The variables of the theme, from which the inks are made too."""
        variables = super().get_css_variables()
        self.inks = inks(variables, few=self.few)
        return variables

    def action_other_theme(self) -> None:
        """Dark where it is light, light where it is dark; not below a dialog, whose text stays as it was written."""
        if self._asking:
            return
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name

    def _repaint(self) -> None:
        for stack in self._screen_stacks.values():
            for screen in stack:
                for widget in (screen, *screen.query("*")):
                    if widget.is_mounted and isinstance(widget, Inked):
                        widget.redraw()
                    widget.refresh()
        self.memory["theme"] = self.theme

    # -- the end

    def remember(self) -> None:
        """Writes down where one is."""
        if self.memory_path is None or not os.path.isdir(os.path.dirname(self.memory_path)):
            return
        self.memory["place"] = self.current_mode if self.current_mode in PLACES else TABS[0].name
        for stack in self._screen_stacks.values():
            for screen in stack:
                if isinstance(screen, Page) and (kept := screen.remembered()):
                    self.memory[f"page:{screen.place}"] = dict(kept)
        with contextlib.suppress(OSError):  # a repository that can only be read
            ui_state.keep(self.memory_path, self.memory)

    def recalled(self, place: str) -> dict[str, Any]:
        """What a page remembered last time."""
        found = self.memory.get(f"page:{place}")
        return found if isinstance(found, dict) else {}

    async def action_quit(self) -> None:
        """Ends, once the pages that were asked for before are open; what runs in the background goes on."""
        self.call_later(self._leave)

    def _leave(self) -> None:
        if not self._leaving:
            self._leaving = True
            self.remember()
            self.exit()
