"""The registries that a project uses: what the uses of modules in its pipelines mean, and an overview of all their modules."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from gitml import layout
from gitml.consent.consent import Consent
from gitml.core.config.places import place_of_registry
from gitml.errors import GitmlError, InputError, IntegrityError
from gitml.git.command import Location, git
from gitml.git.integrity.durability import move_refs
from gitml.git.log.remote_refs import refuse_inner_place, without_secrets
from gitml.git.revisions import resolve_commit
from gitml.modules.lockfile import Lock, LockEntry
from gitml.modules.registry_merge import merge_fetched
from gitml.modules.registry_places import MODULE_FILE
from registry.log.clones import folder_of
from registry.projection.rows import CurrentModule, current_module
from registry.state import DISABLED, RegisteredModule, Resolution, resolve
from registry.versions import ModuleRef
from registry.versions import parse_ref as parse_ref

if TYPE_CHECKING:
    from gitml.git.objects.reader import Objects
    from registry.registry import Registry


class ResolvedUse(NamedTuple):
    """What a use of a module means: the `entry` that `gitml.lock` has of it, or would have.

    `state` is active, deprecated or disabled, or ``unknown`` when the registry is not here and only the lock names it.
    """

    entry: LockEntry
    state: str
    warnings: tuple[str, ...]

    @property
    def content_oid(self) -> str:
        """The Git tree of its content, which is in the project's repository."""
        return self.entry.content.removeprefix("git:")

    @property
    def is_disabled(self) -> bool:
        """Whether it may be used only where that is allowed."""
        return self.state == DISABLED


class ModuleService:
    """The registries of the project at `location`: its own, and those that `registries` names by URL or path.

    The one under the empty name takes the place of the project's own as the default. Each is opened when first used. `consent`
    decides whether it may be copied from where it is; see `gitml.consent`.
    """

    def __init__(
        self,
        location: Location,
        objects: Objects | None = None,
        registries: Mapping[str, str] | None = None,
        consent: Consent | None = None,
    ) -> None:
        self.location = location
        self.consent = consent or Consent(location, os.environ)
        self.registries = dict(registries or {})
        self._given = objects
        self._objects = objects
        self._open: dict[str, Registry] = {}
        self._followed = False
        self._refused: str | None = None

    @property
    def objects(self) -> Objects:
        """The objects of the project's repository."""
        if self._objects is None:
            from gitml.git.objects.reader import Objects

            self._objects = Objects(self.location)
        return self._objects

    def close(self) -> None:
        """Lets go of every registry."""
        for registry in self._open.values():
            registry.close()
        self._open.clear()
        if self._objects is not None and self._given is None:
            self._objects.close()
            self._objects = None

    def registry(self, name: str | None = None) -> Registry:
        """The registry of that name, the default one for None; cloned when it is of another repository and not here yet.

        InputError for one that is not here, in a command that only looks; TrustError for one that the user did not allow.
        """
        from registry.registry import Registry

        name = name or ""
        if name not in self._open:
            if name in self.registries:
                self._need_copy(name)
                source = (self.location, self.objects)
                self._open[name] = Registry.shared(self.location, self.registries[name], source)
            elif name:
                raise self._unknown(name)
            else:
                self._follow()
                self._open[name] = Registry(self.location, self.objects)
        return self._open[name]

    def reach(self, name: str | None) -> None:
        """TrustError unless what is to be exchanged with a registry of another repository may be; see `gitml.consent`."""
        url = self.registries.get(name or "")
        if url is not None:
            refuse_inner_place(self.location, url, "a registry", follow=False)
            self.consent.need_places([place_of_registry(name or "", url)])
            refuse_inner_place(self.location, url, "a registry")

    def _need_copy(self, name: str) -> None:
        url = self.registries[name]
        refuse_inner_place(self.location, url, "a registry", follow=False)
        if os.path.isdir(folder_of(self.location, url)):
            return
        if self.consent.offline:
            what = f"the registry {name} is not here yet" if name else "the project's registry is not here yet"
            raise InputError(
                what, where=without_secrets(url), hint=f"gitml module pull{f' --registry {name}' * bool(name)}"
            )
        self.reach(name)

    def resolve(self, use: str, lock: Lock | None = None, *, allow_disabled: bool = False) -> ResolvedUse:
        """What ``registry:name@requirement`` means: by the lock where it has an entry, else by the registry.

        A pinned version's state is asked of the registry all the same: InputError when it was disabled, unless
        `allow_disabled`. IntegrityError when lock and registry name different contents.
        """
        ref = parse_ref(use)
        entry = (lock or {}).get(str(ref))
        if entry is not None:
            return self._pinned(ref, entry, allow_disabled)
        here = self._current(ref.registry or "", ref.name)
        if here.module is None:
            found = self.registry(ref.registry).resolve(use_here(ref))  # which tells what is near
        else:
            found = resolve(here.module, ref.requirement, allow_disabled=allow_disabled)
        return self._resolved(ref, found, here.tip)

    def resolve_then(self, use: str, as_of: str, *, allow_disabled: bool = False) -> Resolution:
        """What a use meant at some time; see `registry.Registry.resolve`."""
        ref = parse_ref(use)
        return self.registry(ref.registry).resolve(use_here(ref), as_of, allow_disabled)

    def _current(self, name: str, module: str) -> CurrentModule:
        """A module of a registry, by the shortest way there is."""
        common_dir = self.location.common_dir
        if name in self.registries:
            common_dir = folder_of(self.location, self.registries[name])
        elif name:
            raise self._unknown(name)
        else:
            self._follow()
        quick = current_module(common_dir, module)
        if quick is not None:
            return quick
        projection = self.registry(name).journal.projection
        return CurrentModule(projection.tip() or "", projection.module(module))

    def _pinned(self, ref: ModuleRef, entry: LockEntry, allow_disabled: bool) -> ResolvedUse:
        here = self._current(ref.registry or "", ref.name)
        if here.module is None or entry.version not in here.module.versions:
            if self.objects.header(entry.content.removeprefix("git:")) is None:
                raise InputError(
                    f"{ref.name} {entry.version}, which gitml.lock names, is not in the registry here",
                    where=entry.use,
                    hint="gitml module pull",
                )
            told = (f"{ref.name} {entry.version} is not in the registry here; gitml.lock alone vouches for it",)
            return ResolvedUse(entry, "unknown", told)
        if here.module.versions[entry.version].content != entry.content:
            raise IntegrityError(
                f"gitml.lock names another content of {ref.name} {entry.version} than the registry",
                where=entry.use,
                hint="see who changed gitml.lock; gitml lock writes it again",
            )
        found = resolve(here.module, entry.version, allow_disabled=allow_disabled)
        return self._resolved(ref, found, here.tip)

    def _follow(self) -> None:
        """Merges what a plain `git fetch` fetched of the project's own registry."""
        if not self._followed:
            self._followed = True
            self._refused = merge_fetched(self.location, lambda: self.objects)

    def _resolved(self, ref: ModuleRef, found: Resolution, tip: str) -> ResolvedUse:
        registry = ref.registry or ""
        if registry in self.registries:
            self._bring(registry, found.content.removeprefix("git:"))
        entry = LockEntry(registry, ref.name, ref.requirement, found.version, found.content, tip)
        warnings = found.warnings + ((self._refused,) if self._refused is not None else ())
        return ResolvedUse(entry, found.state, warnings)

    def _unknown(self, name: str) -> InputError:
        from gitml.core.language.diagnostics import nearest

        near = nearest(name, [known for known in self.registries if known])
        return InputError(f"no registry {name!r}{near}", where="gitml.yaml", hint=f"registries: {{{name}: URL}}")

    def _bring(self, name: str, oid: str) -> None:
        """Puts content of another repository into the project's, kept by a ref so that gc leaves it."""
        ref = f"{layout.MODULES_REF}/{oid}"
        if os.path.exists(os.path.join(self.location.common_dir, ref)) or self.objects.resolve(ref) == oid:
            return
        if self.objects.header(oid) is None:
            from registry.log.clones import copy_tree

            copy_tree(self.registry(name).location, self.location, oid)
        move_refs(self.location, {ref: oid})


def use_here(ref: ModuleRef) -> str:
    """The use without the name of its registry."""
    return str(ref._replace(registry=None))


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
