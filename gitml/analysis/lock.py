"""`gitml.lock`: what every use of a module in the project's pipelines means, written down so that it stays so."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import closing
from typing import NamedTuple

from gitml.core.language.diagnostics import nearest
from gitml.core.language.parse import parse_pipeline
from gitml.core.model.graph import header_of
from gitml.engine.planning.load import config_at, every_pipeline, open_source
from gitml.engine.planning.module_resolution import open_modules, read_lock
from gitml.engine.planning.projects import project_of_file
from gitml.errors import Guard, InputError
from gitml.git.objects.source import ListableSource, settings_in
from gitml.modules.lockfile import PATH, Lock, LockEntry, lock_as_bytes
from gitml.modules.service import ModuleService, ResolvedUse, parse_ref
from gitml.store.local import disk
from gitml.workspace import Workspace


class LockUpdate(NamedTuple):
    """The entries that the lock should have, and how they differ from those it has: words such as ``a@^1: 1.0.0 -> 1.1.0``."""

    entries: dict[str, LockEntry]
    changes: tuple[str, ...]
    warnings: tuple[str, ...]


def resolve_lock(
    ws: Workspace, upgrade: Collection[str] | None = (), source: ListableSource | None = None, *, lenient: bool = False
) -> LockUpdate:
    """What `gitml.lock` should say of the pipelines of `source`, the work tree when None.

    Entries it has stay as they are, but for the modules in `upgrade` (all when None); uses that are gone go. A use that only a
    version satisfies which was disabled is an InputError; when `lenient` an entry that the lock has of it stays, with a warning:
    no run takes it anyway, and the others are not held up.
    """
    source = source or open_source(ws, None)
    uses: dict[str, None] = {}
    for path in every_pipeline(source).values():
        config = config_at(ws, source, project_of_file(path))
        entry = source.lookup(path)
        assert entry is not None
        uses.update(
            dict.fromkeys(header_of(parse_pipeline(settings_in(source, entry, path), path, config.defaults)).modules)
        )
    had = read_lock(source)
    names = {str(parse_ref(use)): parse_ref(use).name for use in uses}
    for name in upgrade or ():
        if name not in names.values():
            raise InputError(f"no pipeline uses the module {name!r}{nearest(name, names.values())}")
    kept = {key: had[key] for key in names if key in had and upgrade is not None and names[key] not in upgrade}
    with closing(open_modules(ws, source)) as modules:
        found = {key: _resolved(modules, key, kept, had if lenient else {}) for key in names}
    entries = {key: kept.get(key) or item.entry for key, item in found.items()}
    warnings = tuple(warning for item in found.values() for warning in item.warnings)
    return LockUpdate(entries, tuple(_changes(had, entries)), warnings)


def _resolved(modules: ModuleService, use: str, kept: Lock, fallback: Lock) -> ResolvedUse:
    try:
        return modules.resolve(use, kept)
    except InputError:
        stays = modules.resolve(use, fallback, allow_disabled=True) if use in fallback else None
        if stays is None or not stays.is_disabled:
            raise
        return stays


def write_lock(ws: Workspace, entries: dict[str, LockEntry]) -> str:
    """Writes `gitml.lock` into the work tree, whole or not at all; gives its path."""
    assert ws.location.worktree is not None
    path = os.path.join(ws.location.worktree, PATH)
    with Guard(path, "can't write it"):
        disk.write_whole(path, lock_as_bytes(entries), durable=True)
    return path


def _changes(had: dict[str, LockEntry], now: dict[str, LockEntry]) -> list[str]:
    found = []
    for key in sorted({*had, *now}):
        old, new = had.get(key), now.get(key)
        if old is None and new is not None:
            found.append(f"{key}: {new.version} is new")
        elif new is None:
            found.append(f"{key}: no pipeline uses it any more")
        elif old is not None and (old.version, old.content) != (new.version, new.content):
            found.append(f"{key}: {old.version} -> {new.version}")
    return found
