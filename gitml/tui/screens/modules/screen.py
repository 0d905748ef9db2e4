"""Modules: the registry. What there is, in what state and why, and who uses it; changes, with their consequences shown before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Static

from gitml.analysis.module_usage import ModuleOverview, overview
from gitml.engine.planning.module_resolution import with_modules
from gitml.modules.impact import ModuleUse
from gitml.modules.registry_types import Event
from gitml.tui.errors import ErrorMessage, error_message
from gitml.tui.screens.modules.actions import LANE, ModuleActionsPage
from gitml.tui.screens.modules.view import (
    COLUMNS,
    ModuleItem,
    history_text,
    items_of,
    legend,
    module_text,
    row_of,
    trouble_lines,
)
from gitml.tui.text import plain
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.table import LazyTable

_PATIENCE = 1.5  # seconds
_WAITING = "It can't be read yet: another process may be writing to it. It is shown as soon as it can be read."


class ModulesPage(ModuleActionsPage):
    """Modules and versions, and what is known of the one under the cursor."""

    route = "modules"
    CSS_PATH = "modules.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "look", "Look", show=False),
        Binding("h", "history", "History"),
        Binding("L", "lineage", "Lineage"),
        Binding("f", "fetch", "Fetch a registry", show=False),
        Binding("y", "copy", "Copy name", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[str, ModuleItem] = {}
        self._keep: str | None = None
        self._waiting: Timer | None = None

    def body(self) -> ComposeResult:
        """The list, and beside it what the module is."""
        yield Notice()
        with Horizontal(id="modules"):
            with Vertical(id="modules-list", classes="panel"):
                yield LazyTable(COLUMNS, id="modules-table")
                yield Static(id="modules-trouble")
            with VerticalScroll(id="modules-one", classes="panel"):
                yield Static(id="modules-about")

    def on_mount(self) -> None:
        """Where one was last time."""
        self._keep = str(self.ui.saved_page_state(self.route).get("module", ""))
        self.query_one("#modules-trouble").display = False

    def page_state(self) -> Mapping[str, Any]:
        """The row the cursor is on."""
        item = self.item
        return {"module": item.key} if item is not None else {}

    def open_with(self, **what: Any) -> None:
        """A module, as ``NAME`` or ``NAME@VERSION``."""
        name, _, version = str(what["module"]).partition("@")
        self._keep = f"{what.get('registry', '')}:{name}@{version}"
        self.opened = None
        self.refresh_data()

    # -- queries

    def keep_cursor_on(self, key: str) -> None:
        """Puts the cursor on this row once the registries are read again."""
        self._keep = key

    def refresh_data(self) -> None:
        """The registries as they are now."""
        self._start_waiting()
        self.run_query("open", overview, self._show, lane=LANE)

    def _start_waiting(self) -> None:
        """Starts the timer after which the page shows that it waits for the registry."""
        if self._waiting is None:
            self._waiting = self.set_timer(_PATIENCE, self._show_waiting)

    def _show_waiting(self) -> None:
        if self.opened is None:
            self.query_one("#modules").display = False
            self.query_one(Notice).show_text("Waiting for the registry", _WAITING)
        else:
            self._show_troubles([f"! {_WAITING}"])

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    def query_failed(self, key: str, error: ErrorMessage) -> None:
        """In place of the list when there is none."""
        if key == "open":
            self._stop_waiting()
        if key == "open" and self.opened is None:
            self.query_one("#modules").display = False
            self.query_one(Notice).show_error(error)
        else:
            super().query_failed(key, error)

    def _show(self, opened: ModuleOverview) -> None:
        self._stop_waiting()
        self.opened = opened
        items = [item for registry in opened.registries for item in items_of(registry)]
        self._items = {item.key: item for item in items}
        troubles = trouble_lines(opened)
        notice = self.query_one(Notice)
        self.query_one("#modules").display = bool(items)
        if not items:
            self._nothing(opened, notice)
            return
        notice.hide()
        self._show_troubles(troubles)
        table = self.query_one(LazyTable)
        at = self._keep or (table.current.key if table.current is not None else None)
        table.fill([row_of(item, self._users(item)) for item in items])
        panel = self.query_one("#modules-list")
        panel.border_title = f"Modules  {sum(1 for item in items if item.version is None):,}"
        panel.border_subtitle = legend(opened, self.ui.text_styles)
        if at in self._items:
            table.move_to(list(self._items).index(at))
        self._keep = None
        if self.focused is None:
            table.focus()
        self._about()

    def _nothing(self, opened: ModuleOverview, notice: Notice) -> None:
        troubled = next((registry.error for registry in opened.registries if registry.error is not None), None)
        if troubled is not None:
            notice.show_error(error_message(troubled))
            return
        away = [registry for registry in opened.registries if not registry.fetched]
        more = [("f", f"fetch the registry at {plain(away[0].place)}")] if away else []
        notice.show_text(
            "No modules yet",
            "A module is a step with a name, typed ports and versions, to be used in any pipeline.",
            next=[("gitml module init DIR", "begin one"), ("p", "publish one that is committed"), *more],
        )

    def _show_troubles(self, troubles: Sequence[str]) -> None:
        place = self.query_one("#modules-trouble", Static)
        place.display = bool(troubles)
        place.update(Text("\n".join(troubles), style=self.ui.text_styles["held"]))

    # -- what the module under the cursor is

    @on(LazyTable.RowHighlighted)
    def _row_highlighted(self) -> None:
        self._about()

    def _about(self) -> None:
        item = self.item
        if item is None:
            return
        panel = self.query_one("#modules-one")
        panel.border_title = plain(item.title)
        self.query_one("#modules-about", Static).update(
            module_text(item.module, item.version, self._users(item), self.ui.text_styles)
        )

    def restyle(self) -> None:
        """The legend, and what the module is."""
        if self.opened is not None:
            self.query_one("#modules-list").border_subtitle = legend(self.opened, self.ui.text_styles)
            self._show_troubles(trouble_lines(self.opened))
            self._about()

    def _users(self, item: ModuleItem) -> list[ModuleUse]:
        opened = self.opened
        version = item.version.version if item.version is not None else None
        return opened.users(item.registry, item.module.name, version) if opened is not None else []

    def action_look(self) -> None:
        """To the text beside the list, to scroll it."""
        self.query_one("#modules-one").focus()

    @on(LazyTable.RowSelected)
    def _row_selected(self) -> None:
        self.action_look()

    def action_history(self) -> None:
        """Everything that happened to the module."""
        item = self.item
        if item is None:
            return

        def then(events: list[Event]) -> None:
            self.show_text(f"History of {item.module.name}", history_text(events, self.ui.text_styles))

        self.query_registry("history", lambda modules: modules.registry(item.registry).history(item.module.name), then)

    def action_lineage(self) -> None:
        """What was made with it."""
        item = self.item
        if item is not None and item.module.versions:
            version = item.version or item.module.versions[0]
            self.ui.go("lineage", thing=f"{item.module.name}@{version.version}", direction="down")

    def action_copy(self) -> None:
        """The name as pipelines write it."""
        item = self.item
        if item is not None:
            self.ui.copy(item.title, "name")

    def action_fetch(self) -> None:
        """Fetches a registry of another repository that was not fetched yet."""
        opened = self.opened
        away = [registry for registry in opened.registries if not registry.fetched] if opened is not None else []
        if not away:
            self.ui.report("every registry is fetched; gitml module pull fetches updates")
            return
        name = away[0].name
        self.ui.report(f"fetching {plain(away[0].place)} …")
        self.run_online(
            "fetch",
            lambda ws: with_modules(ws, lambda modules: modules.registry(name or None).tip()),
            lambda tip: self.refresh_data(),
        )

    @property
    def item(self) -> ModuleItem | None:
        """The row under the cursor."""
        row = self.query_one(LazyTable).current
        return self._items.get(row.key) if row is not None else None
