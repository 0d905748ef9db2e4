"""Git's packs checked, repaired and joined, and the temporary files that a killed git left beside them removed.

A lost index is made again from its pack, and what is whole in a damaged pack is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from gitml.errors import Guard
from gitml.git.command import Location, git, popen
from gitml.git.integrity.durability import sync_objects, sync_path
from gitml.git.integrity.quarantine import move_aside

_CHUNK = 1 << 20
_HEAD = b"PACK\0\0\0\2"
_FRESH = 60.0  # seconds in which a pack may have no index yet: git writes that last
_DERIVED = (".idx", ".rev", ".bitmap")


class PackFault(NamedTuple):
    """A pack (`path` ends in ``.pack``) that is damaged itself, or (`whole`) whose index is."""

    path: str
    what: str
    whole: bool


def damaged_packs(location: Location, *, deep: bool) -> Iterator[PackFault]:
    """The packs of this repository that git can't read; with `deep` every byte of them is read."""
    folder = os.path.join(location.common_dir, "objects", "pack")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for name in sorted(os.listdir(folder)):
            if name.startswith("pack-") and name.endswith(".pack"):
                path = os.path.join(folder, name)
                fault = None
                with Guard(path, "can't read it"), contextlib.suppress(FileNotFoundError):
                    fault = _fault(path, location.object_format, deep)  # unless a git joined it with others meanwhile
                if fault is not None:
                    yield fault


def repair_pack(location: Location, fault: PackFault) -> str:
    """Moves what is damaged aside and makes it again: an index whole, of a pack the objects that can be read. What was done."""
    import shutil  # which loads what packs archives

    base = fault.path.removesuffix(".pack")
    for ending in _DERIVED:
        move_aside(location, base + ending, os.path.basename(base + ending))
    if fault.whole:
        git(location, "index-pack", fault.path)
        sync_path(base + ".idx")
        sync_path(os.path.dirname(base))
        return "its index was made again"
    aside = move_aside(location, fault.path, os.path.basename(fault.path))
    assert aside is not None
    with open(aside, "rb") as pack, popen(location, "unpack-objects", "-r", "-q") as process:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(_HEAD)  # every pack begins so, and only the objects behind it are wanted
            pack.seek(len(_HEAD))
            shutil.copyfileobj(pack, process.stdin, _CHUNK)
        process.communicate()
    sync_objects(location)
    return "moved aside; its objects that are whole were kept"


def _fault(path: str, object_format: str, deep: bool) -> PackFault | None:
    new = hashlib.sha256 if object_format == "sha256" else hashlib.sha1
    length = new().digest_size
    with open(path, "rb") as pack:
        size = os.fstat(pack.fileno()).st_size
        if size < 12 + length or pack.read(4) != b"PACK":
            return PackFault(path, "it is no pack of Git's", False)
        end = os.pread(pack.fileno(), length, size - length)
        if deep:
            pack.seek(0)
            if _hash_of(pack, size - length, new()) != end:
                return PackFault(path, "its bytes are not those that its checksum says", False)
        written = os.fstat(pack.fileno()).st_mtime
    try:
        with open(path.removesuffix(".pack") + ".idx", "rb") as index:
            size = os.fstat(index.fileno()).st_size
            if size < 1032 + 2 * length:
                return PackFault(path, "its index is cut", True)
            if _hash_of(index, size - length, new()) != os.pread(index.fileno(), length, size - length):
                return PackFault(path, "its index is damaged", True)
            if os.pread(index.fileno(), length, size - 2 * length) != end:
                return PackFault(
                    path, "its index is of another pack, or its end is damaged", deep
                )  # then the pack is known to be whole
    except FileNotFoundError:
        return PackFault(path, "it has no index", True) if time.time() - written > _FRESH else None
    return None


def _hash_of(file: BinaryIO, count: int, digest: hashlib._Hash) -> bytes:
    left = count
    while left > 0 and (part := file.read(min(_CHUNK, left))):
        digest.update(part)
        left -= len(part)
    return digest.digest()


MOST_PACKS = 30
_started: list[subprocess.Popen[bytes]] = []


def repack(location: Location) -> bool:
    """Starts joining small packs in the background when there are many; whether it did. Safe beside any other git.

    Packs in a geometric row: the large ones are left alone, and objects nobody refers to stay.
    """
    folder = os.path.join(location.common_dir, "objects", "pack")
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    if sum(name.endswith(".pack") for name in names) <= MOST_PACKS or any(name.endswith(".promisor") for name in names):
        return False
    args = ("repack", "--geometric=2", "-d", "--quiet", "--no-write-bitmap-index")
    nowhere = subprocess.DEVNULL
    # Kept, so that what has ended by the next call is reaped; nobody waits for it.
    _started[:] = [process for process in _started if process.poll() is None]
    if not _started:
        _started.append(popen(location, *args, stdin=nowhere, stdout=nowhere, stderr=nowhere))
    return True


class Removed(NamedTuple):
    """How many files, and their bytes."""

    files: int
    bytes: int


def remove_stale_files(location: Location, *, dry_run: bool = False) -> Removed:
    """Removes what is older than ``gc.pruneExpire`` (two weeks when it is not set)."""
    said = git(
        location, "config", "--type=expiry-date", "--default=2.weeks.ago", "--get", "gc.pruneExpire", check=False
    )
    expiry = int(said) if said.strip().isdigit() else 0
    files = size = 0
    for path in _temporaries(os.path.join(location.common_dir, "objects")):
        with Guard(path, "can't remove it"), contextlib.suppress(FileNotFoundError):
            found = os.lstat(path)
            if found.st_mtime > expiry:
                continue
            if not dry_run:
                os.unlink(path)
            files += 1
            size += found.st_size
    return Removed(files, size)


def _temporaries(objects: str) -> Iterator[str]:
    for folder in ("", "pack", *[f"{number:02x}" for number in range(256)]):
        place = os.path.join(objects, folder)
        try:
            with os.scandir(place) as found:
                names = [
                    entry.path
                    for entry in found
                    if entry.name.startswith("tmp_") and entry.is_file(follow_symlinks=False)
                ]
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield from names
