"""Which images a remote store keeps: those that recorded runs used, and those that pipelines of the branches name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set

from gitml.core.config.remotes import decode_image_entry
from gitml.core.kinds.environment_kinds import IMAGE
from gitml.core.kinds.image_names import parse_image_name
from gitml.core.model.digest import Digest
from gitml.core.model.protocols import SweptRemote
from gitml.engine.planning.load import list_pipelines, load, open_source
from gitml.engine.planning.module_resolution import read_image_pins
from gitml.errors import GitmlError
from gitml.git.command import git
from gitml.store.remote.transfer.thread_pool import in_parallel
from gitml.workspace import Workspace

_SMALL = 256 << 10  # bytes of the entry of an image: a thousand objects take a third of it


def kept_images(ws: Workspace, remote: SweptRemote, trees: Set[Digest]) -> set[Digest]:
    """The images in a store, by the digests of their manifests and indexes, that are not to be deleted.

    `trees` are kept, and are no images. Where a pipeline of a branch can't be read all images are kept: it may need any.
    """
    entries = _entries(remote, trees)
    if not entries:
        return set()
    used = set(_used_by_runs(ws))
    try:
        named = set(_named_by_pipelines(ws)) if entries.keys() - used else set()
    except GitmlError:
        return set(entries)
    keep: set[Digest] = set()
    for digest in entries:
        if digest in used | named:
            keep.add(digest)
    for digest, parts in entries.items():
        if digest in named:  # an index: the images that were pushed of it
            keep |= {part for part in parts if part in entries}
        elif any(part in keep for part in parts):
            keep.add(digest)  # the index by which an image that is kept may be asked for
    return keep


def _entries(remote: SweptRemote, trees: Set[Digest]) -> dict[Digest, tuple[Digest, ...]]:
    """Each image and index in the store, and the digests of its parts."""

    def parts_of(digest: Digest) -> tuple[Digest, ...] | None:
        content = remote.manifest(digest)
        try:
            parts = None if content is None else decode_image_entry(content, digest)
        except ValueError:
            return None  # of a Tree that is not kept
        return None if parts is None else tuple([part.digest for part in parts])

    asked = [one.digest for one in remote.listed() if one.manifest and one.size <= _SMALL and one.digest not in trees]
    answers = in_parallel(parts_of, asked, remote.parallel)
    return {digest: parts for digest, parts in zip(asked, answers, strict=True) if parts is not None}


def _used_by_runs(ws: Workspace) -> Iterator[Digest]:
    """The images of the environments of all recorded runs."""
    for description in ws.index.environments():
        try:
            found = json.loads(description)
        except ValueError:
            continue
        digest = found.get(IMAGE) if isinstance(found, dict) else None
        if isinstance(digest, str):
            yield Digest(digest)


def _named_by_pipelines(ws: Workspace) -> Iterator[Digest]:
    """The digests of images that the pipelines of HEAD, of each branch and of the work tree name, by themselves or by a pin."""
    revisions: list[str | None] = [*_tips(ws)]
    if ws.location.worktree is not None:
        revisions.append(None)
    for rev in revisions:
        pins = read_image_pins(open_source(ws, rev))
        for pipeline in list_pipelines(ws, rev):
            for spec in {step.settings.environment for step in load(ws, pipeline, rev).graph.steps.values()}:
                text = spec.name if spec.kind == IMAGE else spec.option(IMAGE)
                name = parse_image_name(text)[0] if isinstance(text, str) else None
                digest = (name.digest or pins.get(str(name), "")) if name is not None else ""
                if digest:
                    yield Digest(digest)


def _tips(ws: Workspace) -> list[str]:
    listed = git(ws.location, "for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes")
    head = git(ws.location, "rev-parse", "--verify", "--quiet", "HEAD", check=False)
    return sorted(set((listed + b" " + head).decode("ascii", "replace").split()))
