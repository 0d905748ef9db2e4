"""Modules: the registry. What there is, in what state and why, and who uses it; changes, with their consequences shown before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from gitml.core.words import count
from gitml.errors import GitmlError, InputError
from gitml.flow.module_uses import Uses, uses_of_modules
from gitml.flow.using import open_modules
from gitml.modules.consequences import (
    Change,
    Meaning,
    Prospect,
    Publishing,
    Use,
    foresee,
    foresee_publishing,
    make,
    meanings,
    publish,
)
from gitml.modules.registries import Event, Module, ModuleVersion
from gitml.modules.service import Modules as Registries
from gitml.modules.survey import Surveyed, folders_with_modules, history, survey
from gitml.repo.revisions import resolve_commit
from gitml.repo.source import CommitSource
from gitml.tui.errors import Told, told
from gitml.tui.page import Page
from gitml.tui.screens.moduletext import consequence_lines, history_text, module_text
from gitml.tui.signs import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.bigtable import BigTable, Cell, Column, Row
from gitml.tui.widgets.dialogs import Choice
from gitml.tui.widgets.notice import Notice
from gitml.workspace import Workspace

Value = TypeVar("Value")

_COLUMNS = (
    Column("state", "", 1),
    Column("name", "MODULE", 14, share=2),
    Column("version", "VERSION", 10, share=1),
    Column("default", "", 7),
    Column("users", "USED BY", 12, share=2, rank=1),
    Column("about", "ABOUT", 12, share=3, rank=2),
)
_VERBS = {"deprecate": "Deprecate", "disable": "Disable", "enable": "Enable", "set-default": "Make it the default"}
_NO_DEFAULT = "\0"


class _Item(NamedTuple):
    """A row: a module (`version` None) or one of its versions."""

    registry: str
    module: Module
    version: ModuleVersion | None

    @property
    def key(self) -> str:
        """What tells it from other rows."""
        return f"{self.registry}:{self.module.name}@{self.version.version if self.version else ''}"

    @property
    def title(self) -> str:
        """As pipelines name it."""
        prefix = f"{self.registry}:" if self.registry else ""
        return f"{prefix}{self.module.name}" + (f"@{self.version.version}" if self.version else "")


class _Opened(NamedTuple):
    registries: list[Surveyed]
    uses: Uses | None
    meanings: Mapping[Use, Meaning]
    trouble: Told | None  # why the pipelines can't be told


def with_registries(ws: Workspace, ask: Callable[[Registries], Value]) -> Value:
    """What `ask` finds in the registries that the project names at HEAD."""
    modules = open_modules(ws, CommitSource(ws.objects, resolve_commit(ws.objects, ws.location, "HEAD")))
    try:
        return ask(modules)
    finally:
        modules.close()


def _open(ws: Workspace) -> _Opened:
    registries = with_registries(ws, survey)
    try:
        uses = uses_of_modules(ws)
    except GitmlError as error:
        return _Opened(registries, None, {}, told(error))
    away = {registry.name for registry in registries if not registry.fetched}  # which asking would fetch
    asked = [use for use in uses.uses if use.registry not in away]
    return _Opened(registries, uses, with_registries(ws, lambda modules: meanings(modules, asked)), None)


class Modules(Page):
    """Modules and versions, and what is known of the one under the cursor."""

    place = "modules"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "look", "Look", show=False),
        Binding("p", "publish", "Publish"),
        Binding("d", "change('deprecate')", "Deprecate"),
        Binding("x", "change('disable')", "Disable"),
        Binding("a", "change('enable')", "Enable"),
        Binding("t", "change('set-default')", "Default"),
        Binding("h", "history", "History"),
        Binding("L", "lineage", "Lineage"),
        Binding("f", "fetch", "Fetch a registry", show=False),
        Binding("y", "copy", "Copy name", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._opened: _Opened | None = None
        self._items: dict[str, _Item] = {}
        self._keep: str | None = None

    def body(self) -> ComposeResult:
        """The list, and beside it what the module is."""
        yield Notice()
        with Horizontal(id="modules"):
            with Vertical(id="modules-list", classes="panel"):
                yield BigTable(_COLUMNS, id="modules-table")
                yield Static(id="modules-trouble")
            with VerticalScroll(id="modules-one", classes="panel"):
                yield Static(id="modules-about")

    def on_mount(self) -> None:
        """Where one was last time."""
        self._keep = self.ui.recalled(self.place).get("module")
        self.query_one("#modules-trouble").display = False

    def remembered(self) -> Mapping[str, Any]:
        """The row the cursor is on."""
        item = self._current()
        return {"module": item.key} if item is not None else {}

    def arrive(self, **what: Any) -> None:
        """A module, as ``NAME`` or ``NAME@VERSION``."""
        name, _, version = str(what["module"]).partition("@")
        self._keep = f"{what.get('registry', '')}:{name}@{version}"
        self._opened = None
        self.refresh_data()

    # -- what is asked

    def refresh_data(self) -> None:
        """The registries as they are now."""
        self.ask("open", _open, self._show)

    def wrong(self, key: str, error: Told) -> None:
        """In place of the list when there is none."""
        if key == "open" and self._opened is None:
            self.query_one("#modules").display = False
            self.query_one(Notice).tell(error)
        else:
            super().wrong(key, error)

    def _show(self, opened: _Opened) -> None:
        self._opened = opened
        items = [item for registry in opened.registries for item in _items(registry)]
        self._items = {item.key: item for item in items}
        troubles = _troubles(opened)
        notice = self.query_one(Notice)
        self.query_one("#modules").display = bool(items)
        if not items:
            self._nothing(opened, notice)
            return
        notice.hush()
        self._tell_troubles(troubles)
        table = self.query_one(BigTable)
        at = self._keep or (table.current.key if table.current is not None else None)
        table.fill([_row(item, self._users(item)) for item in items])
        panel = self.query_one("#modules-list")
        panel.border_title = f"Modules  {sum(1 for item in items if item.version is None):,}"
        panel.border_subtitle = self._legend(opened)
        if at in self._items:
            table.move_to(list(self._items).index(at))
        self._keep = None
        if self.focused is None:
            table.focus()
        self._about()

    def _legend(self, opened: _Opened) -> Text:
        """What the signs mean, and at which commit uses were looked for."""
        inks = self.ui.inks
        text = Text(end="")
        for state in ("active", "deprecated", "disabled"):
            sign = sign_of(state)
            text.append(f" {sign.mark} ", style=inks[sign.ink])
            text.append(f"{sign.word} ", style=inks["dim"])
        if opened.uses is not None:
            text.append(f"  used at {opened.uses.commit[:8]} ", style=inks["dim"])
        return text

    def _nothing(self, opened: _Opened, notice: Notice) -> None:
        troubled = next((registry.error for registry in opened.registries if registry.error is not None), None)
        if troubled is not None:
            notice.tell(told(troubled))
            return
        away = [registry for registry in opened.registries if not registry.fetched]
        more = [("f", f"fetch the registry at {plain(away[0].place)}")] if away else []
        notice.say(
            "No modules yet",
            "A module is a step with a name, typed ports and versions, to be used in any pipeline.",
            next=[("gitml module init DIR", "begin one"), ("p", "publish one that is committed"), *more],
        )

    def _tell_troubles(self, troubles: Sequence[str]) -> None:
        place = self.query_one("#modules-trouble", Static)
        place.display = bool(troubles)
        place.update(Text("\n".join(troubles), style=self.ui.inks["held"]))

    # -- what the module under the cursor is

    @on(BigTable.Moved)
    def _moved(self) -> None:
        self._about()

    def _about(self) -> None:
        item = self._current()
        if item is None:
            return
        panel = self.query_one("#modules-one")
        panel.border_title = plain(item.title)
        self.query_one("#modules-about", Static).update(
            module_text(item.module, item.version, self._users(item), self.ui.inks)
        )

    def _users(self, item: _Item) -> list[Use]:
        """The uses that mean this version, or this module."""
        opened = self._opened
        if opened is None or opened.uses is None:
            return []
        ours = [use for use in opened.uses.uses if (use.registry, use.module) == (item.registry, item.module.name)]
        if item.version is None:
            return ours
        return [use for use in ours if use in opened.meanings and opened.meanings[use].version == item.version.version]

    def action_look(self) -> None:
        """To the text beside the list, to scroll it."""
        self.query_one("#modules-one").focus()

    @on(BigTable.Chosen)
    def _chosen(self) -> None:
        self.action_look()

    def action_history(self) -> None:
        """Everything that happened to the module."""
        item = self._current()
        if item is None:
            return

        def then(events: list[Event]) -> None:
            from gitml.tui.widgets.dialogs import Reading

            self.app.push_screen(Reading(f"History of {item.module.name}", history_text(events, self.ui.inks)))

        self.ask("history", lambda ws: with_registries(ws, lambda m: history(m, item.registry, item.module.name)), then)

    def action_lineage(self) -> None:
        """What was made with it."""
        item = self._current()
        if item is not None and item.module.versions:
            version = item.version or item.module.versions[0]
            self.ui.go("lineage", thing=f"{item.module.name}@{version.version}", direction="down")

    def action_copy(self) -> None:
        """The name as pipelines write it."""
        item = self._current()
        if item is not None:
            self.ui.copy(item.title, "name")

    # -- changes

    def action_change(self, kind: str) -> None:
        """Asks for what the change needs, shows what it would do, and makes it after a yes."""
        item = self._current()
        if item is None:
            return
        if kind == "set-default":
            version = item.version or self._highest(item)
            if version is None:
                self.ui.say("it has no version that could be the default")
                return
            self._foresee(Change(kind, item.registry, item.module.name, version.version))
            return
        change = Change(kind, item.registry, item.module.name, item.version.version if item.version else None)
        if kind == "enable":
            self._foresee(change)
            return
        title = f"{_VERBS[kind]} {plain(item.title)}: why?"
        self.prompt(title, "Whoever uses it is told.", "", lambda reason: self._with_reason(item, change, reason))

    def _highest(self, item: _Item) -> ModuleVersion | None:
        return next((version for version in item.module.versions if version.state == "active"), None)

    def _with_reason(self, item: _Item, change: Change, reason: str) -> None:
        change = change._replace(reason=reason.strip())
        if not change.reason:
            self.ui.fail(InputError("no reason was given", hint="whoever uses it must be told why"))
            return
        if change.version is None or change.version != item.module.default:
            self._foresee(change)
            return
        others = [v.version for v in item.module.versions if v.state == "active" and v.version != change.version]
        choices = [*(Choice(version, version) for version in others), Choice(_NO_DEFAULT, "no default")]

        def then(default: str) -> None:
            none = default == _NO_DEFAULT
            self._foresee(change._replace(default=None if none else default, clear_default=none))

        self.choose(f"{change.version} is the default. Which shall it be instead?", choices, then)

    def _foresee(self, change: Change) -> None:
        opened = self._opened
        uses = opened.uses.uses if opened is not None and opened.uses is not None else ()
        self.ask(
            "foresee",
            lambda ws: with_registries(ws, lambda modules: foresee(modules, change, uses)),
            lambda prospect: self._confirm(change, prospect),
        )

    def _confirm(self, change: Change, prospect: Prospect) -> None:
        name = plain(change.module) + (f"@{plain(change.version)}" if change.version else "")
        if prospect.idle:
            self.ui.say(f"{name} is that already")
            return
        lines = consequence_lines(prospect, self._unread())
        if change.reason:
            lines = [f"Reason: {plain(change.reason)}", "", *lines]
        verb = _VERBS[change.kind]
        bad = any(item.effect == "refused" for item in prospect.consequences)
        title = f"{verb}: {name}?" if change.kind == "set-default" else f"{verb} {name}?"
        self.confirm(title, lines, partial(self._make, change, name), yes=verb.split(" ", 1)[0], danger=bad)

    def _make(self, change: Change, name: str) -> None:
        def then(done: bool) -> None:
            self.ui.say(f"{name}: {change.kind} is recorded" if done else f"{name} was that already")
            self.refresh_data()

        self.ask("make", lambda ws: with_registries(ws, lambda modules: make(modules, change)), then, alone=True)

    # -- publishing

    def action_publish(self) -> None:
        """Publishes a folder with a module, as it is committed."""

        def then(folders: list[str]) -> None:
            if not folders:
                self.ui.fail(
                    InputError("no committed folder holds a module.yaml", hint="gitml module init DIR, commit")
                )
                return
            choices = [Choice(folder, plain(folder)) for folder in folders]
            self.choose("Publish which folder, as it is committed?", choices, self._foresee_publishing)

        self.ask("folders", lambda ws: with_registries(ws, folders_with_modules), then)

    def _foresee_publishing(self, folder: str, default: bool = False) -> None:
        opened = self._opened
        uses = opened.uses.uses if opened is not None and opened.uses is not None else ()
        item = self._current()
        registry = item.registry if item is not None else ""
        self.ask(
            "foresee",
            lambda ws: with_registries(ws, lambda m: foresee_publishing(m, registry, folder, uses, default=default)),
            lambda found: self._confirm_publishing(registry, found),
        )

    def _confirm_publishing(self, registry: str, found: Publishing) -> None:
        name = f"{plain(found.name)}@{plain(found.version)}"
        if found.prospect.idle:
            self.ui.say("; ".join(plain(note) for note in found.prospect.notes))
            return
        lines = [
            f"from {plain(found.folder)} as it is committed",
            "",
            *consequence_lines(found.prospect, self._unread()),
        ]
        lines += ["", "A version never changes once it is published."]

        def then() -> None:
            self.ask(
                "publish",
                lambda ws: with_registries(ws, lambda modules: publish(modules, registry, found.folder).notes),
                lambda notes: self._published(registry, found, notes),
                alone=True,
            )

        self.confirm(f"Publish {name}?", lines, then, yes="Publish")

    def _published(self, registry: str, found: Publishing, notes: Sequence[str]) -> None:
        self._keep = f"{registry}:{found.name}@{found.version}"
        self.ui.say("; ".join([f"published {found.name}@{found.version}", *notes]))
        self.refresh_data()

    def action_fetch(self) -> None:
        """Fetches a registry of another repository that is not here yet."""
        opened = self._opened
        away = [registry for registry in opened.registries if not registry.fetched] if opened is not None else []
        if not away:
            self.ui.say("every registry is here; gitml module pull takes in what is new")
            return
        name = away[0].name
        self.ui.say(f"fetching {plain(away[0].place)} …")
        self.ask(
            "fetch",
            lambda ws: with_registries(ws, lambda modules: modules.registry(name or None).tip()),
            lambda tip: self.refresh_data(),
            alone=True,
        )

    def _unread(self) -> tuple[tuple[str, str], ...]:
        return self._opened.uses.unread if self._opened is not None and self._opened.uses is not None else ()

    def _current(self) -> _Item | None:
        row = self.query_one(BigTable).current
        return self._items.get(row.key) if row is not None else None


def _items(registry: Surveyed) -> list[_Item]:
    items = []
    for module in registry.modules:
        items.append(_Item(registry.name, module, None))
        items += [_Item(registry.name, module, version) for version in module.versions]
    return items


def _troubles(opened: _Opened) -> list[str]:
    """What can't be told, a line each."""
    lines = []
    for registry in opened.registries:
        name = f"registry {plain(registry.name)}" if registry.name else "the registry"
        if registry.error is not None:
            lines.append(f"! {name}: {told(registry.error).message}")
        elif not registry.fetched:
            lines.append(f"! {name} at {plain(registry.place)} is not here yet: f fetches it")
    if opened.trouble is not None:
        lines.append(f"! which pipelines use them can't be told: {opened.trouble.message}")
    elif opened.uses is not None:
        lines += [f"! pipeline {plain(name)} can't be read: {plain(why)}" for name, why in opened.uses.unread]
    return lines


def _row(item: _Item, users: Sequence[Use]) -> Row:
    module, version = item.module, item.version
    state = version.state if version is not None else module.state
    sign = sign_of(state)
    names = ", ".join(dict.fromkeys(plain(use.pipeline) for use in users))
    prefix = f"{plain(item.registry)}:" if item.registry else ""
    if version is None:
        why = module.reason if module.state != "active" else module.description.partition("\n")[0]
        told_name = Cell(f"{prefix}{plain(module.name)}", "bold")
        second = Cell(count(len(module.versions), "version"), "dim")
        third = Cell("" if module.default else "none", "dim")
    else:
        why = version.reason if version.state != "active" else ""
        told_name = Cell("", "dim")
        second = Cell(plain(version.version), "link" if state == "active" else "dim")
        third = Cell("default" if version.version == module.default else "", "good")
    cells = (Cell(sign.mark, sign.ink), told_name, second, third, Cell(names), Cell(plain(why), "dim"))
    return Row(item.key, cells)
