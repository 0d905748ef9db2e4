"""Refs of gitml that were damaged, deleted or set to something else: restored from what is known, and nothing recorded is lost.

A power cut leaves an empty file, a mirror push from elsewhere deletes what it does not know. The commits are among Git's objects
all the same: only the ref is made again. What lay in its place is moved into ``gitml/quarantine/``.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from gitml import layout
from gitml.errors import IntegrityError, machine_error
from gitml.git.command import Location, git
from gitml.git.integrity.durability import move_refs, sync_path
from gitml.git.integrity.quarantine import copy_aside, move_aside
from gitml.git.log.remote_refs import folder_of_remote, packed_refs, tip_of
from gitml.git.objects.reader import Objects

_ROOT = (b"gitml <gitml@localhost>", b"gitml log\n")  # who committed what every log begins with, and its message


class RecoveredRef(NamedTuple):
    """A ref that was restored: the record it ends at now, and in words what was wrong. None for one that was taken away."""

    ref: str
    tip: str | None
    wrong: str

    def words(self) -> str:
        """What was done, for people."""
        done = (
            f"was restored to {self.tip[:12]}" if self.tip else "was taken away, for the next fetch to write it again"
        )
        return f"{self.ref} {done}: {self.wrong}"


def recover_ref(
    location: Location,
    objects: Objects,
    ref: str,
    known: str | None,
    folder: str,
    lock: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> RecoveredRef | None:
    """Restores the log in `ref` when it is not sound; None when it is, or when there is none and never was one.

    `known` is the record that it ended at when it was last looked at, None when nobody remembers; then the newest record among
    Git's objects counts. The files of its records lie in `folder`. `lock` keeps other writers waiting meanwhile. IntegrityError
    where the record may be in a pack that can't be read.
    """
    if _problem(location, objects, ref, known, folder) is None:
        return None
    with lock():
        wrong = _problem(location, objects, ref, known, folder)
        if wrong is None:
            return None  # another process was first
        if known is not None and _is_record(objects, known, folder):
            tip: str | None = known
        else:
            _check_packs(location, ref, wrong)
            tip = newest_record(location, objects, folder)
        if tip is None and (wrong == _GONE or tip_of(location, ref) is not None):
            return None  # nothing is left to restore; a commit that is named and missing may come back
        repair_packed_refs(location)
        _clear(location, ref)
        if tip is not None:
            move_refs(location, {ref: tip})
        return RecoveredRef(ref, tip, wrong)


def _check_packs(location: Location, ref: str, wrong: str) -> None:
    """IntegrityError while a pack can't be read: the record that `ref` should name may be in it."""
    from gitml.git.integrity.packs import damaged_packs

    fault = next(damaged_packs(location, deep=False), None)
    if fault is not None:
        raise IntegrityError(
            f"{ref} can't be read: {wrong}, and a pack of Git is damaged: {fault.what}",
            where=fault.path,
            hint="gitml fsck --repair",
        )


def is_gone(location: Location, objects: Objects, ref: str) -> bool:
    """Whether nothing lies in a ref's place, and nothing that is packed has its name."""
    lies = os.path.lexists(os.path.join(location.common_dir, ref))
    return not lies and not names_ref(location, ref) and tip_of(location, ref) is None


def recover_tracking_refs(location: Location, objects: Objects, remote: str) -> list[RecoveredRef]:
    """Deletes the tracking refs of a remote that are damaged: the next fetch sets them again."""
    found = []
    for ref in _refs_below(location, f"{layout.REMOTES_REF}/{folder_of_remote(remote)}"):
        oid = tip_of(location, ref)
        header = objects.header(oid) if oid else None
        if header is None or header.kind != "commit":
            repair_packed_refs(location)
            _clear(location, ref)
            git(location, "update-ref", "--no-deref", "-d", ref, check=False)
            found.append(RecoveredRef(ref, None, "it names no commit that is here"))
    return found


def broken_refs(location: Location, objects: Objects, below: str) -> list[str]:
    """The refs in a folder of refs, in files of their own or in ``packed-refs``, that name no object that is here."""
    tips = {ref: tip_of(location, ref) for ref in _refs_below(location, below)}
    return [ref for ref, oid in tips.items() if oid is None or objects.header(oid) is None]


def _refs_below(location: Location, folder: str) -> list[str]:
    """The names in a folder of refs, in files of their own or in ``packed-refs``, in order."""
    names = set(packed_refs(location, f"{folder}/") or {})
    for place, _, files in os.walk(os.path.join(location.common_dir, folder)):
        names |= {os.path.relpath(os.path.join(place, name), location.common_dir) for name in files}
    return sorted(name for name in names if not name.endswith(".lock"))


def restore_ref(location: Location, objects: Objects, ref: str, oid: str | None) -> None:
    """Moves what lies in a ref's place into the quarantine and sets the ref to `oid`, if that is here; else it is taken away."""
    _clear(location, ref)
    if oid is not None and objects.header(oid) is not None:
        move_refs(location, {ref: oid})
    elif ref in (packed_refs(location, ref) or {}):
        git(location, "update-ref", "--no-deref", "-d", ref)


_GONE = "it was deleted"


def _problem(location: Location, objects: Objects, ref: str, known: str | None, folder: str) -> str | None:
    """What is wrong with a ref of records; None when nothing is, or there is none."""
    oid = tip_of(location, ref)
    if oid is None:
        path = os.path.join(location.common_dir, ref)
        if os.path.lexists(path) or names_ref(location, ref):
            return "it holds no object id"
        return None if known is None else _GONE
    header = objects.header(oid)
    if header is None:
        return f"its commit {oid[:12]} is not here"
    if header.kind != "commit":
        return f"it names a {header.kind}"
    if known is not None and not _is_record(objects, oid, folder):
        return f"its commit {oid[:12]} is no record"
    return None


def _is_record(objects: Objects, oid: str, folder: str) -> bool:
    header = objects.header(oid)
    return header is not None and header.kind == "commit" and objects.header(f"{oid}:{folder}") is not None


def newest_record(location: Location, objects: Objects, folder: str) -> str | None:
    """The newest commit among Git's objects that is a record of the log whose files lie in `folder`, reachable or not."""
    from dulwich.errors import ObjectFormatException
    from dulwich.objects import Commit

    listed = git(location, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)")
    commits = [line[7:].decode() for line in listed.splitlines() if line.startswith(b"commit ")]
    children: dict[str, list[str]] = {}
    times: dict[str, int] = {}
    roots: list[str] = []
    for oid, content in objects.read_those_here(commits):
        if content is None:
            continue
        try:
            commit = Commit.from_string(content)
            parents, committer, message, time = commit.parents, commit.committer, commit.message, commit.commit_time
        except (ObjectFormatException, ValueError):
            continue
        if parents:
            times[oid] = time
            children.setdefault(parents[0].decode("ascii"), []).append(oid)
        elif (committer, message) == _ROOT:
            roots.append(oid)
    records: set[str] = set()
    todo = roots
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in records:
                records.add(child)
                todo.append(child)
    # The newest that no other follows: of records of one second the last one.
    ends = [oid for oid in records if not records.intersection(children.get(oid, ()))]
    for oid in sorted(ends, key=lambda oid: times.get(oid, 0), reverse=True):
        if _is_record(objects, oid, folder):
            return oid
    return None


def _clear(location: Location, ref: str) -> None:
    """Moves whatever lies in a ref's place into the quarantine: Git can't move a ref that it can't read."""
    path = os.path.join(location.common_dir, ref)
    if os.path.lexists(path):
        move_aside(location, path, ref.replace("/", "-"))


_ENTRY = re.compile(rb"(?:[0-9a-f]{40}|[0-9a-f]{64}) (refs/[^\x00-\x20\x7f]+)\n")
_PEELED = re.compile(rb"\^(?:[0-9a-f]{40}|[0-9a-f]{64})\n")
_BEGIN = b"# pack-refs with:"
_HEADER = _BEGIN + b" peeled fully-peeled sorted \n"


def names_ref(location: Location, ref: str) -> bool:
    """Whether some line, damaged or not, has the name of `ref`."""
    return ref.encode() in _content(location)


def packed_refs_damaged(location: Location) -> bool:
    """Whether the file has a line that Git can't take, or that is cut or out of order."""
    content = _content(location)
    return bool(content) and _sound(content) != content


def repair_packed_refs(location: Location) -> bool:
    """Writes a damaged file again with the lines that are whole; whether it was damaged. A copy of it goes to the quarantine."""
    from dulwich.file import FileLocked, GitFile

    content = _content(location)
    if not content or (sound := _sound(content)) == content:
        return False
    path = _path(location)
    copy_aside(location, path, "packed-refs")
    try:
        with GitFile(path, "wb", mask=0o666) as file:  # by Git's protocol: packed-refs.lock, synced and renamed
            file.write(sound)
    except FileLocked as error:
        raise machine_error(FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)), path) from error
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
