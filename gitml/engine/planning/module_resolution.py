"""The modules that a pipeline uses, at a commit: by `gitml.lock` where it has them, else as the registry says now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gitml.core.config.project import PATH
from gitml.core.kinds.image_pins import image_pins
from gitml.core.language.spec import ResolvedModule
from gitml.core.model.protocols import Source
from gitml.git.objects.reader import Objects
from gitml.git.objects.source import CommitSource, settings_in
from gitml.git.revisions import resolve_commit
from gitml.modules.lockfile import PATH as LOCK_PATH
from gitml.modules.lockfile import LockEntry, parse_lock
from gitml.modules.registry_places import registries_in
from gitml.modules.service import ModuleService, parse_ref
from gitml.workspace import Workspace

if TYPE_CHECKING:
    from gitml.modules.service import ResolvedUse

Value = TypeVar("Value")


class ResolvedUses(NamedTuple):
    """What the uses of a pipeline mean: the Git tree of each, what the record of a run says of it, and warnings."""

    contents: Mapping[str, str]
    recorded: Mapping[str, Mapping[str, str]]
    warnings: tuple[str, ...]


def read_lock(source: Source) -> dict[str, LockEntry]:
    """The entries of `gitml.lock` at this source; none when there is no such file."""
    entry = source.lookup(LOCK_PATH)
    return parse_lock(settings_in(source, entry, LOCK_PATH)) if entry is not None else {}


def read_image_pins(source: Source) -> dict[str, str]:
    """The digests of images by name that `gitml.lock` has at this source; none when there is no such file."""
    entry = source.lookup(LOCK_PATH)
    return image_pins(settings_in(source, entry, LOCK_PATH)) if entry is not None else {}


def open_modules(ws: Workspace, source: Source) -> ModuleService:
    """The registries that the project names at this source."""
    entry = source.lookup(PATH)
    return ModuleService(
        ws.location, ws.objects, registries_in(settings_in(source, entry, PATH)) if entry else {}, ws.consent
    )


def with_modules(ws: Workspace, ask: Callable[[ModuleService], Value], rev: str = "HEAD") -> Value:
    """What `ask` finds in the registries that the project names at `rev`; they are closed then."""
    source = CommitSource(ws.objects, resolve_commit(ws.objects, ws.location, rev))
    with closing(open_modules(ws, source)) as modules:
        return ask(modules)


def resolve_uses(ws: Workspace, source: Source, uses: Sequence[str], *, allow_disabled: bool = False) -> ResolvedUses:
    """Resolves uses; InputError for one that means nothing, or a disabled version unless allowed."""
    with closing(open_modules(ws, source)) as modules:
        lock = read_lock(source)
        found = {use: modules.resolve(use, lock, allow_disabled=allow_disabled) for use in uses}
    contents = {use: item.content_oid for use, item in found.items()}
    recorded = {use: _recorded(item) for use, item in found.items()}
    return ResolvedUses(contents, recorded, tuple(warning for item in found.values() for warning in item.warnings))


def check_recorded(
    ws: Workspace, source: Source, recorded: Mapping[str, Mapping[str, str]], *, allow_disabled: bool
) -> None:
    """InputError when a module that a run used was disabled since; IntegrityError when the registry has it otherwise."""
    with closing(open_modules(ws, source)) as modules:
        for use, module in recorded.items():
            ref = parse_ref(use)
            entry = LockEntry(
                module.get("registry", ""),
                module["name"],
                ref.requirement,
                module["version"],
                module["content"],
                module.get("registry_state", ""),
            )
            modules.resolve(use, {str(ref): entry}, allow_disabled=allow_disabled)


def specs_of(objects: Objects, contents: Mapping[str, str]) -> dict[str, ResolvedModule]:
    """What each module says, read from its content; SpecError for a module.yaml with mistakes."""
    from gitml.modules.folder import load_spec

    return {use: ResolvedModule(oid, load_spec(objects, oid, f"{use}: module.yaml")) for use, oid in contents.items()}


def _recorded(item: ResolvedUse) -> dict[str, str]:
    shown = {
        "name": item.entry.name,
        "version": item.entry.version,
        "content": item.entry.content,
        "state": item.state,
        "registry": item.entry.registry,
        "registry_state": item.entry.state,
    }
    return {name: value for name, value in shown.items() if value}
