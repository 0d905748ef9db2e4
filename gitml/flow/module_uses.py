"""Which pipelines of the repository use which modules, at a commit."""

from __future__ import annotations

from typing import NamedTuple

from gitml.errors import GitmlError
from gitml.flow.load import pipelines_in, read_config, read_head
from gitml.flow.using import read_lock
from gitml.modules.consequences import Use
from gitml.modules.service import parse_ref
from gitml.repo.revisions import resolve_commit
from gitml.repo.source import CommitSource
from gitml.workspace import Workspace


class Uses(NamedTuple):
    """The uses of modules at a commit, and the pipelines that can't be read there with why."""

    commit: str
    uses: tuple[Use, ...]
    unread: tuple[tuple[str, str], ...]


def uses_of_modules(ws: Workspace, rev: str = "HEAD") -> Uses:
    """Every use of a module in the pipelines at `rev`, with what `gitml.lock` pins it to."""
    commit = resolve_commit(ws.objects, ws.location, rev)
    source = CommitSource(ws.objects, commit)
    config = read_config(ws, source)
    lock = read_lock(source)
    uses: list[Use] = []
    unread: list[tuple[str, str]] = []
    for name, path in sorted(pipelines_in(source).items()):
        entry = source.lookup(path)
        if entry is None or entry.is_tree or entry.is_submodule:
            continue
        try:
            head = read_head(ws, source, config, path, entry)
            for use in head.modules:
                ref = parse_ref(use)
                entry_of_lock = lock.get(str(ref))
                locked = entry_of_lock.version if entry_of_lock is not None else None
                uses.append(Use(name, use, ref.registry or "", ref.name, ref.requirement, locked))
        except GitmlError as error:
            unread.append((name, error.message))
    return Uses(commit, tuple(uses), tuple(unread))
