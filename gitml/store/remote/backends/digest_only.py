"""A remote store on a place that keeps objects by their Digest and nothing else, such as a Git LFS server.

Such a place can't say which manifest belongs to a Tree, so the manifest is an object there too, and a pointer to it travels
with the records of runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gitml.core.config.remotes import MANIFEST_LARGEST, StoredObject
from gitml.core.model.digest import Digest, digest_of
from gitml.core.model.protocols import RemoteContents


class ManifestPointers(Protocol):
    """Which objects are manifests of which Trees. Used from the thread that the index belongs to."""

    def manifests_of(self, tree: Digest) -> Sequence[StoredObject]:
        """The manifests of a Tree that any clone wrote, newest last."""

    def add(self, manifests: Mapping[Digest, StoredObject]) -> None:
        """Writes down that these Trees have these manifests, so that other clones get to know."""


class DigestOnlyRemote:
    """A RemoteStore made of Objects and Pointers."""

    def __init__(self, objects: RemoteContents, pointers: ManifestPointers) -> None:
        self.name = objects.name
        self.place = objects.place
        self.identity = objects.identity
        self.parallel = objects.parallel
        self.present = objects.present
        self.lacking = objects.lacking
        self.expect = objects.expect
        self.put = objects.put
        self.get = objects.get
        self.close = objects.close
        self._objects = objects
        self._pointers = pointers

    def with_manifest(self, trees: Sequence[Digest]) -> set[Digest]:
        """Which of these Trees have a manifest there."""
        known = {tree: self._pointers.manifests_of(tree) for tree in trees}
        there = self._objects.present(list({item for items in known.values() for item in items}))
        return {tree for tree, items in known.items() if any(item.digest in there for item in items)}

    def manifest(self, tree: Digest) -> bytes | None:
        """The manifest of a Tree."""
        known = [item for item in self._pointers.manifests_of(tree) if item.size <= MANIFEST_LARGEST]
        there = self._objects.present(known)
        for item in reversed(known):
            if item.digest in there:
                content = bytearray()
                for chunk in self._objects.get(item).chunks:
                    content += chunk
                    if len(content) > item.size:
                        break
                if digest_of(memoryview(content)) == item.digest:
                    return bytes(content)
        return None

    def put_manifests(self, manifests: Mapping[Digest, bytes]) -> None:
        """Writes manifests, as objects and pointers to them."""
        items = {tree: StoredObject(digest_of(content), len(content)) for tree, content in manifests.items()}
        lacking = self._objects.lacking(list(dict.fromkeys(items.values())))
        for tree, item in items.items():
            if item.digest in lacking:
                self._objects.put(item, manifests[tree], lambda _: None)
                lacking.discard(item.digest)
        self._pointers.add(items)

    def note(self) -> bytes | None:
        """Such a place deletes nothing for us, so there are none."""
        return None

    def set_note(self, content: bytes) -> None:
        """Nor can it keep any."""
