"""Git's file ``packed-refs`` checked and mended: one line that is none keeps Git from reading, or moving, any ref."""

from __future__ import annotations

import os
import re

from gitml.errors import machine_error
from gitml.git.command import Location
from gitml.git.integrity.durability import sync_path
from gitml.git.integrity.quarantine import copy_aside

_ENTRY = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64}) (refs/[^\x00-\x20\x7f]+)\n")
_PEELED = re.compile(rb"\^(?:[0-9a-f]{40}|[0-9a-f]{64})\n")
_BEGIN = b"# pack-refs with:"
_HEADER = _BEGIN + b" peeled fully-peeled sorted \n"


def names_ref(location: Location, ref: str) -> bool:
    """Whether some line, damaged or not, has the name of `ref`."""
    return ref.encode() in _content(location)


def is_damaged(location: Location) -> bool:
    """Whether the file has a line that Git can't take, or that is cut or out of order."""
    content = _content(location)
    return bool(content) and _sound(content) != content


def mend(location: Location) -> bool:
    """Writes a damaged file anew with the lines that are whole; whether it was damaged. A copy of it goes to the quarantine."""
    content = _content(location)
    if not content or (sound := _sound(content)) == content:
        return False
    path = _path(location)
    copy_aside(location, path, "packed-refs")
    lock = f"{path}.lock"
    try:
        descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with open(descriptor, "wb") as file:
            file.write(sound)
            file.flush()
            os.fsync(file.fileno())
        os.rename(lock, path)
    except OSError as error:
        raise machine_error(error, path) from error
    sync_path(location.common_dir)
    return True


def _sound(content: bytes) -> bytes:
    """`content` itself when all of it is as Git writes it, else what is whole of it, in order."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    is_whole = content.endswith(b"\n")
    entries: list[tuple[bytes, bytes]] = []
    is_open = False
    for number, line in enumerate(lines[:-1]):
        entry = _ENTRY.fullmatch(line)
        if entry:
            entries.append((entry[1], line))
        elif is_open and _PEELED.fullmatch(line):
            entries[-1] = (entries[-1][0], entries[-1][1] + line)
        elif number or not line.startswith(_BEGIN):
            is_whole = False
        is_open = entry is not None
    if is_whole and (entries == sorted(entries) or b" sorted" not in lines[0]):
        return content
    return _HEADER + b"".join(line for _, line in sorted(entries))


def _content(location: Location) -> bytes:
    try:
        with open(_path(location), "rb") as file:
            return file.read()
    except OSError:
        return b""


def _path(location: Location) -> str:
    return os.path.join(location.common_dir, "packed-refs")
