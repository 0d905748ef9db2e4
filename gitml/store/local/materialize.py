"""Materializing: objects placed at a path by reflink, hard link or copy, and whether a step changed what it was given.

A hard link is the object itself, so a careless step can write to it. The store then sees the object's time changed, or,
when the step put the time back, its change time, which nothing can set. Linking changes that one too, which is why it is
noted after each link and a difference means only that a hash must decide. What a killed process had placed differs from what is
noted of it, and is hashed before it is placed again.
"""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager

from gitml.core.model.digest import Digest
from gitml.core.model.paths import is_git_name
from gitml.errors import Guard, InputError, IntegrityError, MachineError
from gitml.files import opened, write_all
from gitml.platform.current import platform
from gitml.store.local import disk
from gitml.store.local.ingest import is_safe_link
from gitml.store.local.object_folder import MAX_DEPTH, MOST_NAMES, LinkedObject, ObjectFolder

_LINK_REFUSED = (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


def materialize_file(store: ObjectFolder, digest: Digest, path: str, executable: bool) -> None:
    """Puts a verified Blob at `path`, where nothing may be. An executable is a copy: links would share its mode."""
    small, found = store.verified(digest)
    with Guard(path):
        if executable:
            _copy(store, digest, path, small, 0o555)
        elif not (store.clones is not False and _clone(store, digest, path)) and not _link(store, digest, path, found):
            _copy(store, digest, path, small, disk.OBJECT_MODE)


def materialize_tree(store: ObjectFolder, digest: Digest, path: str) -> None:
    """Puts a Tree at `path`, a new directory that may be written to."""
    if not store.is_within_limits(digest):
        raise IntegrityError(
            f"a tree more than {MAX_DEPTH} folders deep, or of more than {MOST_NAMES:,} files and folders",
            where=digest,
            hint="it was not made by gitml",
        )
    _place(store, digest, path, "")


def _place(store: ObjectFolder, digest: Digest, path: str, inside: str) -> None:
    entries = store.listing(digest)
    with Guard(path):
        os.mkdir(path, 0o755)
    for entry in entries:
        name = os.fsdecode(entry.name)
        target = f"{path}/{name}"
        if is_git_name(name):
            raise InputError(
                "a directory that holds a Git repository is not placed",
                where=f"{inside}/{name}" if inside else name,
                hint="let the step that makes it leave .git out, and run it again with --force",
            )
        if entry.kind == "d":
            _place(store, entry.digest, target, f"{inside}/{name}" if inside else name)
        elif entry.kind == "l":
            leads_to = os.fsdecode(store.read(entry.digest))
            if not is_safe_link(inside, leads_to):
                raise IntegrityError(
                    f"a tree with a link that leads out of it, to {leads_to!r}",
                    where=target,
                    hint="it was not made by gitml",
                )
            with Guard(target):
                os.symlink(leads_to, target)
        else:
            materialize_file(store, entry.digest, target, entry.kind == "x")


def verify_materialized(store: ObjectFolder, digest: Digest, tree: bool) -> list[Digest]:
    """The linked objects found changed; they are quarantined."""
    bad = []
    for blob in _blobs(store, digest, tree):
        path = store.path_of(blob)
        noted = store.linked.get(blob)
        with Guard(path):
            try:
                found = os.lstat(path)
            except FileNotFoundError:  # found bad, and moved aside, by someone else
                bad.append(blob)
                continue
            if not (disk.is_untouched(found) and (noted is None or noted.changed == found.st_ctime_ns)):
                if not store.verify(blob):
                    bad.append(blob)
                    continue
                if noted is not None:
                    noted.changed = os.lstat(path).st_ctime_ns
            if noted is not None:
                noted.unchanged = True
    return bad


def release_materialized(store: ObjectFolder, digest: Digest, tree: bool) -> None:
    """Notes the change times that the removal of placed links left, unless somebody may have written since."""
    for blob in _blobs(store, digest, tree):
        noted = store.linked.get(blob)
        if noted is None:
            continue
        noted.count -= 1
        path = store.path_of(blob)
        if noted.count <= 0:
            del store.linked[blob]
        with Guard(path):
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                store.linked.pop(blob, None)
                continue
        noted.changed = found.st_ctime_ns
        # one more name than before is in another sandbox, or where a step put it: whoever has it may write
        if noted.count <= 0 and noted.unchanged and found.st_nlink <= noted.names and found.st_size > disk.SMALL:
            store.stats.note(blob, found)


def _blobs(store: ObjectFolder, digest: Digest, tree: bool) -> dict[Digest, None]:
    """The Blobs that `digest` places: itself, or every plain file below a Tree, each once."""
    if not tree:
        return {digest: None}
    blobs: dict[Digest, None] = {}
    seen: set[Digest] = set()
    waiting = [digest]
    while waiting:
        listing = waiting.pop()
        if listing in seen:
            continue
        seen.add(listing)
        for entry in store.listing(listing):
            if entry.kind == "d":
                waiting.append(entry.digest)
            elif entry.kind == "f":
                blobs[entry.digest] = None
    return blobs


def _link(store: ObjectFolder, digest: Digest, path: str, found: os.stat_result) -> bool:
    """Hard-links the object; False where that can't be."""
    source = store.path_of(digest)
    while True:
        try:
            os.link(source, path, follow_symlinks=False)
            break
        except FileExistsError:
            raise _occupied(path) from None
        except FileNotFoundError:
            # Linux also says so of an object that another process renames the same content over meanwhile.
            if not os.path.lexists(os.path.dirname(path) or "."):
                raise
            if not os.path.lexists(source):
                raise store.missing(digest, "it was moved aside while it was placed") from None
        except OSError as error:
            if error.errno in _LINK_REFUSED:
                return False
            raise
    noted = store.linked.get(digest)
    if noted is None:
        noted = store.linked[digest] = LinkedObject(found)
    noted.count += 1
    noted.unchanged = False
    if (
        noted.changed == found.st_ctime_ns
    ):  # else: changed since it was linked before, and verify_materialized must see that
        after = os.lstat(source)
        noted.changed = after.st_ctime_ns
        if after.st_size > disk.SMALL:
            store.stats.note(digest, after)
    return True


def _clone(store: ObjectFolder, digest: Digest, path: str) -> bool:
    """Reflinks the object; False, and not tried again on this store, where the file system can't."""
    done = False
    with opened(store.path_of(digest), os.O_RDONLY | os.O_NOFOLLOW) as source, _new(path) as target:
        try:
            done = platform.clone(source, target)
            if done:
                disk.make_canonical(target)
            elif os.fstat(source).st_dev == os.fstat(target).st_dev:
                store.clones = False
        finally:
            if not done:
                os.unlink(path)
    return done


def _copy(store: ObjectFolder, digest: Digest, path: str, small: bytes | None, mode: int) -> None:
    with _new(path) as target:
        try:
            if small is not None:
                write_all(target, small)
            else:
                with opened(store.path_of(digest), os.O_RDONLY | os.O_NOFOLLOW) as source:
                    if store.clones is False or not platform.clone(source, target):
                        disk.copy(source, target)
            disk.make_canonical(target)
            if mode != disk.OBJECT_MODE:
                os.fchmod(target, mode)
        except BaseException:
            os.unlink(path)
            raise


def _new(path: str) -> AbstractContextManager[int]:
    try:
        return opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise _occupied(path) from None


def _occupied(path: str) -> MachineError:
    return MachineError("something is there already", where=path, hint="move it away; nothing is ever written over")
