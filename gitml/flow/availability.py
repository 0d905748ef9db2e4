"""Whether the bytes of a known result can be had without running: here in the Store, or inline in a record."""

from __future__ import annotations

from gitml.core.action import Action
from gitml.core.digest import Digest, digest_of
from gitml.core.result import OutputRef
from gitml.core.tree import decode_tree
from gitml.errors import IntegrityError
from gitml.workspace import Workspace


class Availability:
    """Answers for one plan or run; what was found here once is not looked at again."""

    def __init__(self, ws: Workspace) -> None:
        self.store = ws.store
        self.index = ws.index
        self.records = ws.records

    def has(self, output: OutputRef) -> bool:
        """Whether all of an output can be had."""
        if self.store.has(output.digest, output.size, tree=output.is_tree):
            return True
        return self._inline(output.digest, output.is_tree)

    def _inline(self, digest: Digest, tree: bool) -> bool:
        # Content that went bad here is made again by running, which also shows whether it can be; see docs/architecture.md.
        oid = self.index.inline(digest)
        if oid is None or self.store.is_quarantined(digest):
            return False
        if not tree:
            return True
        listing = self._content(digest, oid)
        return all(
            self.store.has(entry.digest, entry.size, tree=entry.kind == "d")
            or self._inline(entry.digest, entry.kind == "d")
            for entry in decode_tree(listing)
        )

    def fetch(self, action: Action) -> None:
        """Puts every input of `action` that is only inline into the Store; IntegrityError when a record lies."""
        for item in action.inputs:
            if not item.content.startswith("git:"):
                self.fetch_digest(Digest(item.content), tree=item.kind == "directory")

    def fetch_digest(self, digest: Digest, *, tree: bool) -> None:
        """Puts one Blob, or a Tree with all below it, into the Store if it is only inline."""
        oid = self.index.inline(digest)
        if oid is None:
            return
        content = self._content(digest, oid)
        if tree:
            for entry in decode_tree(content):
                self.fetch_digest(entry.digest, tree=entry.kind == "d")
        if not self.store.has(digest, len(content), tree=False):
            self.store.put(content)

    def _content(self, digest: Digest, oid: str) -> bytes:
        content = self.records.read(oid)
        if digest_of(content) != digest:
            raise IntegrityError(f"a record holds other bytes than it says for {digest[:19]}", where=oid)
        return content
