"""Checking a registry from its first record to its last: events, contents, order of the log, signatures."""

from __future__ import annotations

import os
from typing import NamedTuple

from gitml.errors import GitmlError
from gitml.git.command import Location, git
from gitml.git.objects.reader import Objects
from registry.content import check_content, read_checked
from registry.log.events import CONTENT, FOLDER, MODULES, PUBLISH, Event, content_path, event_from_bytes
from registry.log.journal import RegistryJournal, microseconds
from registry.log.share import diverged_remotes
from registry.state import ModuleState, apply

_DAY = 86_400_000_000


class Verification(NamedTuple):
    """How much was checked, what is wrong (lines; none when all is well), and the signature of every record, oldest first."""

    events: int
    versions: int
    problems: tuple[str, ...]
    records: tuple[RecordSignature, ...]


def verify(journal: RegistryJournal) -> Verification:
    """Reads everything again, from Git alone; the projection is not believed."""
    tip = journal.log.tip()
    if tip is None:
        return Verification(0, 0, (), ())
    problems: list[str] = []
    events = _events(journal, tip, problems)
    named: set[str] = set()
    states: dict[str, ModuleState] = {}
    for event in events:
        state = states.setdefault(event.module, ModuleState(event.module))
        if event.kind == PUBLISH and event.version is not None:
            path = content_path(event.module, event.version)
            if path in named:
                problems.append(f"{event.file}: {event.module} {event.version} was published before")
            named.add(path)
            _check_version(journal, tip, event, path, problems)
        apply(state, event)
        if microseconds(event.at) > microseconds(journal.now()) + _DAY:
            problems.append(f"{event.file}: its time lies in the future: a clock is wrong")
    problems += [f"{path}: no event names it" for path in _content_paths(journal, tip) if path not in named]
    records = _records(journal, tip)
    problems += _rewritten(journal, tip)
    problems += diverged_remotes(journal.location)
    return Verification(
        len(events), len(named), tuple(problems), tuple(signatures(journal.location, journal.objects, records))
    )


def _events(journal: RegistryJournal, tip: str, problems: list[str]) -> list[Event]:
    found = []
    for path, oid in journal.log.changes(None, tip, FOLDER).added:
        try:
            found.append(event_from_bytes(read_checked(journal.objects, oid, "blob"), path))
        except GitmlError as error:
            problems.append(f"{path}: {error.message}")
    return sorted(found, key=lambda event: (event.at, event.id))


def _check_version(journal: RegistryJournal, tip: str, event: Event, path: str, problems: list[str]) -> None:
    try:
        tree = journal.objects.resolve(f"{tip}:{path}")
        if tree is None:
            problems.append(f"{path}: the content is missing")
        elif tree != event.content[len(CONTENT) :]:
            problems.append(f"{path}: the content is not the one that was published")
        else:
            check_content(journal.objects, tree, path, whole=True)
    except GitmlError as error:
        problems.append(f"{error.where or path}: {error.message}")


def _content_paths(journal: RegistryJournal, tip: str) -> list[str]:
    """Every ``modules/…/@version`` there is."""
    root = journal.objects.resolve(f"{tip}:{MODULES}")
    found = []
    waiting = [(MODULES, root)] if root else []
    while waiting:
        folder, tree = waiting.pop()
        for name, entry in journal.objects.tree(tree).items():
            if name.startswith("@") or not entry.is_tree:
                found.append(f"{folder}/{name}")
            else:
                waiting.append((f"{folder}/{name}", entry.oid))
    return sorted(found)


def _records(journal: RegistryJournal, tip: str) -> list[str]:
    """The records of the log, oldest first, those of lines that were joined included; without its empty beginning."""
    found: dict[str, None] = {}
    waiting: list[tuple[str, ...]] = [(tip,)]
    while waiting:
        listed = git(journal.location, "log", "--format=%H %P%x00%s", "--first-parent", *waiting.pop())
        for line in listed.decode("utf-8", "replace").splitlines():
            ids, _, subject = line.partition("\0")
            commit, *parents = ids.split()
            if commit in found or not parents:
                continue
            found[commit] = None
            if subject == "join two lines" and len(parents) == 2:
                waiting.append((parents[1], f"^{parents[0]}"))
    return list(found)[::-1]


def _rewritten(journal: RegistryJournal, tip: str) -> list[str]:
    """Records that changed or removed what an earlier one held, which none may."""
    args = "log --first-parent --diff-merges=first-parent --diff-filter=ad --name-only -z --no-renames".split()
    said = git(journal.location, *args, "--format=%x01%H", tip, "--", FOLDER, MODULES)
    gone = git(journal.location, *args[:3], "--diff-filter=D", *args[4:], "--format=%x01%H", tip, "--", FOLDER, MODULES)
    problems = []
    for answer, what in ((said, "changed"), (gone, "removed")):
        for block in answer.decode("utf-8", "replace").split("\x01")[1:]:
            commit, *paths = [part.strip("\n") for part in block.split("\0")]
            problems += [f"{path}: {what} by the record {commit[:12]}" for path in paths if path]
    return problems


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
