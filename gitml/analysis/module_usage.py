"""Which pipelines of the repository use which modules, at a commit, and what these uses mean now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gitml.core.model.paths import project_of_file
from gitml.engine.planning.load import config_at, every_pipeline, read_head
from gitml.engine.planning.module_resolution import read_lock, with_modules
from gitml.errors import GitmlError
from gitml.git.objects.source import CommitSource
from gitml.git.revisions import resolve_commit
from gitml.modules.impact import ModuleUse, UseResolution, resolve_uses
from gitml.modules.service import RegistryOverview, parse_ref, registries_overview
from gitml.workspace import Workspace


class ModuleUses(NamedTuple):
    """The uses of modules at a commit, and the pipelines that can't be read there with why."""

    commit: str
    uses: tuple[ModuleUse, ...]
    unread: tuple[tuple[str, str], ...]


class ModuleOverview(NamedTuple):
    """The registries of the project, the uses of their modules at HEAD, and what each use of a registry that is here means now.

    `uses` is None where they are not known; `trouble` is why.
    """

    registries: list[RegistryOverview]
    uses: ModuleUses | None
    resolutions: Mapping[ModuleUse, UseResolution]
    trouble: GitmlError | None = None

    def users(self, registry: str, module: str, version: str | None = None) -> list[ModuleUse]:
        """The uses of a module, or those that mean this version of it."""
        every = self.uses.uses if self.uses is not None else ()
        ours = [use for use in every if (use.registry, use.module) == (registry, module)]
        if version is None:
            return ours
        return [use for use in ours if use in self.resolutions and self.resolutions[use].version == version]


def overview(ws: Workspace) -> ModuleOverview:
    """Everything that is known of modules here; nothing is fetched for it."""
    registries = with_modules(ws, registries_overview)
    try:
        uses = uses_of_modules(ws)
    except GitmlError as error:
        return ModuleOverview(registries, None, {}, error)
    away = {registry.name for registry in registries if not registry.fetched}  # which asking would fetch
    asked = [use for use in uses.uses if use.registry not in away]
    return ModuleOverview(registries, uses, with_modules(ws, lambda modules: resolve_uses(modules, asked)))


def uses_of_modules(ws: Workspace, rev: str = "HEAD") -> ModuleUses:
    """Every use of a module in the pipelines at `rev`, with what `gitml.lock` pins it to."""
    commit = resolve_commit(ws.objects, ws.location, rev)
    source = CommitSource(ws.objects, commit)
    lock = read_lock(source)
    uses: list[ModuleUse] = []
    unread: list[tuple[str, str]] = []
    for name, path in sorted(every_pipeline(source).items()):
        entry = source.lookup(path)
        if entry is None or entry.is_tree or entry.is_submodule:
            continue
        try:
            head = read_head(ws, source, config_at(ws, source, project_of_file(path)), path, entry)
            for use in head.modules:
                ref = parse_ref(use)
                entry_of_lock = lock.get(str(ref))
                locked = entry_of_lock.version if entry_of_lock is not None else None
                uses.append(ModuleUse(name, use, ref.registry or "", ref.name, ref.requirement, locked))
        except GitmlError as error:
            unread.append((name, error.message))
    return ModuleUses(commit, tuple(uses), tuple(unread))
