"""Modules as rows and as text: their state, interface, users and history, and what a change would do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from gitml.analysis.module_usage import ModuleOverview
from gitml.core.text.format import count, number
from gitml.modules.impact import ChangeImpact, ModuleUse, UseImpact
from gitml.modules.registry_types import Event, ModuleVersion, RegisteredModule
from gitml.modules.service import RegistryOverview
from gitml.tui.errors import error_message
from gitml.tui.styles import sign_legend, sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.table import TableCell, TableColumn, TableRow

COLUMNS = (
    TableColumn("state", "", 1),
    TableColumn("name", "MODULE", 14, share=2),
    TableColumn("version", "VERSION", 10, share=1),
    TableColumn("default", "", 7),
    TableColumn("users", "USED BY", 12, share=2, rank=1),
    TableColumn("about", "ABOUT", 12, share=3, rank=2),
)


class ModuleItem(NamedTuple):
    """A row: a module (`version` None) or one of its versions."""

    registry: str
    module: RegisteredModule
    version: ModuleVersion | None

    @property
    def key(self) -> str:
        """The key of the row."""
        return f"{self.registry}:{self.module.name}@{self.version.version if self.version else ''}"

    @property
    def title(self) -> str:
        """As pipelines name it."""
        prefix = f"{self.registry}:" if self.registry else ""
        return f"{prefix}{self.module.name}" + (f"@{self.version.version}" if self.version else "")


def items_of(registry: RegistryOverview) -> list[ModuleItem]:
    """Its modules, each with its versions below it."""
    items = []
    for module in registry.modules:
        items.append(ModuleItem(registry.name, module, None))
        items += [ModuleItem(registry.name, module, version) for version in module.versions]
    return items


def trouble_lines(opened: ModuleOverview) -> list[str]:
    """The errors, a line each."""
    lines = []
    for registry in opened.registries:
        name = f"registry {plain(registry.name)}" if registry.name else "the registry"
        if registry.error is not None:
            lines.append(f"! {name}: {error_message(registry.error).message}")
        elif not registry.fetched:
            lines.append(f"! {name} at {plain(registry.place)} is not fetched yet: f fetches it")
    if opened.trouble is not None:
        lines.append(f"! the pipelines that use them are unknown: {error_message(opened.trouble).message}")
    elif opened.uses is not None:
        lines += [f"! pipeline {plain(name)} can't be read: {plain(why)}" for name, why in opened.uses.unread]
    return lines


def row_of(item: ModuleItem, users: Sequence[ModuleUse]) -> TableRow:
    """A module, or one of its versions, with who uses it."""
    module, version = item.module, item.version
    state = version.state if version is not None else module.state
    sign = sign_of(state)
    names = ", ".join(dict.fromkeys(plain(use.pipeline) for use in users))
    prefix = f"{plain(item.registry)}:" if item.registry else ""
    if version is None:
        why = module.reason if module.state != "active" else module.description.partition("\n")[0]
        name = TableCell(f"{prefix}{plain(module.name)}", "bold")
        second = TableCell(count(len(module.versions), "version"), "dim")
        third = TableCell("" if module.default else "none", "dim")
    else:
        why = version.reason if version.state != "active" else ""
        name = TableCell("", "dim")
        second = TableCell(plain(version.version), "link" if state == "active" else "dim")
        third = TableCell("default" if version.version == module.default else "", "good")
    cells = (TableCell(sign.mark, sign.style), name, second, third, TableCell(names), TableCell(plain(why), "dim"))
    return TableRow(item.key, cells, item)


def legend(opened: ModuleOverview) -> Text:
    """What the signs mean, and at which commit uses were looked for."""
    text = sign_legend(("active", "deprecated", "disabled"))
    if opened.uses is not None:
        text.append(f"  used at {opened.uses.commit[:8]} ", "dim")
    return text


def module_text(module: RegisteredModule, version: ModuleVersion | None, users: Sequence[ModuleUse]) -> Text:
    """A module, with the interface of its default (else of its highest version); or one of its versions."""
    text = Text()
    described = version or module
    sign = sign_of(described.state)
    text.append(f"{sign.mark} {sign.word}", sign.style)
    if version is not None and version.version == module.default:
        text.append("  the default", "good")
    elif version is None:
        text.append(f"  default {plain(module.default)}" if module.default else "  no default", "dim")
    text.append("\n")
    if described.reason:
        text.append(f"  why: {plain(described.reason)}\n", "held")
    if described.replacement:
        text.append(f"  use {plain(described.replacement)} instead\n", "held")
    if described.description:
        text.append("\n" + "\n".join(map(plain, described.description.splitlines())) + "\n", "plain")
    about = [plain(module.category)] if module.category else []
    about += [f"#{plain(tag)}" for tag in module.tags]
    if about:
        text.append("  ".join(about) + "\n", "dim")
    shown = version or next((v for v in module.versions if v.version == module.default), None)
    shown = shown or (module.versions[0] if module.versions else None)
    if shown is not None:
        _interface(text, shown, named=version is None)
    _users(text, users)
    if shown is not None:
        text.append("\npublished ", "dim")
        text.append(f"{shown.published[:16].replace('T', ' ')}", "plain")
        text.append(f" by {plain(shown.by.partition(' <')[0])}", "dim")
        text.append(f"\nfrom {plain(shown.path or '.')} at {shown.commit[:12]}", "dim")
        text.append(f"\ncontent {shown.content[:24]}…", "dim")
    return text


def _interface(text: Text, version: ModuleVersion, *, named: bool) -> None:
    interface = version.interface
    if named:
        text.append(f"\nthe interface of {plain(version.version)}\n", "dim")
    for title, ports in (("inputs", interface.inputs), ("outputs", interface.outputs)):
        if ports:
            text.append(f"\n{title}\n", "head")
        for port in ports:
            text.append(f"  {plain(port.name)}", "bold")
            text.append(f"  {port.type}" + (", optional" if port.optional else ""), "link")
            text.append(f"  {plain(port.help)}\n" if port.help else "\n", "dim")
    if interface.params:
        text.append("\nparameters\n", "head")
    for param in interface.params:
        text.append(f"  {plain(param.name)}", "bold")
        text.append(f"  {param.type}", "link")
        if param.default is None:
            text.append("  must be given", "held")
        else:
            text.append(f" = {number(param.default)}", "held")
        limits = []
        if param.min is not None or param.max is not None:
            low = "" if param.min is None else number(param.min)
            high = "" if param.max is None else number(param.max)
            limits.append(f"{low} … {high}")
        if param.choices:
            limits.append(" | ".join(number(choice) for choice in param.choices))
        text.append(f"  {'  '.join(limits)}" if limits else "", "dim")
        text.append(f"  {plain(param.help)}\n" if param.help else "\n", "dim")


def _users(text: Text, users: Sequence[ModuleUse]) -> None:
    text.append("\nused by\n", "head")
    if not users:
        text.append("  no pipeline at HEAD\n", "dim")
    for use in users:
        text.append(f"  {plain(use.pipeline)}", "bold")
        text.append(f"  {plain(use.use)}", "link")
        text.append(f"  locked to {plain(use.locked)}\n" if use.locked else "  not locked\n", "dim")


def history_text(events: Sequence[Event]) -> Text:
    """Everything that happened, the newest first."""
    text = Text()
    for event in reversed(events):
        text.append(f"{event.at[:16].replace('T', ' ')}  ", "dim")
        text.append(f"{event.kind:<12}", "link")
        text.append(f"{plain(event.version or 'the module')}", "bold")
        if event.default:
            text.append(f"  default: {plain(event.default)}", "good")
        if event.clear_default:
            text.append("  no default", "held")
        text.append(f"  {plain(event.by.partition(' <')[0])}\n", "dim")
        if event.reason:
            text.append(f"{' ' * 18}{plain(event.reason)}\n", "plain")
        if event.replacement:
            text.append(f"{' ' * 18}use {plain(event.replacement)} instead\n", "held")
    text.rstrip()
    return text


def consequence_lines(prospect: ChangeImpact, unread: Sequence[tuple[str, str]]) -> list[str]:
    """What a change would do to defaults and pipelines, as plain lines for a dialog."""
    lines = [plain(note) for note in prospect.notes]
    before, after = prospect.default
    if before != after:
        lines.append(f"Default: {plain(before or 'none')} → {plain(after or 'none')}")
    touched = [item for item in prospect.consequences if item.effect != "nothing"]
    untouched = len(prospect.consequences) - len(touched)
    if lines and prospect.consequences:
        lines.append("")
    if touched:
        lines.append("Pipelines that it touches:")
        lines += [f"  {_consequence_line(item)}" for item in touched]
    if untouched:
        stay = "use of it at HEAD stays" if untouched == 1 else "uses of it at HEAD stay"
        lines.append(f"{untouched:,} {stay} as before.")
    if not prospect.consequences:
        lines.append("No pipeline at HEAD uses it.")
    lines += [f"Pipeline {plain(name)} can't be read, so the impact on it is unknown." for name, _ in unread]
    return lines


def _consequence_line(item: UseImpact) -> str:
    use = f"{plain(item.use.pipeline)}, {plain(item.use.use)}"
    locked = " (locked)" if item.use.locked else ""
    before, after = item.before, item.after
    return {
        "refused": f"✗ {use}{locked} will be refused",
        "works again": f"✓ {use}{locked} will work again, with {plain(after.version)}",
        "another version": f"→ {use} will mean {plain(after.version)} instead of {plain(before.version)}",
        "warned": f"! {use}{locked} will keep {plain(after.version)}, with a warning",
        "no longer warned": f"✓ {use}{locked} will keep {plain(after.version)}, without a warning",
    }[item.effect]
