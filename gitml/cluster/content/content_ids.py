"""Names of contents that are sent between machines. A name has the kind of the content and the hash that proves it.

``blob:<hex>`` and ``tree:<hex>`` are a Blob and a Tree's listing of the Store; ``git-blob:<oid>`` and ``git-tree:<oid>`` are
objects of Git, which are sent as Git hashes them: ``<kind> <size>\\0`` and the content. A tree as a root stands for all below it.
``git-commit:<oid>`` is a commit, and as a root stands for all its trees too, without their files: ``git-listing:<oid>``.
``git-tag:<oid>`` is an annotated tag. ``git-submodule:<oid>`` is the commit of a submodule in a folder that is sent whole, which
stands for all its files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gitml.core.model.action import Action
from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.core.model.protocols import Entry
from gitml.core.model.result import OutputRef
from gitml.core.model.tree import TreeEntry
from gitml.execute.sandbox.sandbox import is_pointer, pointed_at
from gitml.git.objects.reader import tree_of_commit

BLOB, TREE, GIT_BLOB, GIT_TREE = "blob", "tree", "git-blob", "git-tree"
GIT_COMMIT, GIT_LISTING, GIT_TAG, GIT_SUBMODULE = "git-commit", "git-listing", "git-tag", "git-submodule"
GIT_KINDS = {
    GIT_BLOB: "blob",
    GIT_TREE: "tree",
    GIT_COMMIT: "commit",
    GIT_LISTING: "tree",
    GIT_TAG: "tag",
    GIT_SUBMODULE: "commit",
}
"""What Git calls the objects whose names begin so."""


def stored_name(digest: Digest, *, tree: bool) -> str:
    """The name of a Blob or Tree."""
    return f"{TREE if tree else BLOB}:{hex_of(digest)}"


def git_name(entry: Entry) -> str:
    """The name of what an entry of a commit stands for."""
    if entry.is_submodule:
        return f"{GIT_SUBMODULE}:{entry.oid}"
    return f"{GIT_TREE if entry.is_tree else GIT_BLOB}:{entry.oid}"


def parse_name(name: str) -> tuple[str, str]:
    """(kind, id) of a name; ValueError when it is none."""
    kind, _, id = name.partition(":")
    if (kind not in (BLOB, TREE) and kind not in GIT_KINDS) or not id or set(id) - set("0123456789abcdef"):
        raise ValueError(f"not the name of a content: {name[:80]!r}")
    return kind, id


def digest_in(name: str) -> Digest:
    """The Digest in the name of a Blob or Tree."""
    return from_hex(parse_name(name)[1])


def tree_names(listing: Iterable[TreeEntry]) -> list[str]:
    """The names of what is directly in a Tree."""
    return [stored_name(entry.digest, tree=entry.kind == "d") for entry in listing]


def git_tree_names(entries: Mapping[str, Entry]) -> list[str]:
    """The names of what is directly in a tree of Git."""
    return [git_name(entry) for entry in entries.values()]


def listing_names(entries: Mapping[str, Entry]) -> list[str]:
    """The names of the folders directly in a tree of Git, without their files."""
    return [f"{GIT_LISTING}:{entry.oid}" for entry in entries.values() if entry.is_tree]


def commit_names(content: bytes) -> list[str]:
    """The name of what a commit with these bytes is of."""
    return [f"{GIT_LISTING}:{tree_of_commit(content)}"]


def submodule_names(content: bytes) -> list[str]:
    """The name of all the files of a submodule whose commit has these bytes."""
    return [f"{GIT_TREE}:{tree_of_commit(content)}"]


def pointer_names(content: bytes, oid: str) -> list[str]:
    """The name of what a blob of Git stands for as a Git LFS pointer; none for one that is no pointer."""
    return [stored_name(pointed_at(content, oid)[0], tree=False)] if is_pointer(content) else []


def roots_of(action: Action) -> list[str]:
    """All that a step must find on its machine, each once."""
    names: list[str] = []
    for item in action.inputs:
        if item.content.startswith("git:"):
            _, mode, oid = item.content.split(":", 2)
            names.append(git_name(Entry(mode, oid)))
        else:
            names.append(stored_name(Digest(item.content), tree=item.kind == "directory"))
    names += [git_name(Entry(mode, oid)) for _, mode, oid in action.code]
    if action.repository is not None:
        commit, tags, instead = action.repository
        names += [f"{GIT_COMMIT}:{commit}", *(f"{GIT_TAG}:{oid}" for _, oid in tags if oid != commit)]
        names += [git_name(Entry(mode, oid)) for _, mode, oid in instead]
    return list(dict.fromkeys(names))


def roots_of_outputs(outputs: Iterable[OutputRef]) -> list[str]:
    """The names of what a step made."""
    return list(dict.fromkeys([stored_name(output.digest, tree=output.is_tree) for output in outputs]))
