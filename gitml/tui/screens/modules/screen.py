"""Modules: the registry. What there is, in what state and why, and who uses it; changes, with their consequences shown before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Static

from gitml.analysis.module_usage import ModuleOverview, overview
from gitml.engine.planning.module_resolution import with_modules
from gitml.errors import InputError
from gitml.modules.impact import (
    ChangeImpact,
    ModuleChange,
    ModuleUse,
    PublishImpact,
    apply_change,
    impact_of_change,
    impact_of_publishing,
    publish,
)
from gitml.modules.registry_types import Event
from gitml.modules.service import ModuleService, folders_with_modules
from gitml.tui.errors import ErrorMessage, error_message
from gitml.tui.page import Page
from gitml.tui.screens.modules.view import (
    COLUMNS,
    ModuleItem,
    consequence_lines,
    history_text,
    items_of,
    legend,
    module_text,
    row_of,
    trouble_lines,
)
from gitml.tui.text import plain
from gitml.tui.widgets.dialogs import MenuItem
from gitml.tui.widgets.notice import Notice
from gitml.tui.widgets.table import LazyTable

_VERBS = {"deprecate": "Deprecate", "disable": "Disable", "enable": "Enable", "set-default": "Make it the default"}
_NO_DEFAULT = "\0"
Value = TypeVar("Value")
LANE = "registry"  # another process may hold it for a while
_PATIENCE = 1.5  # seconds after which the page shows that it waits for the registry
_WAITING = "It can't be read yet: another process may be writing to it. It is shown as soon as it can be read."


class ModulesPage(Page):
    """Modules and versions, and what is known of the one under the cursor."""

    route = "modules"
    CSS_PATH = "modules.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "publish", "Publish"),
        Binding("d", "change('deprecate')", "Deprecate"),
        Binding("x", "change('disable')", "Disable"),
        Binding("a", "change('enable')", "Enable"),
        Binding("t", "change('set-default')", "Default"),
        Binding("enter", "look", "Look", show=False),
        Binding("h", "history", "History"),
        Binding("L", "lineage", "Lineage"),
        Binding("f", "fetch", "Fetch a registry", show=False),
        Binding("y", "copy", "Copy name", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.opened: ModuleOverview | None = None
        self._keep: str | None = None  # the row that the cursor goes to once the registries are read again
        self._waiting: Timer | None = None

    def body(self) -> ComposeResult:
        """The list, and beside it what the module is."""
        yield Notice("#modules")
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

    def refresh_data(self) -> None:
        """The registries as they are now."""
        if self._waiting is None:
            self._waiting = self.set_timer(_PATIENCE, self._show_waiting)
        self.run_query("open", overview, self._show, lane=LANE)

    def _show_waiting(self) -> None:
        if self.opened is None:
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
            self.query_one(Notice).show_error(error)
        else:
            super().query_failed(key, error)

    def _show(self, opened: ModuleOverview) -> None:
        self._stop_waiting()
        self.opened = opened
        items = [item for registry in opened.registries for item in items_of(registry)]
        troubles = trouble_lines(opened)
        notice = self.query_one(Notice)
        if not items:
            self._nothing(opened, notice)
            return
        notice.hide()
        self._show_troubles(troubles)
        table = self.query_one(LazyTable)
        at = self._keep or (table.current.key if table.current is not None else None)
        table.fill([row_of(item, self._users(item)) for item in items])
        self.query_one("#modules-list").border_title = f"Modules  {sum(item.version is None for item in items):,}"
        self.draw_frame()
        keys = [item.key for item in items]
        if at in keys:
            table.move_to(keys.index(at))
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
        place.update(Text.assemble(("\n".join(troubles), "held")))

    def _query_registry(
        self,
        key: str,
        query: Callable[[ModuleService], Value],
        then: Callable[[Value], None],
        *,
        exclusive: bool = False,
    ) -> None:
        """Runs a query of the registries; `exclusive`: it changes one."""
        self.run_query(key, lambda ws: with_modules(ws, query), then, exclusive=exclusive, lane=LANE)

    # -- what the module under the cursor is

    @on(LazyTable.RowHighlighted)
    def _about(self) -> None:
        item = self.item
        if item is None:
            return
        panel = self.query_one("#modules-one")
        panel.border_title = plain(item.title)
        self.query_one("#modules-about", Static).update(module_text(item.module, item.version, self._users(item)))

    def draw_frame(self) -> None:
        """The legend."""
        if self.opened is not None:
            self.query_one("#modules-list").border_subtitle = legend(self.opened)

    def _users(self, item: ModuleItem) -> list[ModuleUse]:
        opened = self.opened
        version = item.version.version if item.version is not None else None
        return opened.users(item.registry, item.module.name, version) if opened is not None else []

    @on(LazyTable.RowSelected)
    def action_look(self) -> None:
        """To the text beside the list, to scroll it."""
        self.query_one("#modules-one").focus()

    def action_history(self) -> None:
        """Everything that happened to the module."""
        item = self.item
        if item is None:
            return

        def then(events: list[Event]) -> None:
            self.show_text(f"History of {item.module.name}", history_text(events))

        self._query_registry("history", lambda modules: modules.registry(item.registry).history(item.module.name), then)

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
        return row.value if row is not None else None

    # -- states and the default

    def action_change(self, kind: str) -> None:
        """Asks for what the change needs, shows what it would do, and makes it after a yes."""
        item = self.item
        if item is None:
            return
        if kind == "set-default":
            highest = next((version for version in item.module.versions if version.state == "active"), None)
            version = item.version or highest
            if version is None:
                self.ui.report("it has no version that could be the default")
                return
            self._show_impact(ModuleChange(kind, item.registry, item.module.name, version.version))
            return
        change = ModuleChange(kind, item.registry, item.module.name, item.version.version if item.version else None)
        if kind == "enable":
            self._show_impact(change)
            return
        title = f"{_VERBS[kind]} {plain(item.title)}: why?"
        self.prompt(
            title, "Everyone who uses it sees the reason.", "", lambda reason: self._with_reason(item, change, reason)
        )

    def _with_reason(self, item: ModuleItem, change: ModuleChange, reason: str) -> None:
        change = change._replace(reason=reason.strip())
        if not change.reason:
            self.ui.report_error(InputError("no reason was given", hint="everyone who uses it sees the reason"))
            return
        if change.version is None or change.version != item.module.default:
            self._show_impact(change)
            return
        others = [v.version for v in item.module.versions if v.state == "active" and v.version != change.version]
        choices = [*(MenuItem(version, version) for version in others), MenuItem(_NO_DEFAULT, "no default")]

        def then(default: str) -> None:
            none = default == _NO_DEFAULT
            self._show_impact(change._replace(default=None if none else default, clear_default=none))

        self.choose(f"{change.version} is the default. Which shall it be instead?", choices, then)

    def _show_impact(self, change: ModuleChange) -> None:
        uses = self._uses()
        self._query_registry(
            "impact", lambda modules: impact_of_change(modules, change, uses), partial(self._confirm, change)
        )

    def _confirm(self, change: ModuleChange, impact: ChangeImpact) -> None:
        name = plain(change.module) + (f"@{plain(change.version)}" if change.version else "")
        if impact.idle:
            self.ui.report(f"{name} is that already")
            return
        lines = consequence_lines(impact, self._unread())
        if change.reason:
            lines = [f"Reason: {plain(change.reason)}", "", *lines]
        verb = _VERBS[change.kind]
        bad = any(item.effect == "refused" for item in impact.consequences)
        title = f"{verb}: {name}?" if change.kind == "set-default" else f"{verb} {name}?"
        self.confirm(title, lines, partial(self._make, change, name), yes=verb.split(" ", 1)[0], danger=bad)

    def _make(self, change: ModuleChange, name: str) -> None:
        def then(done: bool) -> None:
            self.ui.report(f"{name}: {change.kind} is recorded" if done else f"{name} was that already")
            self.refresh_data()

        self.ui.report("recording …")
        self._query_registry("change", lambda modules: apply_change(modules, change), then, exclusive=True)

    # -- publishing

    def action_publish(self) -> None:
        """Publishes a folder with a module, as it is committed."""

        def then(folders: list[str]) -> None:
            if not folders:
                self.ui.report_error(
                    InputError("no committed folder holds a module.yaml", hint="gitml module init DIR, commit")
                )
                return
            choices = [MenuItem(folder, plain(folder)) for folder in folders]
            self.choose("Publish which folder, as it is committed?", choices, self._show_publishing)

        self._query_registry("folders", folders_with_modules, then)

    def _show_publishing(self, folder: str) -> None:
        uses = self._uses()
        item = self.item
        registry = item.registry if item is not None else ""
        self._query_registry(
            "impact",
            lambda modules: impact_of_publishing(modules, registry, folder, uses),
            partial(self._confirm_publishing, registry),
        )

    def _confirm_publishing(self, registry: str, found: PublishImpact) -> None:
        name = f"{plain(found.name)}@{plain(found.version)}"
        if found.prospect.idle:
            self.ui.report("; ".join(plain(note) for note in found.prospect.notes))
            return
        lines = [
            f"from {plain(found.folder)} as it is committed",
            "",
            *consequence_lines(found.prospect, self._unread()),
        ]
        lines += ["", "A version never changes once it is published."]

        def then() -> None:
            self.ui.report("publishing …")
            self._query_registry(
                "publish",
                lambda modules: publish(modules, registry, found.folder).notes,
                partial(self._published, registry, found),
                exclusive=True,
            )

        self.confirm(f"Publish {name}?", lines, then, yes="Publish")

    def _published(self, registry: str, found: PublishImpact, notes: Sequence[str]) -> None:
        self._keep = f"{registry}:{found.name}@{found.version}"
        self.ui.report("; ".join([f"published {found.name}@{found.version}", *notes]))
        self.refresh_data()

    def _uses(self) -> Sequence[ModuleUse]:
        return self.opened.uses.uses if self.opened is not None and self.opened.uses is not None else ()

    def _unread(self) -> Sequence[tuple[str, str]]:
        return self.opened.uses.unread if self.opened is not None and self.opened.uses is not None else ()
