"""Where things lie in a remote store, relative to its URL.

``objects/ab/<62 hex>``  an object: a file, or a pack
``trees/ab/<62 hex>``    the manifest of a Tree
``gc.json``              the notes of gc
"""

from __future__ import annotations

from gitml.core.model.digest import Digest, from_hex, hex_of
from gitml.errors import IntegrityError

OBJECTS, TREES, NOTE = "objects", "trees", "gc.json"
NOTE_LARGEST = 24 << 20
"""Bytes of the notes of gc; of larger ones no more than that is read."""
CHUNK = 1 << 20


def key_of(folder: str, digest: Digest) -> str:
    """``objects/ab/cdef…``."""
    name = hex_of(digest)
    return f"{folder}/{name[:2]}/{name[2:]}"


def lfs_key_of(folder: str, digest: Digest) -> str:
    """Where Git LFS keeps an object: ``objects/ab/cd/abcdef…``."""
    name = hex_of(digest)
    return f"{folder}/{name[:2]}/{name[2:4]}/{name}"


def digest_in(key: str) -> tuple[str, Digest] | None:
    """(folder, Digest) of a key that `key_of` made, None for any other."""
    parts = key.split("/")
    if len(parts) != 3 or parts[0] not in (OBJECTS, TREES) or len(parts[1]) != 2:
        return None
    try:
        return parts[0], from_hex(parts[1] + parts[2])
    except ValueError:
        return None


def missing_object(digest: Digest, place: str) -> IntegrityError:
    """The error for an object that a remote does not have."""
    return IntegrityError(f"{digest[:19]}… is not there", where=place, hint="gitml fsck --remote NAME --repair")


def damaged_object(digest: Digest, found: str) -> IntegrityError:
    """The error for an object of this machine whose bytes are not what its name says."""
    return IntegrityError(f"{digest[:19]}… is damaged: its content is sha256:{found}", hint="gitml fsck --repair")
