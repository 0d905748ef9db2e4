"""The actions on modules: a dialog asks for what a change needs, shows its impact, and the change is made after a yes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType

from gitml.analysis.module_usage import ModuleOverview
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
from gitml.modules.registry_types import ModuleVersion
from gitml.modules.service import ModuleService, folders_with_modules
from gitml.tui.page import Page
from gitml.tui.screens.modules.view import ModuleItem, consequence_lines
from gitml.tui.text import plain
from gitml.tui.widgets.dialogs import MenuItem

_VERBS = {"deprecate": "Deprecate", "disable": "Disable", "enable": "Enable", "set-default": "Make it the default"}
_NO_DEFAULT = "\0"
Value = TypeVar("Value")
LANE = "registry"  # another process may hold it for a while


class ModuleActionsPage(Page):
    """A page with a module, or a version of one, that can be changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "publish", "Publish"),
        Binding("d", "change('deprecate')", "Deprecate"),
        Binding("x", "change('disable')", "Disable"),
        Binding("a", "change('enable')", "Enable"),
        Binding("t", "change('set-default')", "Default"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.opened: ModuleOverview | None = None

    @property
    def item(self) -> ModuleItem | None:
        """What the keys act on now."""
        return None

    def keep_cursor_on(self, key: str) -> None:
        """Puts the cursor on the item with this key, once it is there."""

    def query_registry(
        self,
        key: str,
        query: Callable[[ModuleService], Value],
        then: Callable[[Value], None],
        *,
        exclusive: bool = False,
    ) -> None:
        """Runs a query of the registries; `exclusive`: it changes one."""
        self.run_query(key, lambda ws: with_modules(ws, query), then, exclusive=exclusive, lane=LANE)

    # -- states and the default

    def action_change(self, kind: str) -> None:
        """Asks for what the change needs, shows what it would do, and makes it after a yes."""
        item = self.item
        if item is None:
            return
        if kind == "set-default":
            version = item.version or self._highest(item)
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

    def _highest(self, item: ModuleItem) -> ModuleVersion | None:
        return next((version for version in item.module.versions if version.state == "active"), None)

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
        self.query_registry(
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
        self.query_registry("change", lambda modules: apply_change(modules, change), then, exclusive=True)

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

        self.query_registry("folders", folders_with_modules, then)

    def _show_publishing(self, folder: str) -> None:
        uses = self._uses()
        item = self.item
        registry = item.registry if item is not None else ""
        self.query_registry(
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
            self.query_registry(
                "publish",
                lambda modules: publish(modules, registry, found.folder).notes,
                partial(self._published, registry, found),
                exclusive=True,
            )

        self.confirm(f"Publish {name}?", lines, then, yes="Publish")

    def _published(self, registry: str, found: PublishImpact, notes: Sequence[str]) -> None:
        self.keep_cursor_on(f"{registry}:{found.name}@{found.version}")
        self.ui.report("; ".join([f"published {found.name}@{found.version}", *notes]))
        self.refresh_data()

    def _uses(self) -> Sequence[ModuleUse]:
        return self.opened.uses.uses if self.opened is not None and self.opened.uses is not None else ()

    def _unread(self) -> Sequence[tuple[str, str]]:
        return self.opened.uses.unread if self.opened is not None and self.opened.uses is not None else ()
