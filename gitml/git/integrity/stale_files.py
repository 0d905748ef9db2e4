"""Temporary files that a killed git left among its objects; removed by the rule of ``git prune``: once older than its expiry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from gitml.errors import machine_error
from gitml.git.command import Location, git


class Removed(NamedTuple):
    """How many files, and their bytes."""

    files: int
    bytes: int


def remove_leftovers(location: Location, *, dry_run: bool = False) -> Removed:
    """Removes what is older than ``gc.pruneExpire`` (two weeks when it is not set)."""
    said = git(
        location, "config", "--type=expiry-date", "--default=2.weeks.ago", "--get", "gc.pruneExpire", check=False
    )
    expiry = int(said) if said.strip().isdigit() else 0
    files = size = 0
    for path in _temporaries(os.path.join(location.common_dir, "objects")):
        try:
            found = os.lstat(path)
            if found.st_mtime > expiry:
                continue
            if not dry_run:
                os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise machine_error(error, path, "can't remove it") from error
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
