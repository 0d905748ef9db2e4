"""Blobs of Git on their way to a sandbox: remembered when small, and Git LFS pointers followed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from gitml.core.model.digest import Digest, parse_digest
from gitml.errors import InputError
from gitml.files import write_all

KEPT_EACH = 2**18
KEPT_ALL = 2**24
_LFS_VERSION = b"version https://git-lfs.github.com/spec/v1\n"
_LFS_LARGEST = 1024


class BlobMemory:
    """Small blobs read lately: steps of one pipeline share their code."""

    def __init__(self) -> None:
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def get(self, oid: str) -> bytes | None:
        """The blob, None when it is not remembered."""
        return self._blobs.get(oid)

    def put(self, oid: str, content: bytes) -> None:
        """Remembers a blob unless it is large; the oldest make room."""
        if len(content) > KEPT_EACH or oid in self._blobs:
            return
        self._blobs[oid] = content
        self._size += len(content)
        while self._size > KEPT_ALL:
            self._size -= len(self._blobs.popitem(last=False)[1])


def is_pointer(content: bytes) -> bool:
    """Whether `content` is a Git LFS pointer."""
    return len(content) <= _LFS_LARGEST and content.startswith(_LFS_VERSION)


def pointed_at(pointer: bytes, path: str) -> tuple[Digest, int]:
    """The Digest and size of what a pointer stands for; InputError when it does not say."""
    sha256, size = "", -1
    for line in pointer.splitlines():
        if line.startswith(b"oid sha256:"):
            sha256 = line[11:].decode("ascii", "replace")
        elif line.startswith(b"size ") and line[5:].isdigit():
            size = int(line[5:])
    try:
        return parse_digest("sha256:" + sha256), size
    except ValueError as error:
        raise InputError("a Git LFS pointer that names no sha256", where=path) from error


def copy_hashed(source: str, fd: int) -> str:
    """Copies the file `source` to a descriptor; the sha256 in hex of what was copied."""
    hasher = hashlib.sha256()
    with open(source, "rb", buffering=0) as file:
        while chunk := file.read(2**20):
            hasher.update(chunk)
            write_all(fd, chunk)
    return hasher.hexdigest()
