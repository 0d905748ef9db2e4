"""Remote stores as `gitml.yaml` names them, and what lies in one: objects, and of each directory the manifest of its objects."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.core.model.result import size_from_json

LFS = "lfs"
SCHEMES = ("s3", "gs", "az", "ssh", "file")
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
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)\Z", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}\Z")
_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,20})?\]"
_SSH = re.compile(rf"(?:[A-Za-z0-9_][A-Za-z0-9_.+-]{{0,99}}@)?(?:{_HOST})(?::([0-9]{{1,5}}))?\Z")
_ENDPOINT = re.compile(rf"https?://(?:{_HOST})(?::([0-9]{{1,5}}))?(?:/[A-Za-z0-9_.~/-]*)?\Z")
# By the rules of each cloud, but for the least length: where one can't be made, none is found.
_BUCKETS = {
    "s3": re.compile(
        r"(?!.*\.\.)(?:[A-Za-z0-9][A-Za-z0-9._-]{0,254}|arn:aws[a-z-]*:s3[a-z-]*:[a-z0-9-]*:[0-9]*:accesspoint(?::[A-Za-z0-9._-]+)?)\Z"
    ),
    "gs": re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9._-]{0,221}\Z"),
    "az": re.compile(r"(?:[a-z0-9](?:-?[a-z0-9]){0,62}|\$root|\$web)\Z"),
}
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}\Z")  # of Azure; it becomes part of a host's name
_SECRET = re.compile(r"[^/@]*:[^/@]*@")


_BUCKET_WORDS = {"s3": "bucket of S3", "gs": "bucket of Google Cloud Storage", "az": "container of Azure"}


class RemoteSpec(NamedTuple):
    """A remote store: `url` is ``lfs`` or a URL; `options` are ``endpoint``, ``account`` or ``remote`` (a Git remote's name).

    With `push` false nothing is ever uploaded to it.
    """

    name: str
    url: str
    options: Mapping[str, str] = {}
    push: bool = True

    @property
    def scheme(self) -> str:
        """``lfs``, ``s3``, ``gs``, ``az``, ``ssh`` or ``file``."""
        return self.url.partition(":")[0]

    @property
    def identity(self) -> str:
        """What tells it from others in what is remembered: another place is another remote, another name is not."""
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
    found = _URL.match(url)
    if found is None:
        return f"a remote is 'lfs' or a URL ({', '.join(f'{scheme}://' for scheme in SCHEMES)})"
    scheme, rest = found[1], found[2]
    if scheme not in SCHEMES:
        return f"{scheme}:// is no kind of remote; there are {', '.join(('lfs', *SCHEMES))}"
    if _SECRET.match(rest):
        return "credentials don't belong in gitml.yaml; they come from the environment or the usual tools"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in rest) or "?" in rest or "#" in rest:
        return "a remote's URL is a place only: no control characters, no '?', no '#'"
    if ".." in rest.split("/"):
        return "a remote's URL may not hold '..'"
    if scheme == "file":
        return (
            None if rest.startswith("/") and rest.strip("/") else "file:// needs a whole path, as in file:///srv/store"
        )
    host, _, path = rest.partition("/")
    if not host or host.startswith("-"):
        return f"{scheme}:// needs a {'host' if scheme == 'ssh' else 'bucket or container'}"
    if scheme == "ssh":
        found = _SSH.match(host)
        if found is None or (found[1] and not 0 < int(found[1]) < 65536):
            return "ssh:// needs a host as in user@host:22"
        return None if path.strip("/") else "ssh:// needs a folder, as in ssh://host/srv/store"
    return None if _BUCKETS[scheme].match(host) else f"{host[:60]!r} can be no {_BUCKET_WORDS[scheme]}"


def problem_with_option(name: str, value: str) -> str | None:
    """What is wrong with an option of a remote store, None when nothing is."""
    if name == "account":
        return (
            None
            if _ACCOUNT.match(value)
            else f"account must be one of Azure (3 to 24 small letters and digits), not {value[:60]!r}"
        )
    if name != "endpoint":
        return None if _NAME.match(value) else f"{name} must be a name, not {value[:60]!r}"
    found = _URL.match(value)
    if found is None or found[1] not in ("http", "https"):
        return "endpoint must be a URL (https://…)"
    if "@" in value:
        return "credentials don't belong in gitml.yaml"
    whole = _ENDPOINT.match(value)
    if whole is None or (whole[1] and not 0 < int(whole[1]) < 65536):
        return "endpoint must be a host with or without a port and a path (https://minio.example:9000)"
    return None


class NewerManifestError(ValueError):
    """A manifest that a newer gitml wrote: it is not damaged, and not to be written anew."""


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
