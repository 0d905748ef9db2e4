"""Git objects that are missing here, fetched again from the Git remotes that have them.

A plain ``git fetch`` does not bring them: the refs say that they are here, and its own check of what the refs need fails. So they
are fetched into an empty repository apart, with the settings of this one, and its packs are indexed here.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable

from gitml.git.command import DURABLE, Location, git, git_status, popen
from gitml.git.integrity.durability import sync_objects
from gitml.git.integrity.object_check import is_here
from gitml.git.log.remote_refs import configured

_FETCH = (
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-gc",
    "--recurse-submodules=no",
    "--refmap=",
    "--no-filter",
    "--stdin",
)
_UNKNOWN = re.compile(rb"not our ref ([0-9a-f]{40,64})")
_TRIES = 100  # each leaves out one object that the remote does not have


def refetch(location: Location, wanted: Iterable[str]) -> set[str]:
    """Fetches these objects, and all that they name, from the remotes of the repository; gives those that are here now.

    A remote that can't be reached has nothing.
    """
    left = set(wanted)
    found: set[str] = set()
    for remote in configured(location) if left else ():
        _from_remote(location, remote, left)
        here = {oid for oid in left if is_here(location, oid)}
        found |= here
        left -= here
        if not left:
            break
    if found:
        sync_objects(location)
    return found


def _from_remote(location: Location, remote: str, wanted: Iterable[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="gitml-refetch-") as folder:
        apart = location._replace(git_dir=folder, common_dir=folder, explicit=True, scratch="")
        git(location, "init", "--quiet", "--bare", f"--object-format={location.object_format}", folder)
        settings = ("-c", f"include.path={location.common_dir}/config", "-c", "fetch.unpackLimit=1")
        asked = set(wanted)
        for _ in range(_TRIES):
            lines = "".join(f"{oid}\n" for oid in sorted(asked)).encode()
            given = (*settings, "fetch", *_FETCH, "--end-of-options", remote)
            _, said, code = git_status(apart, *given, input=lines)
            unknown = {oid.decode() for oid in _UNKNOWN.findall(said)} & asked
            asked -= unknown
            if code == 0 or not unknown or not asked:
                break
        packs = os.path.join(folder, "objects", "pack")
        for name in sorted(os.listdir(packs)):
            if name.endswith(".pack"):
                _index_pack(location, os.path.join(packs, name))


def _index_pack(location: Location, path: str) -> None:
    """Makes a pack from elsewhere one of this repository, every object of it hashed."""
    with open(path, "rb") as pack, popen(location, *DURABLE, "index-pack", "--stdin", stdin=pack.fileno()) as process:
        process.communicate()
