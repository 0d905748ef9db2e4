"""A survey of the registries of a project: their modules as they are now, and for each registry that can't be asked, why."""

from __future__ import annotations

import os
from typing import NamedTuple

from gitml.errors import GitmlError
from gitml.git.command import git
from gitml.git.revisions import resolve_commit
from gitml.modules.registry_places import MODULE_FILE
from gitml.modules.service import ModuleService
from registry.log.clones import folder_of
from registry.log.events import Event
from registry.values import RegisteredModule


class RegistryOverview(NamedTuple):
    """A registry. `name` is empty for the default one; `place` its URL or path, empty for the project's own.

    `fetched` is False for one of another repository of which there is no copy here yet; `error` why it can't be asked.
    """

    name: str
    place: str
    modules: tuple[RegisteredModule, ...] = ()
    fetched: bool = True
    error: GitmlError | None = None


def registries_overview(modules: ModuleService) -> list[RegistryOverview]:
    """Every registry of the project, the default one first. Nothing is fetched, and nothing made where there is none yet."""
    names = ["", *sorted(name for name in modules.registries if name)]
    return [_overview_of(modules, name) for name in names]


def history(modules: ModuleService, registry: str, module: str) -> list[Event]:
    """Everything that happened to a module, oldest first."""
    return modules.registry(registry or None).history(module)


def folders_with_modules(modules: ModuleService, rev: str = "HEAD") -> list[str]:
    """The folders of a commit that hold a `module.yaml`, ``.`` for the root; each can be published."""
    commit = resolve_commit(modules.objects, modules.location, rev)
    listed = git(modules.location, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)
    paths = (os.fsdecode(path) for path in listed.split(b"\0") if path.rpartition(b"/")[2] == MODULE_FILE.encode())
    return sorted(os.path.dirname(path) or "." for path in paths)


def _overview_of(modules: ModuleService, name: str) -> RegistryOverview:
    place = modules.registries.get(name, "")
    try:
        if place and not os.path.isdir(folder_of(modules.location, place)):
            return RegistryOverview(name, place, fetched=False)
        registry = modules.registry(name or None)
        if registry.journal.log.tip() is None:
            return RegistryOverview(name, place)
        # Through the projection's own sqlite3: SQLModel, which answers `gitml module list`, takes half a second to import.
        names = registry.journal.projection.names()
        return RegistryOverview(name, place, tuple(registry.module(module) for module in names))
    except GitmlError as error:
        return RegistryOverview(name, place, error=error)
