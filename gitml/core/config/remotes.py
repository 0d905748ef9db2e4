"""Remote stores as `gitml.yaml` names them, and what lies in one: objects, and of each directory the manifest of its objects."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.kinds.remote_kinds import LFS, REMOTE_KINDS, URL
from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.core.model.result import size_from_json

FROM = "from"
"""Option of a resolved spec: the tracked file beside `gitml.yaml` that named its place."""
MANIFEST_FORMAT = 1
MANIFEST_LARGEST = 32 << 20
"""Bytes of a manifest; of one with more no more than that is read."""
MANIFEST_PARTS = 300_000
"""Objects that a manifest names: files of 1 MiB and more, packs of 8 MiB of smaller ones, packs of listings."""
LISTINGS_LARGEST = 128 << 20
"""Bytes of all listings of a Tree: more than a million files."""
_ODD = 1 << 20  # bytes of a manifest that was not written as `encode_manifest` does
_PART = re.compile(rb'\["([0-9a-f]{64})",(0|[1-9][0-9]{0,18})\]([,\]])')
_SECRET = re.compile(r"[^/@]*:[^/@]*@")


class RemoteSpec(NamedTuple):
    """A remote store: `url` is ``lfs`` or a URL; `options` are those of its kind, see `remote_kinds`.

    With `push` false nothing is ever uploaded to it.
    """

    name: str
    url: str
    options: Mapping[str, str] = {}
    push: bool = True

    @property
    def scheme(self) -> str:
        """Its kind: a name of REMOTE_KINDS."""
        return self.url.partition(":")[0]

    @property
    def identity(self) -> str:
        """Its name in what is remembered: another place is another remote, another name is not."""
        place = f"{self.url} {sorted(item for item in self.options.items() if item[0] != FROM)}"
        return hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @property
    def place(self) -> str:
        """Where it is, to be shown."""
        return self.options.get("place", self.url)

    @property
    def path(self) -> str:
        """What follows ``scheme://``."""
        return self.url.partition("://")[2]


def problem_with_url(url: str) -> str | None:
    """What is wrong with the URL of a remote store, None when nothing is. No part of a secret is repeated."""
    if url == LFS:
        return None
    schemes = [name for name in REMOTE_KINDS if name != LFS]
    found = URL.match(url)
    if found is None:
        return f"a remote is 'lfs' or a URL ({', '.join(f'{scheme}://' for scheme in schemes)})"
    scheme, rest = found[1], found[2]
    if scheme not in schemes:
        return f"{scheme}:// is no kind of remote; there are {', '.join((LFS, *schemes))}"
    if _SECRET.match(rest):
        return "credentials don't belong in gitml.yaml; they come from the environment or the usual tools"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in rest) or "?" in rest or "#" in rest:
        return "a remote's URL is a place only: no control characters, no '?', no '#'"
    if ".." in rest.split("/"):
        return "a remote's URL may not hold '..'"
    return REMOTE_KINDS[scheme].place(rest)


class NewerManifestError(ValueError):
    """A manifest that a newer gitml wrote: it is not damaged, and must not be overwritten."""


class StoredObject(NamedTuple):
    """An object by its Digest, and its size in bytes."""

    digest: Digest
    size: int


class Manifest(NamedTuple):
    """All objects of a remote store that make up the Tree `tree` of `size` bytes.

    `listings` are packs of its listings, `packs` of its small files; `objects` are its large files. A manifest is written after
    all of these, so where it is the whole Tree is.
    """

    tree: Digest
    size: int
    listings: tuple[StoredObject, ...]
    packs: tuple[StoredObject, ...]
    objects: tuple[StoredObject, ...]

    @property
    def parts(self) -> tuple[StoredObject, ...]:
        """Every object that it names."""
        return (*self.packs, *self.objects, *self.listings)


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of a manifest: JSON, keys sorted, objects in the order given."""
    shown: dict[str, Any] = {"format": MANIFEST_FORMAT, "tree": hex_of(manifest.tree), "size": manifest.size}
    for name in ("listings", "packs", "objects"):
        shown[name] = [[hex_of(item.digest), item.size] for item in getattr(manifest, name)]
    return json.dumps(shown, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def decode_manifest(data: bytes, tree: Digest) -> Manifest:
    """The manifest of `tree` in `data`; ValueError when it is none, or another's, or of a newer format."""
    if not data:
        raise ValueError("an empty manifest, or no ordinary file")
    if len(data) > MANIFEST_LARGEST:
        raise ValueError(f"a manifest of more than {MANIFEST_LARGEST >> 20} MiB")
    found = _as_written(data, tree) or _as_json(data, tree)
    if sum(map(len, found[2:])) > MANIFEST_PARTS:
        raise ValueError(f"a manifest of more than {MANIFEST_PARTS} objects")
    if total(found.listings) > LISTINGS_LARGEST:
        raise ValueError(f"a directory with more than {LISTINGS_LARGEST >> 20} MiB of listings")
    return found


def _as_written(data: bytes, tree: Digest) -> Manifest | None:
    """What `encode_manifest` wrote, read without a copy of it in memory; None for anything else."""
    at = 0
    parts: dict[bytes, tuple[StoredObject, ...]] = {}
    for name in (b"listings", b"objects", b"packs"):
        start = (b'{"format":%d,' % MANIFEST_FORMAT if not parts else b",") + b'"%s":[' % name
        if not data.startswith(start, at):
            return None
        at += len(start)
        found: list[StoredObject] = []
        if data.startswith(b"]", at):
            at += 1
        else:
            while True:
                part = _PART.match(data, at)
                if part is None or len(found) > MANIFEST_PARTS:
                    return None
                found.append(StoredObject(from_hex(part[1].decode("ascii")), size_from_json(int(part[2]))))
                at = part.end()
                if part[3] == b"]":
                    break
        parts[name] = tuple(found)
    end = re.fullmatch(rb',"size":(0|[1-9][0-9]{0,18}),"tree":"([0-9a-f]{64})"\}\n?', data[at : at + 200])
    if end is None or at + len(end[0]) != len(data):
        return None
    if from_hex(end[2].decode("ascii")) != tree:
        raise ValueError("the manifest of another directory")
    return Manifest(tree, size_from_json(int(end[1])), parts[b"listings"], parts[b"packs"], parts[b"objects"])


def _as_json(data: bytes, tree: Digest) -> Manifest:
    newer = re.match(rb'\{"format":([0-9]{1,9})[,}]', data)
    if newer is not None and int(newer[1]) > MANIFEST_FORMAT:
        raise NewerManifestError(f"a manifest of format {int(newer[1])}; this gitml reads format {MANIFEST_FORMAT}")
    if len(data) > _ODD:
        raise ValueError(f"not a manifest, or one of more than {MANIFEST_PARTS} objects")
    try:
        raw = json.loads(data)
        if raw["format"] != MANIFEST_FORMAT:
            what = f"a manifest of format {str(raw['format'])[:20]}; this gitml reads format {MANIFEST_FORMAT}"
            is_newer = type(raw["format"]) is int and raw["format"] > MANIFEST_FORMAT
            raise NewerManifestError(what) if is_newer else ValueError(what)
        if from_hex(raw["tree"]) != tree:
            raise ValueError("the manifest of another directory")
        return Manifest(
            tree, size_from_json(raw["size"]), _items(raw["listings"]), _items(raw["packs"]), _items(raw["objects"])
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a manifest: {error!r}") from error


def _items(raw: Sequence[Sequence[Any]]) -> tuple[StoredObject, ...]:
    return tuple([StoredObject(from_hex(name), size_from_json(size)) for name, size in raw])


def total(items: Iterable[StoredObject]) -> int:
    """Bytes of all of them."""
    return sum(item.size for item in items)


IMAGE_PARTS = 1024
"""Objects of an image, or of an index of images, at most."""


def encode_image_entry(digest: Digest, parts: Sequence[StoredObject]) -> bytes:
    """What a remote store has under the digest of an image's manifest, or of an index: the form of a Manifest.

    The first of the `parts` is that manifest or index itself; what it is made of follows. A Tree's Manifest never names the Tree
    as an object, so neither is taken for the other.
    """
    return encode_manifest(Manifest(digest, total(parts), (), (), tuple(parts)))


def decode_image_entry(data: bytes, digest: Digest) -> tuple[StoredObject, ...] | None:
    """The parts of the image or index with that digest; None where `data` is the Manifest of a Tree. ValueError as there."""
    found = decode_manifest(data, digest)
    if not found.objects or found.objects[0].digest != digest:
        return None
    if len(found.objects) > IMAGE_PARTS:
        raise ValueError(f"an image of more than {IMAGE_PARTS} objects")
    return found.objects
