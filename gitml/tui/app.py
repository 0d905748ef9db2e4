"""The application: places to go, one query runner, a poll of the repository's state, and what is kept for the next start."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

from rich.theme import Theme as ConsoleTheme
from rich.theme import ThemeStackError
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from gitml.errors import GitmlError
from gitml.git.repository import discover
from gitml.layout import UI_STATE, own_folder
from gitml.tui.change_detector import RepositoryState, poll
from gitml.tui.page import Page
from gitml.tui.query_runner import EXCLUSIVE, QueryRunner
from gitml.tui.routes import ROUTES, TABS
from gitml.tui.services import Services
from gitml.tui.styles import DARK, LIGHT, THEMES, make_styles

POLL_INTERVAL = 0.5  # seconds between polls
_FORMAT = 1  # of the state of the screens, which ui.json of the repository keeps


class GitmlApp(Services):
    """gitml in the terminal. `first` is the route shown first, with what it shows; None: where one was last."""

    TITLE = "gitml"
    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(route.key, f"go({route.name!r})", route.title, show=False) for route in TABS],
        Binding("q", "quit", "Quit"),
        Binding("ctrl+t", "other_theme", "Dark or light", show=False),
    ]

    def __init__(
        self,
        queries: QueryRunner,
        state_path: str | None,
        first: tuple[str, Mapping[str, Any]] | None = None,
        *,
        few_colours: bool = False,
    ) -> None:
        self.few_colours = few_colours  # the terminal has 16 or less
        self.queries = queries
        queries.on_many_records = self._records_loading
        self.state: RepositoryState | None = None
        self.state_path = state_path
        self.saved = _load_state(state_path) if state_path else {}
        self.first = first or (str(self.saved.get("place", TABS[0].name)), {})
        self._polling = False
        self._polled_once = False
        self._leaving = False  # nothing is opened any more
        name = self.first[0]
        # What Textual opens first by itself is the route itself, not an empty screen.
        self.DEFAULT_MODE = name if name in ROUTES and ROUTES[name].key else TABS[0].name  # type: ignore[misc]
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        for route in TABS:
            self.add_mode(route.name, partial(self._page, route.name))
        known = {theme.name for theme in self.available_themes.values()}
        chosen = str(self.saved.get("theme"))
        self.theme = chosen if chosen in known else DARK.name

    # -- going places

    async def on_mount(self) -> None:
        """The first route, and the state from now on."""
        self.theme_changed_signal.subscribe(self, lambda theme: self._repaint())
        name, what = self.first
        if name not in ROUTES:
            name, what = TABS[0].name, {}
        if what or not ROUTES[name].key:
            await self._open(name, what)
        self.set_interval(POLL_INTERVAL, self._poll)
        self.set_interval(1.0, self._update_ages)
        self._poll()

    def go(self, name: str, **what: Any) -> None:
        """Opens a route, once what was requested before is open."""
        self.call_later(self._open, name, what)

    async def _open(self, name: str, what: Mapping[str, Any]) -> None:
        if self._leaving:
            return
        route = ROUTES[name]
        if route.key:
            await self.switch_mode(name)
            while len(self.screen_stack) > 1:
                await self.pop_screen()
        else:
            await self.push_screen(self._page(name))
        page = self.screen
        if what and isinstance(page, Page):
            page.call_after_refresh(page.open_with, **what)

    def action_go(self, name: str) -> None:
        """Opens a route; a route that is open already shows its first page again."""
        if not self._dialog_open:
            self.go(name)

    @property
    def _dialog_open(self) -> bool:
        """Whether a dialog waits for an answer."""
        return not isinstance(self.screen, Page)

    def _page(self, name: str) -> Screen[None]:
        return ROUTES[name].load()()

    # -- the state of the repository

    def _poll(self) -> None:
        if not self._polling:
            self._polling = True
            self.queries.submit("state", poll, partial(self.call_later, self._state_polled))

    def _update_ages(self) -> None:
        stack = [] if self._leaving else self.screen_stack  # empty while the first page is being opened
        if stack and isinstance(stack[-1], Page) and stack[-1].is_open:
            stack[-1].update_ages(time.time())

    def _records_loading(self, count: int) -> None:  # in the thread of a query
        self.call_later(self.report, f"reading {count:,} records of runs…")

    def _state_polled(self, state: RepositoryState | None, error: Exception | None) -> None:
        self._polling, self._polled_once = False, True
        if state is None or state == self.state:
            return
        first = self.state is None
        self.state = state
        if self.state.left:
            self._recover()
        for screen in self.screen_stack:
            if isinstance(screen, Page) and screen.is_open:  # one that is being opened queries by itself
                screen.show_state(self.state)
        page = next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Page)), None)
        if page is not None and page.is_open and not first:
            page.refresh_data()

    def _recover(self) -> None:
        """Records the runs whose gitml was killed, as every command does; the next poll shows it."""
        from gitml.engine.journal.recovery import recover

        self.queries.submit("recover", recover, partial(self.call_later, self._runs_recovered), lane=EXCLUSIVE)

    def _runs_recovered(self, found: object, error: Exception | None) -> None:
        if error is not None:
            self.report_error(error)
        else:
            self._poll()

    @property
    def settled(self) -> bool:
        """Whether every question was answered and drawn, as far as is known here."""
        return self.queries.idle and self._polled_once and not getattr(self.screen, "busy", False)

    # -- the keys, and what can be done

    def action_help(self) -> None:
        """The keys of this page and of all pages."""
        from gitml.tui.widgets.bars import key_help
        from gitml.tui.widgets.dialogs import TextViewer

        if not self._dialog_open:
            self.push_screen(TextViewer("Keys", key_help(self.screen)))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the command palette offers: the places, what the page can do, the theme, the end."""
        for route in TABS:
            yield SystemCommand(f"Go to {route.title}", route.help, partial(self.go, route.name))
        for active in screen.active_bindings.values():
            binding = active.binding
            if (
                binding.description
                and active.enabled
                and not binding.system
                and binding.action.partition("(")[0] != "go"
            ):
                yield SystemCommand(
                    binding.description,
                    f"key {binding.key}",
                    partial(self.call_later, self.run_action, binding.action, active.node),
                )
        yield SystemCommand("Choose a theme", "Colours; dark and light", self.action_change_theme)

    # -- how it looks

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """What the themes that come with Textual lack."""
        return dict(DARK.variables)

    def get_css_variables(self) -> dict[str, str]:
        """The variables of the theme, from which the styles are made too."""
        variables = super().get_css_variables()
        self.text_styles = make_styles(variables, few_colours=self.few_colours)
        with contextlib.suppress(ThemeStackError):  # no theme was there before
            self.console.pop_theme()
        self.console.push_theme(ConsoleTheme(self.text_styles))  # so that texts may name their styles
        return variables

    def action_other_theme(self) -> None:
        """Dark where it is light, light where it is dark; not below a dialog, whose text stays as it was written."""
        if self._dialog_open:
            return
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name

    def _repaint(self) -> None:
        for stack in self._screen_stacks.values():
            for screen in stack:
                for widget in (screen, *screen.query("*")):
                    if isinstance(widget, Static) and widget.is_mounted:
                        widget.update(widget.content, layout=False)  # looks up the styles that its text names
                    widget.refresh()
                if isinstance(screen, Page) and screen.is_open:
                    screen.draw_frame()
        self.saved["theme"] = self.theme

    # -- the end

    def save_state(self) -> None:
        """Writes down where one is."""
        if self.state_path is None or not os.path.isdir(os.path.dirname(self.state_path)):
            return
        self.saved["place"] = self.current_mode if self.current_mode in ROUTES else TABS[0].name
        for stack in self._screen_stacks.values():
            for screen in stack:
                if isinstance(screen, Page) and (kept := screen.page_state()):
                    self.saved[f"page:{screen.route}"] = dict(kept)
        new = f"{self.state_path}.{os.getpid()}.new"
        with contextlib.suppress(OSError):  # a repository that can only be read
            with open(new, "w", encoding="utf-8") as file:
                json.dump({"format": _FORMAT, **self.saved}, file)
            os.replace(new, self.state_path)

    async def action_quit(self) -> None:
        """Ends once the pages that were requested before are open; runs in the background continue."""
        self.call_later(self._leave)

    def _leave(self) -> None:
        if not self._leaving:
            self._leaving = True
            self.save_state()
            self.exit()


def state_path(start: str, environ: Mapping[str, str]) -> str | None:
    """Where the repository's `ui.json` lies; None outside of one."""
    try:
        return own_folder(discover(start, environ).common_dir, UI_STATE)
    except GitmlError:
        return None


def _load_state(path: str) -> dict[str, Any]:
    """What was remembered; nothing when there is none, or it can't be read."""
    try:
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        return {}
    return state
