"""Modules: the registries that a project uses, and what the uses of modules in its pipelines mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gitml.errors import InputError, IntegrityError
from gitml.modules.lockfile import Lock, LockEntry
from gitml.repo.git import Location, git
from gitml.repo.objects import Objects
from registry.names import ModuleRef
from registry.names import parse_ref as parse_ref
from registry.registry import Registry
from registry.resolution import Resolution

KEEP = "refs/gitml/modules"


class ResolvedModule(NamedTuple):
    """What a use of a module means. `content_oid` is a Git tree that is in the project's repository.

    `registry` is empty for the default one; `registry_state` is the record of its log that was asked; `state` is active,
    deprecated or disabled, or ``unknown`` when the registry is not here and only the lock told.
    """

    use: str
    registry: str
    name: str
    requirement: str | None
    version: str
    content_oid: str
    state: str
    warnings: tuple[str, ...]
    registry_state: str

    def lock_entry(self) -> LockEntry:
        """Its entry in `gitml.lock`."""
        content = "git:" + self.content_oid
        return LockEntry(self.registry, self.name, self.requirement, self.version, content, self.registry_state)


class Modules:
    """The registries of the project at `location`: its own, and those that `registries` names by URL or path.

    The one under the empty name takes the place of the project's own as the default. Each is opened when first used.
    """

    def __init__(self, location: Location, objects: Objects, registries: Mapping[str, str] | None = None) -> None:
        self.location = location
        self.objects = objects
        self.registries = dict(registries or {})
        self._open: dict[str, Registry] = {}

    def close(self) -> None:
        """Lets go of every registry."""
        for registry in self._open.values():
            registry.close()
        self._open.clear()

    def registry(self, name: str | None = None) -> Registry:
        """The registry of that name, the default one for None; cloned when it is of another repository and not here yet."""
        name = name or ""
        if name not in self._open:
            if name in self.registries:
                source = (self.location, self.objects)
                self._open[name] = Registry.shared(self.location, self.registries[name], source)
            elif name:
                from gitml.core.diagnostics import nearest

                known = [known for known in self.registries if known]
                raise InputError(
                    f"no registry {name!r}{nearest(name, known)}",
                    where="gitml.yaml",
                    hint=f"registries: {{{name}: URL}}",
                )
            else:
                self._open[name] = Registry(self.location, self.objects)
        return self._open[name]

    def resolve(self, use: str, lock: Lock | None = None, *, allow_disabled: bool = False) -> ResolvedModule:
        """What ``registry:name@requirement`` means: by the lock where it has an entry, else by the registry.

        A pinned version's state is asked of the registry all the same: InputError when it was disabled, unless
        `allow_disabled`. IntegrityError when lock and registry name different contents.
        """
        ref = parse_ref(use)
        entry = (lock or {}).get(str(ref))
        if entry is not None:
            return self._pinned(ref, entry, allow_disabled)
        registry = self.registry(ref.registry)
        found = registry.resolve(use_here(ref), allow_disabled=allow_disabled)
        return self._resolved(ref, registry, found)

    def _pinned(self, ref: ModuleRef, entry: LockEntry, allow_disabled: bool) -> ResolvedModule:
        oid = entry.content.removeprefix("git:")
        registry = self.registry(ref.registry)
        state = registry.journal.projection.module(ref.name)
        if state is None or entry.version not in state.versions:
            if self.objects.header(oid) is None:
                raise InputError(
                    f"{ref.name} {entry.version}, which gitml.lock names, is not in the registry here",
                    where=entry.use,
                    hint="gitml module pull",
                )
            told = (f"{ref.name} {entry.version} is not in the registry here; gitml.lock alone vouches for it",)
            own = (entry.use, entry.registry, entry.name, entry.requirement, entry.version, oid)
            return ResolvedModule(*own, "unknown", told, entry.state)
        if state.versions[entry.version].content != entry.content:
            raise IntegrityError(
                f"gitml.lock names another content of {ref.name} {entry.version} than the registry",
                where=entry.use,
                hint="see who changed gitml.lock; gitml lock writes it again",
            )
        found = registry.resolve(f"{ref.name}@{entry.version}", allow_disabled=allow_disabled)
        return self._resolved(ref, registry, found)

    def _resolved(self, ref: ModuleRef, registry: Registry, found: Resolution) -> ResolvedModule:
        oid = found.content.removeprefix("git:")
        if registry.location.common_dir != self.location.common_dir:
            self._bring(registry, oid)
        own = (str(ref), ref.registry or "", ref.name, ref.requirement, found.version, oid)
        return ResolvedModule(*own, found.state, found.warnings, registry.tip() or "")

    def _bring(self, registry: Registry, oid: str) -> None:
        """Puts content of another repository into the project's, kept by a ref so that gc leaves it."""
        ref = f"{KEEP}/{oid}"
        if self.objects.resolve(ref) == oid:
            return
        if self.objects.header(oid) is None:
            from registry.copying import copy_tree

            copy_tree(registry.location, self.location, oid)
        git(self.location, "update-ref", ref, oid)


def use_here(ref: ModuleRef) -> str:
    """The use without the name of its registry."""
    return str(ref._replace(registry=None))
