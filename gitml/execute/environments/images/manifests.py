"""Manifests and indexes of images, of OCI and of Docker: which manifest is this platform's, and what it is made of.

They come from registries, so nothing in them is believed: each is what its digest says, of a limited size, and of the form that
the specification gives (OCI image-spec 1.1, `manifest.md`, `image-index.md`, `config.md`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitml.errors import InputError, IntegrityError

LARGEST = 4 * 2**20
"""Bytes of a manifest or an index: what registries themselves take at most."""
_MOST_LAYERS = 512
_MOST_VARIABLES = 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VARIABLE = re.compile(r"[^=\0]+=[^\0]*")
_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "arm64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
}
_IMPLIED = {"arm64": "v8", "arm": "v7"}  # the variant of an architecture that names none
_COMPRESSIONS = {"": "", "gzip": "gzip", "zstd": "zstd"}


class Layer(NamedTuple):
    """A layer as the registry has it: `compression` is empty, ``gzip`` or ``zstd``."""

    digest: str
    size: int
    compression: str


class ImageManifest(NamedTuple):
    """What an image for one platform is made of; the first layer is the lowest."""

    config: str
    config_size: int
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """Bytes to be fetched for all of it."""
        return self.config_size + sum(layer.size for layer in {layer.digest: layer for layer in self.layers}.values())


class ImageConfig(NamedTuple):
    """What an image says of itself: variables for its programs, and the digests of its layers when uncompressed."""

    env: tuple[tuple[str, str], ...]
    diff_ids: tuple[str, ...]


def platform_of(machine: str | None = None) -> tuple[str, str]:
    """Architecture and variant of this machine, or of one with that ``uname -m``, in the words of images."""
    machine = machine or os.uname().machine
    return _MACHINES.get(machine, (machine, ""))


def digest_of_bytes(content: bytes) -> str:
    """The digest by which registries know `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def manifest_for(content: bytes, digest: str, name: str, platform: tuple[str, str]) -> str:
    """The digest of the manifest for `platform`, where `content` is an index or such a manifest itself, with its `digest`.

    InputError where the index `name` has none for it, IntegrityError for bytes that are neither.
    """
    raw = decode(content, digest, name)
    if "manifests" not in raw:
        _manifest(raw, name)
        return digest
    found: list[tuple[int, str]] = []
    others: list[str] = []
    for one in _list(raw, "manifests", name):
        asked = one.get("platform") if isinstance(one, dict) else None
        if not isinstance(asked, dict) or asked.get("os") != "linux":
            continue
        architecture, variant = asked.get("architecture"), asked.get("variant") or ""
        rank = _rank((str(architecture), str(variant)), platform)
        if rank is None:
            others.append("/".join(filter(None, (str(architecture), str(variant))))[:40])
        else:
            found.append((rank, _digest(one, name)))
    if not found:
        wanted = "/".join(filter(None, platform))
        known = ", ".join(sorted(set(others))[:8]) or "no platform of Linux"
        hint = f"name an image that is built for linux/{wanted}, or run the step on another machine"
        raise InputError(f"image {name} is not built for linux/{wanted}, only for: {known}", hint=hint)
    return min(found, key=lambda one: one[0])[1]


def decode_manifest(content: bytes, digest: str, name: str) -> ImageManifest:
    """The ImageManifest in `content`; IntegrityError when it is none with that digest."""
    return _manifest(decode(content, digest, name), name)


def decode_config(content: bytes, manifest: ImageManifest, name: str) -> ImageConfig:
    """The ImageConfig in `content` that belongs to `manifest`; IntegrityError when it is none."""
    raw = decode(content, manifest.config, name)
    own = raw.get("config") or {}
    rootfs = raw.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    env = own.get("Env") if isinstance(own, dict) else None
    if not isinstance(diff_ids, list) or not all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in diff_ids):
        raise _broken(name, "its configuration names no layers")
    if len(diff_ids) != len(manifest.layers):
        raise _broken(name, "its configuration has other layers than its manifest")
    texts = [one for one in env[:_MOST_VARIABLES] if isinstance(one, str)] if isinstance(env, list) else []
    # one without a value is what engines pass over, too
    pairs = dict([one.split("=", 1) for one in texts if _VARIABLE.fullmatch(one)])
    return ImageConfig(tuple(pairs.items()), tuple(diff_ids))


def decode(content: bytes, digest: str, name: str) -> Mapping[str, Any]:
    """The JSON object in `content`; IntegrityError when it has another digest or is none."""
    if len(content) > LARGEST:
        raise _broken(name, f"its manifest is larger than {LARGEST // 2**20} MiB")
    if digest_of_bytes(content) != digest:
        raise _broken(name, f"other bytes arrived than {digest[:19]}…")
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise _broken(name, "its manifest is not JSON")
    return raw


def _manifest(raw: Mapping[str, Any], name: str) -> ImageManifest:
    if raw.get("schemaVersion") != 2 or not isinstance(raw.get("config"), dict):
        hint = "push it again with a tool of today: manifests of Docker's first schema are no longer supported"
        raise InputError(f"image {name} has a manifest of an unsupported version", hint=hint)
    layers = tuple([_layer(one, name) for one in _list(raw, "layers", name)])
    if len(layers) > _MOST_LAYERS:
        raise _broken(name, f"it has more than {_MOST_LAYERS} layers")
    return ImageManifest(_digest(raw["config"], name), _size(raw["config"], name), layers)


def _layer(raw: Any, name: str) -> Layer:
    kind = raw.get("mediaType") if isinstance(raw, dict) else None
    if not isinstance(kind, str):
        raise _broken(name, "a layer has no media type")
    if "foreign" in kind or "nondistributable" in kind or raw.get("urls"):
        hint = "build it from a base that its registry has whole"
        raise InputError(f"image {name} has a layer that its registry does not hold", hint=hint)
    if kind == "application/vnd.docker.image.rootfs.diff.tar.gzip":
        compression: str | None = "gzip"
    else:
        kind_of_archive, _, ending = kind.partition("+")
        is_layer = kind_of_archive.endswith((".layer.v1.tar", ".rootfs.diff.tar"))
        compression = _COMPRESSIONS.get(ending.removeprefix(".")) if is_layer else None
    if compression is None:
        hint = "an artifact is no image; an encrypted layer can't be read"
        raise InputError(f"image {name} has a layer of an unknown kind: {kind[:80]!r}", hint=hint)
    return Layer(_digest(raw, name), _size(raw, name), compression)


def _rank(offered: tuple[str, str], wanted: tuple[str, str]) -> int | None:
    """How well a manifest fits, 0 is best; None where its programs do not run here."""
    architecture, variant = offered
    if architecture != wanted[0]:
        return None
    variant, best = (one or _IMPLIED.get(architecture, "") for one in (variant, wanted[1]))
    if variant == best:
        return 0
    if architecture == "arm" and variant < best:  # an older ARM's programs run on a newer one
        return int(best[1:2] or 0) - int(variant[1:2] or 0) if variant[1:2].isdigit() else None
    return None


def _list(raw: Mapping[str, Any], part: str, name: str) -> Sequence[Any]:
    found = raw.get(part)
    if not isinstance(found, list):
        raise _broken(name, f"its manifest has no {part}")
    return found


def _digest(raw: Any, name: str) -> str:
    found = raw.get("digest") if isinstance(raw, dict) else None
    if not isinstance(found, str) or _DIGEST.fullmatch(found) is None:
        raise _broken(name, "its manifest names a part by what is no sha256 digest")
    return found


def _size(raw: Mapping[str, Any], name: str) -> int:
    found = raw.get("size")
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 2**50:
        raise _broken(name, "its manifest names a part of no size")
    return found


def _broken(name: str, why: str) -> IntegrityError:
    return IntegrityError(f"image {name} can't be used: {why}", hint="fetch it again, or have it pushed again")
