"""Names of contents that are sent between machines. A name has the kind of the content and the hash that proves it.

``blob:<hex>`` and ``tree:<hex>`` are a Blob and a Tree's listing of the Store; ``git-blob:<oid>`` and ``git-tree:<oid>`` are
objects of Git, which are sent as Git hashes them: ``<kind> <size>\\0`` and the content. A tree as a root stands for all below it.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitml.core.model.action import Action
from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.core.model.protocols import Entry
from gitml.core.model.result import OutputRef

BLOB, TREE, GIT_BLOB, GIT_TREE = "blob", "tree", "git-blob", "git-tree"


def stored_name(digest: Digest, *, tree: bool) -> str:
    """The name of a Blob or Tree."""
    return f"{TREE if tree else BLOB}:{hex_of(digest)}"


def git_name(entry: Entry) -> str | None:
    """The name of what an entry of a commit stands for; None for what has no content here (a submodule)."""
    if entry.is_submodule:
        return None
    return f"{GIT_TREE if entry.is_tree else GIT_BLOB}:{entry.oid}"


def parse_name(name: str) -> tuple[str, str]:
    """(kind, id) of a name; ValueError when it is none."""
    kind, _, id = name.partition(":")
    if kind not in (BLOB, TREE, GIT_BLOB, GIT_TREE) or not id or set(id) - set("0123456789abcdef"):
        raise ValueError(f"not the name of a content: {name[:80]!r}")
    return kind, id


def digest_in(name: str) -> Digest:
    """The Digest in the name of a Blob or Tree."""
    return from_hex(parse_name(name)[1])


def roots_of(action: Action) -> list[str]:
    """All that a step must find on its machine, each once."""
    roots: dict[str, None] = {}
    for item in action.inputs:
        if item.content.startswith("git:"):
            _, mode, oid = item.content.split(":", 2)
            _add(roots, git_name(Entry(mode, oid)))
        else:
            _add(roots, stored_name(Digest(item.content), tree=item.kind == "directory"))
    for _, mode, oid in action.code:
        _add(roots, git_name(Entry(mode, oid)))
    return list(roots)


def roots_of_outputs(outputs: Iterable[OutputRef]) -> list[str]:
    """The names of what a step made."""
    return list(dict.fromkeys([stored_name(output.digest, tree=output.is_tree) for output in outputs]))


def _add(roots: dict[str, None], name: str | None) -> None:
    if name is not None:
        roots[name] = None
