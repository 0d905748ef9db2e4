"""Pointers from Trees to their manifests in Git LFS: empty files in the log of runs, beside the run that made the Tree.

``runs/…/<id>/trees/<64 hex of the Tree>-<64 hex of the manifest>-<its size>``
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence

from gitml.core.config.remotes import StoredObject
from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.errors import InputError
from gitml.git.log.record_log import GitRecordLog
from gitml.records.layout import record_folder
from gitml.store.index.artifacts import makers_of
from gitml.store.index.index import Index
from gitml.store.index.runs import newest_runs, run_row

_PATH = re.compile(r"runs/(?:[^/]+/){5}trees/([0-9a-f]{64})-([0-9a-f]{64})-(0|[1-9][0-9]{0,18})\Z")
_KIND = "manifests"  # of facts: Tree -> [[hex, size], …]


def parse_pointer(path: str) -> tuple[Digest, StoredObject] | None:
    """(Tree, its manifest) of a path of the log; None when it is no pointer."""
    found = _PATH.match(path) if "/trees/" in path else None
    return found and (from_hex(found[1]), StoredObject(from_hex(found[2]), int(found[3])))


def take_pointer(index: Index, tree: Digest, manifest: StoredObject) -> None:
    """Keeps a pointer in the index."""
    known = index.fact(_KIND, hex_of(tree)) or []
    row = [hex_of(manifest.digest), manifest.size]
    if row not in known:
        index.remember(_KIND, hex_of(tree), [*known, row])


class LogPointers:
    """The pointers in the log of runs, looked up in the index. They may be looked up from any thread, and added from its own."""

    def __init__(self, index: Index, records: GitRecordLog) -> None:
        self._index = index
        self._thread = threading.get_ident()
        self._others = threading.local()
        self._records = records

    def manifests_of(self, tree: Digest) -> Sequence[StoredObject]:
        """The manifests of a Tree that any clone wrote, newest last."""
        return [StoredObject(from_hex(name), size) for name, size in self._looked_in().fact(_KIND, hex_of(tree)) or ()]

    def add(self, manifests: Mapping[Digest, StoredObject]) -> None:
        """Writes down the pointers that are new, in one commit; InputError when no run is recorded that they could lie with."""
        new = {tree: item for tree, item in manifests.items() if item not in self.manifests_of(tree)}
        count = len(new)
        message = f"{count} {'directory' if count == 1 else 'directories'} in Git LFS\n"
        self._records.append_missing({self._place(tree, item): b"" for tree, item in new.items()}, message, None)
        with self._index.batch():
            for tree, item in new.items():
                take_pointer(self._index, tree, item)

    def _looked_in(self) -> Index:
        """The index; a connection of its own for a thread that is not the index's."""
        if threading.get_ident() == self._thread:
            return self._index
        if not hasattr(self._others, "index"):
            self._others.index = Index(self._index.path)
        index: Index = self._others.index
        return index

    def _place(self, tree: Digest, item: StoredObject) -> str:
        rows = [run_row(self._index, maker.run) for maker in makers_of(self._index, tree)[:1]] or newest_runs(
            self._index, limit=1
        )
        if not rows or rows[0] is None:
            raise InputError("no recorded run made this directory", where=tree, hint="gitml fsck --repair")
        folder = record_folder(rows[0].id, rows[0].started)
        return f"{folder}/trees/{hex_of(tree)}-{hex_of(item.digest)}-{item.size}"
