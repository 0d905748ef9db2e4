"""Changes to a registry before they are made: what the rules say of them, and what each use of the module would mean then."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from gitml.errors import GitmlError, InputError
from gitml.modules.folder import content_and_spec, publish_folder
from gitml.modules.service import ModuleService
from gitml.modules.spec import manifest_of
from registry.interface import interface_as_json
from registry.log.events import CONTENT, DEPRECATE, DISABLE, ENABLE, PUBLISH, SET_DEFAULT, Event
from registry.publication_rules import check_publication
from registry.registry import Publication
from registry.state import ModuleState, apply, check_event, resolve
from registry.versions import check_name, check_version

CHANGES = (DEPRECATE, DISABLE, ENABLE, SET_DEFAULT)


class ModuleChange(NamedTuple):
    """A change to a version of a module, or to the whole module (`version` None). `kind` is one of CHANGES."""

    kind: str
    registry: str
    module: str
    version: str | None
    reason: str = ""
    replacement: str | None = None
    default: str | None = None
    clear_default: bool = False


class ModuleUse(NamedTuple):
    """A use of a module in a pipeline, by its requirement or, where `gitml.lock` has it, by the `locked` version."""

    pipeline: str
    use: str
    registry: str
    module: str
    requirement: str | None
    locked: str | None = None


class UseResolution(NamedTuple):
    """What a use comes to: a version in some state, or, where `refused` says why, none."""

    version: str
    state: str
    refused: str = ""


class UseImpact(NamedTuple):
    """What a change does to a use."""

    use: ModuleUse
    before: UseResolution
    after: UseResolution

    @property
    def effect(self) -> str:
        """In a word: ``nothing``, ``refused``, ``works again``, ``another version``, ``warned`` or ``no longer warned``."""
        before, after = self.before, self.after
        if before == after:
            return "nothing"
        if after.refused:
            return "nothing" if before.refused else "refused"
        if before.refused:
            return "works again"
        if before.version != after.version:
            return "another version"
        return "warned" if after.state == "deprecated" else "no longer warned"


class ChangeImpact(NamedTuple):
    """A change that the rules allow: what each use of the module would mean, and what there is to know besides.

    `default` is the module's default before and after. `idle` says that it is so already and nothing would be written.
    """

    consequences: tuple[UseImpact, ...]
    notes: tuple[str, ...]
    default: tuple[str | None, str | None]
    idle: bool = False


class PublishImpact(NamedTuple):
    """A module that could be published from a folder of the commit, and what would come of it."""

    folder: str
    name: str
    version: str
    prospect: ChangeImpact


def impact_of_change(modules: ModuleService, change: ModuleChange, uses: Iterable[ModuleUse]) -> ChangeImpact:
    """What a change would do; InputError when the rules refuse it, as making it would."""
    if change.kind in (DEPRECATE, DISABLE) and not change.reason.strip():
        raise InputError("no reason", where=f"{change.kind} {change.module}", hint="say why; its users see it")
    own = (change.reason, change.replacement, change.default, change.clear_default)
    event = Event("", "", "", change.kind, change.module, change.version, *own)
    before, after = (_state(modules, change.registry, change.module) for _ in range(2))
    check_event(after, event)
    idle = change.kind == SET_DEFAULT and before.default == change.version
    apply(after, event)
    return _impact(before, after, change.registry, uses, (), idle)


def apply_change(modules: ModuleService, change: ModuleChange) -> bool:
    """Makes a change; False when it was so already."""
    if change.kind == SET_DEFAULT and change.version is None:
        raise InputError("no version named", where=change.module)
    given = change._asdict()
    registry, name = given.pop("registry"), given.pop("module")
    return modules.registry(registry).change(name=name, **given) is not None


def impact_of_publishing(
    modules: ModuleService, registry: str, folder: str, uses: Iterable[ModuleUse]
) -> PublishImpact:
    """What publishing a folder (from the root of the repository) as it is at HEAD would do; InputError as doing it would."""
    content, spec = content_and_spec(modules, _place(modules, folder))
    if spec.version is None:
        raise InputError("no version", where=spec.name, hint="module.yaml does not say it: give one")
    version = check_version(spec.version)
    manifest = manifest_of(spec)
    before, after = (_state(modules, registry, check_name(spec.name)) for _ in range(2))
    verdict = check_publication(before, version, content.tree, manifest.interface, allow_breaking=False)
    if not verdict.known:
        interface = interface_as_json(manifest.interface)
        event = Event("", "", "", PUBLISH, spec.name, version, content=CONTENT + content.tree, interface=interface)
        check_event(after, event)
        apply(after, event)
    prospect = _impact(before, after, registry, uses, verdict.notes, verdict.known)
    return PublishImpact(folder, spec.name, version, prospect)


def publish(modules: ModuleService, registry: str, folder: str, *, default: bool = False) -> Publication:
    """Publishes a folder (from the root of the repository) as it is at HEAD."""
    return publish_folder(modules, _place(modules, folder), registry=registry or None, default=default)


def _place(modules: ModuleService, folder: str) -> str:
    root = modules.location.worktree
    return folder if root is None else os.path.join(root, folder)


def _state(modules: ModuleService, registry: str, module: str) -> ModuleState:
    """A module as it is now, for this caller alone."""
    return modules.registry(registry or None).journal.projection.module(module) or ModuleState(module)


def _impact(
    before: ModuleState,
    after: ModuleState,
    registry: str,
    uses: Iterable[ModuleUse],
    notes: tuple[str, ...],
    idle: bool,
) -> ChangeImpact:
    ours = [use for use in uses if (use.registry, use.module) == (registry, before.name)]
    found = tuple(UseImpact(use, _resolve_use(before, use), _resolve_use(after, use)) for use in ours)
    return ChangeImpact(found, notes, (before.default, after.default), idle)


def _resolve_use(state: ModuleState, use: ModuleUse) -> UseResolution:
    if not state.versions:
        return UseResolution("", "", f"there is no module {use.module!r}")
    try:
        found = resolve(state, use.locked or use.requirement)
    except InputError as error:
        return UseResolution(use.locked or "", "", error.message)
    return UseResolution(found.version, found.state)


def resolve_uses(modules: ModuleService, uses: Iterable[ModuleUse]) -> dict[ModuleUse, UseResolution]:
    """What each use comes to now; of a registry that can't be asked, why."""
    found = {}
    for use in uses:
        try:
            found[use] = _resolve_use(_state(modules, use.registry, use.module), use)
        except GitmlError as error:
            found[use] = UseResolution("", "", error.message)
    return found
