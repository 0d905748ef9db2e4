"""Damage to the files of a repository, by chance but repeatably: what disks, cuts and people do to them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple


class Damage(NamedTuple):
    """What was done to which file, as words."""

    area: str
    how: str
    path: str

    def __str__(self) -> str:
        return f"{self.area}: {self.how} of {self.path}"


def _flip(chance: random.Random, content: bytes) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]


def _cut(chance: random.Random, content: bytes) -> bytes:
    return content[: chance.randrange(len(content))]


def _blank(chance: random.Random, content: bytes) -> bytes:
    at = chance.randrange(len(content))
    return (content[:at] + bytes(4096))[: len(content)] + content[at + 4096 :]


def _empty(chance: random.Random, content: bytes) -> bytes:
    return b""


def _noise(chance: random.Random, content: bytes) -> bytes:
    return chance.randbytes(len(content))


HOWS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "a flipped bit": _flip,
    "a cut": _cut,
    "a page of zeros": _blank,
    "an empty file": _empty,
    "noise": _noise,
}


def damage(git: Path, area: str, chance: random.Random) -> Damage | None:
    """Damages one file of an area of the Git folder `git`, its times kept in half of the cases; None when it has none."""
    files = _files(git, area)
    if not files:
        return None
    path = chance.choice(files)
    how = chance.choice([*HOWS, "a flipped bit", "a flipped bit", "loss"])
    shown = str(path.relative_to(git))
    before = path.stat()
    if how == "loss":
        path.unlink()
        return Damage(area, how, shown)
    content = HOWS[how](chance, path.read_bytes())
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(before.st_mode & 0o777)
    if chance.random() < 0.5:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        how += ", times kept"
    return Damage(area, how, shown)


def _files(git: Path, area: str) -> list[Path]:
    """The files of an area that hold something, in a fixed order."""
    found: Iterable[Path]
    if area == "store":
        found = (git / "gitml/objects").rglob("*")
    elif area == "index":
        found = (git / "gitml").glob("index.db*")
    elif area == "refs":
        found = [*(git / "refs/gitml").rglob("*"), git / "packed-refs"]
    else:
        found = (git / "objects").rglob("*")
    return sorted(path for path in found if path.is_file() and path.stat().st_size)
