"""Who signed the records of a log, as Git tells it."""

from __future__ import annotations

import os
from typing import NamedTuple

from gitml.git.command import Location, git
from gitml.git.objects.reader import Objects

SIGNED, UNSIGNED, UNKNOWN, BAD = "signed", "unsigned", "unknown signer", "bad signature"
# What git says of a good signature by a known key, and of one that can't be checked. The rest (B, X, Y, R) is bad.
_MEANINGS = {"G": SIGNED, "U": UNKNOWN, "E": UNKNOWN, "N": UNKNOWN}
_WHY_BAD = {"X": "the signature has expired", "Y": "the key has expired", "R": "the key was revoked"}


class RecordSignature(NamedTuple):
    """`state` is one of the four above; `signer` is who, or which key; `detail` says more of a bad one."""

    commit: str
    state: str
    signer: str
    detail: str = ""


def signatures(location: Location, objects: Objects, commits: list[str]) -> list[RecordSignature]:
    """The signature of each commit, in order. Only signed ones are handed to the program that checks them."""
    carrying = set()
    for oid, data in objects.read_many(commits):
        if b"\ngpgsig" in data.partition(b"\n\n")[0]:
            carrying.add(oid)
    told: dict[str, tuple[str, str]] = {}
    if carrying:
        asked = "\n".join(commit for commit in commits if commit in carrying) + "\n"
        answer = git(
            location,
            "log",
            "--no-walk=unsorted",
            "--stdin",
            "-z",
            "--format=%H%x01%G?%x01%GS%x01%GK",
            input=asked.encode(),
        )
        for line in os.fsdecode(answer).split("\0"):
            if line:
                commit, verdict, name, key = line.split("\x01")
                told[commit] = (verdict, name or key)
    found = []
    for commit in commits:
        if commit not in carrying:
            found.append(RecordSignature(commit, UNSIGNED, ""))
            continue
        verdict, signer = told.get(commit, ("N", ""))
        state = _MEANINGS.get(verdict, BAD)
        detail = "" if state != BAD else _WHY_BAD.get(verdict, "the record is not what was signed")
        found.append(RecordSignature(commit, state, signer, detail))
    return found
