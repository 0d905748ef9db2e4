"""`gitml.lock`: what every use of a module and every tag of an image in the project's pipelines means, so that it stays so."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

from gitml.core.kinds.environment_kinds import tagged_image
from gitml.core.kinds.image_names import ImageName, parse_image_name
from gitml.core.language.diagnostics import nearest
from gitml.core.model.environment import EnvironmentSpec
from gitml.core.model.graph import header_of
from gitml.core.model.paths import project_of_file
from gitml.engine.planning.load import config_at, every_pipeline, open_source, parse_at
from gitml.engine.planning.module_resolution import open_modules, read_image_pins, read_lock
from gitml.errors import Guard, InputError, TrustError
from gitml.git.objects.source import ListableSource
from gitml.modules.lockfile import PATH, Lock, LockEntry, lock_as_bytes
from gitml.modules.service import ModuleService, ResolvedUse, parse_ref
from gitml.store.local import disk
from gitml.workspace import Workspace

_DIGITS = len("sha256:") + 12  # of a digest, as people are shown it


class LockUpdate(NamedTuple):
    """The entries that the lock should have, and how they differ from those it has: words such as ``a@^1: 1.0.0 -> 1.1.0``.

    `images` are digests by the names of images.
    """

    entries: dict[str, LockEntry]
    changes: tuple[str, ...]
    warnings: tuple[str, ...]
    images: dict[str, str]


def resolve_lock(
    ws: Workspace,
    upgrade: Collection[str] | None = (),
    source: ListableSource | None = None,
    *,
    lenient: bool = False,
    ask: bool = True,
) -> LockUpdate:
    """What `gitml.lock` should say of the pipelines of `source`, the work tree when None.

    Entries it has stay as they are, but for the modules and images in `upgrade` (all when None); uses that are gone go. A use
    that only a version satisfies which was disabled is an InputError; when `lenient` an entry that the lock has of it stays,
    with a warning: no run takes it anyway, and the others are not held up. Unless it may `ask` registries of images, the digest
    of an image that is new is empty.
    """
    source = source or open_source(ws, None)
    uses: dict[str, None] = {}
    tags: dict[str, ImageName] = {}
    for path in every_pipeline(source).values():
        config = config_at(ws, source, project_of_file(path))
        entry = source.lookup(path)
        assert entry is not None
        pipeline = parse_at(source, entry, path, config)
        uses.update(dict.fromkeys(header_of(pipeline).modules))
        tags.update(
            {str(name): name for name in tagged_images(step.settings.environment for step in pipeline.steps.values())}
        )
    had = read_lock(source)
    names = {str(parse_ref(use)): parse_ref(use).name for use in uses}
    for name in upgrade or ():
        if name not in names.values() and _image_of(name) not in tags:
            known = [*names.values(), *tags]
            raise InputError(f"no pipeline uses the module or the image {name!r}{nearest(name, known)}")
    kept = {key: had[key] for key in names if key in had and upgrade is not None and names[key] not in upgrade}
    with closing(open_modules(ws, source)) as modules:
        found = {key: _resolved(modules, key, kept, had if lenient else {}) for key in names}
    entries = {key: kept.get(key) or item.entry for key, item in found.items()}
    warnings = tuple(warning for item in found.values() for warning in item.warnings)
    had_images = read_image_pins(source)
    again = set(tags) if upgrade is None else {_image_of(name) for name in upgrade}
    images = {
        key: had_images[key] if key in had_images and key not in again else digest_of_tag(ws, name) if ask else ""
        for key, name in tags.items()
    }
    changes = [*_changes(had, entries), *_image_changes(had_images, images)]
    return LockUpdate(entries, tuple(changes), warnings, images)


def _resolved(modules: ModuleService, use: str, kept: Lock, fallback: Lock) -> ResolvedUse:
    try:
        return modules.resolve(use, kept)
    except InputError:
        stays = modules.resolve(use, fallback, allow_disabled=True) if use in fallback else None
        if stays is None or not stays.is_disabled:
            raise
        return stays


def tagged_images(specs: Iterable[EnvironmentSpec]) -> Iterator[ImageName]:
    """The images that environments name by a tag alone."""
    for spec in specs:
        name = tagged_image(spec)
        if name is not None:
            yield name


def digest_of_tag(ws: Workspace, name: ImageName) -> str:
    """The digest of what a tag leads to now. TrustError where this repository's steps may not run, InputError without answer."""
    if not ws.consent.may_run():
        raise TrustError(
            f"{name.host} is not asked before this repository's steps may run", hint="gitml trust allow run"
        )
    return ws.environments.digest_of_tag(name)


def _image_of(text: str) -> str:
    return str(parse_image_name(text)[0])


def _image_changes(had: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    for key in sorted({*had, *now}):
        old, new = had.get(key), now.get(key)
        if new is None:
            yield f"{key}: no pipeline uses it any more"
        elif old is None:
            yield f"{key}: {new[:_DIGITS]}… is new" if new else f"{key}: its tag is not pinned"
        elif old != new:
            yield f"{key}: {old[:_DIGITS]}… -> {new[:_DIGITS]}…"


def write_lock(ws: Workspace, entries: dict[str, LockEntry], images: dict[str, str]) -> str:
    """Writes `gitml.lock` into the work tree, whole or not at all; gives its path."""
    assert ws.location.worktree is not None
    path = os.path.join(ws.location.worktree, PATH)
    with Guard(path, "can't write it"):
        disk.write_whole(path, lock_as_bytes(entries, images), durable=True)
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
