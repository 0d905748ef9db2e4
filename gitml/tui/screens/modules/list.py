"""The list of modules: its rows, and what there is to say of the whole of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.style import Style
from rich.text import Text

from gitml.analysis.module_usage import ModuleOverview
from gitml.core.text.format import count
from gitml.modules.impact import ModuleUse
from gitml.modules.overview import RegistryOverview
from gitml.modules.registry_types import ModuleVersion, RegisteredModule
from gitml.tui.errors import error_message
from gitml.tui.state_styles import sign_of
from gitml.tui.text import plain
from gitml.tui.widgets.tables.columns import TableCell, TableColumn, TableRow

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
        """What tells it from other rows."""
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
    """What can't be told, a line each."""
    lines = []
    for registry in opened.registries:
        name = f"registry {plain(registry.name)}" if registry.name else "the registry"
        if registry.error is not None:
            lines.append(f"! {name}: {error_message(registry.error).message}")
        elif not registry.fetched:
            lines.append(f"! {name} at {plain(registry.place)} is not here yet: f fetches it")
    if opened.trouble is not None:
        lines.append(f"! which pipelines use them can't be told: {error_message(opened.trouble).message}")
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
    return TableRow(item.key, cells)


def legend(opened: ModuleOverview, styles: Mapping[str, Style]) -> Text:
    """What the signs mean, and at which commit uses were looked for."""
    text = Text(end="")
    for state in ("active", "deprecated", "disabled"):
        sign = sign_of(state)
        text.append(f" {sign.mark} ", style=styles[sign.style])
        text.append(f"{sign.word} ", style=styles["dim"])
    if opened.uses is not None:
        text.append(f"  used at {opened.uses.commit[:8]} ", style=styles["dim"])
    return text
