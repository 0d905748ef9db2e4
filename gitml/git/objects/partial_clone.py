"""Partial clones: records that a plain ``git fetch`` brought without their blobs are completed in one request."""

from __future__ import annotations

import os
import subprocess

from gitml.git.command import DURABLE, Location, git, is_partial, popen
from gitml.git.errors import explain

_FETCH = ("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin")


def complete(location: Location, known: str | None, tip: str) -> None:
    """Brings what the tree of the record `tip` has beyond that of `known` and is not here. RemoteError when it can't be had.

    Git would bring each blob by itself when it is read. Costs a look at a folder where the clone is whole.
    """
    if not is_partial(location):
        return
    limits = [f"{tip}^{{tree}}"] + (["--not", f"{known}^{{tree}}"] if known else [])
    walked = git(location, "rev-list", "--objects", "--no-object-names", "--missing=print", *limits, check=False)
    missing = [line[1:] for line in walked.decode("ascii", "replace").splitlines() if line.startswith("?")]
    if not missing:
        return
    remote = _promisor(location)
    args = (*DURABLE, "-c", "fetch.negotiationAlgorithm=noop", "fetch", *_FETCH, "--end-of-options", remote)
    with popen(location, *args, stdout=subprocess.DEVNULL, terminal=False) as process:
        _, said = process.communicate("".join(f"{oid}\n" for oid in missing).encode())
    if process.returncode:
        raise explain(location, "fetch", remote, said.decode("utf-8", "replace"))


def _promisor(location: Location) -> str:
    """The remote that has what was left out."""
    said = git(location, "config", "--null", "--get-regexp", r"^remote\..*\.promisor$", check=False)
    for item in os.fsdecode(said).split("\0"):
        key, _, value = item.partition("\n")
        if value == "true":
            return key[len("remote.") : -len(".promisor")]
    return "origin"
