"""Downloading one object into the Store: to a temporary that an interrupted download leaves, verified, synced, renamed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from gitml.core.config.remotes import StoredObject
from gitml.core.model.digest import PREFIX, Digest, hex_of
from gitml.core.model.pack import MAX_SIZE, contents_of
from gitml.core.model.protocols import RemoteStore
from gitml.errors import Guard, IntegrityError
from gitml.files import PART, closing_fd, locked_part, write_all
from gitml.store.local import disk
from gitml.store.local.object_writer import PendingObject
from gitml.store.local.store import LocalStore
from gitml.store.remote.transfer.file_copy import GrowingFileHash, copy_in_kernel
from gitml.store.remote.transfer.progress import TransferMeter, with_retries


class WrongBytesError(IntegrityError):
    """A remote returned other bytes than the Digest is of."""

    def __init__(self, item: StoredObject, remote: RemoteStore, what: str) -> None:
        super().__init__(
            f"{item.digest[:19]}… came wrong from remote {remote.name}: {what}",
            where=remote.place,
            hint=f"gitml fsck --remote {remote.name} --repair",
        )


def download_object(store: LocalStore, remote: RemoteStore, item: StoredObject, meter: TransferMeter) -> None:
    """Downloads one object into the Store, resuming an interrupted download. WrongBytesError for other bytes.

    Several processes and threads may request one object: one downloads it, the others find it.
    """
    with _part(store, item, meter) as part:
        if store.is_intact(item.digest, item.size):
            with Guard(part.path):
                os.unlink(part.path)
            meter.moved(item.size)
            return
        found = _received(remote, item, part, meter)
        if found != item.digest:
            # Under a name of its own: the object of this machine was not bad.
            aside = f"{hex_of(item.digest)}.remote"
            store.set_aside(part.path, aside, f"from remote {remote.name}, its content is {found}")
            raise WrongBytesError(item, remote, f"its content is {found[:19]}…")
        with Guard(part.path):
            disk.make_canonical(part.fd)
            os.fsync(part.fd)
            written = os.fstat(part.fd)
        store.publish([PendingObject(item.digest, part.path, written.st_ino, disk.changed_if_large(written))])


def download_file(path: str, remote: RemoteStore, item: StoredObject, meter: TransferMeter) -> None:
    """Downloads one object to `path`, outside of the Store, unless it is there. As `download_object` else."""
    while not os.path.exists(path):
        with Guard(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            fd = locked_part(path)
        if fd is None:
            meter.check_stopped()
            time.sleep(0.1)
            continue
        with closing_fd(fd):
            part = _Part(path + PART, fd)
            found = _received(remote, item, part, meter)
            with Guard(path):
                if found != item.digest:
                    os.ftruncate(fd, 0)
                    raise WrongBytesError(item, remote, f"its content is {found[:19]}…")
                os.fchmod(fd, 0o644)
                os.rename(part.path, path)
        return
    meter.moved(item.size)


def _received(remote: RemoteStore, item: StoredObject, part: _Part, meter: TransferMeter) -> Digest:
    """Completes a part; the Digest of what is in it."""
    begun = os.fstat(part.fd).st_size
    found = with_retries(lambda moved: _receive(remote, item, part, moved), meter)
    if found != item.digest and begun:
        with Guard(part.path):
            os.ftruncate(part.fd, 0)  # what lay here before may be the bad part
        found = with_retries(lambda moved: _receive(remote, item, part, moved), meter)
    return found


class _Part(NamedTuple):
    """The temporary of one object, and its open file."""

    path: str
    fd: int


@contextmanager
def _part(store: LocalStore, item: StoredObject, meter: TransferMeter) -> Iterator[_Part]:
    """The temporary of one object, held by one thread of one process at a time."""
    store.new_temporary()  # makes the folder
    path = f"{store.temporaries}/part-{hex_of(item.digest)}"
    while True:
        with Guard(path):
            try:
                fd = disk.reopen(path)
            except PermissionError:
                # another user's, who may be at work on it or gone: this one begins its own
                path = f"{path}-{os.geteuid()}"
                fd = disk.reopen(path)
        if fd is not None:
            break
        meter.check_stopped()
        time.sleep(0.1)
    with closing_fd(fd):
        yield _Part(path, fd)


def _receive(remote: RemoteStore, item: StoredObject, part: _Part, moved: Callable[[int], None]) -> Digest:
    """Writes what the part lacks; the Digest of all of it. Remotes raise when they are cut off: a plain end is the end."""
    at = os.fstat(part.fd).st_size
    if at > item.size:
        at = 0
    download = remote.get(item, at)
    with Guard(part.path), closing(GrowingFileHash(part.fd)) as hashing:
        at, chunks = download.start, download.chunks
        moved(at)
        if download.file is not None:
            try:
                while at < item.size and (count := copy_in_kernel(download.file, part.fd, at)):
                    at += count
                    hashing.upto(at)
                    moved(count)
            except BaseException:
                os.close(download.file)
                raise
            if at > download.start or at == item.size:  # else the kernel can't copy here, and the chunks are the file
                os.close(download.file)
                chunks = remote.get(item, at).chunks if at < item.size else iter(())
        os.ftruncate(part.fd, at)
        os.lseek(part.fd, at, os.SEEK_SET)
        hashing.upto(at)
        for chunk in chunks:
            at += len(chunk)
            if at > item.size:
                break
            write_all(part.fd, chunk)
            hashing.upto(at)
            moved(len(chunk))
        if at != item.size:
            raise WrongBytesError(item, remote, _wrong_length(at, item.size))
        if at >= disk.BIG:
            os.fsync(part.fd)  # while the hash of the last pieces is still computed
        return Digest(PREFIX + hashing.hexdigest())


def _wrong_length(size: int, wanted: int) -> str:
    return f"it is {'longer' if size > wanted else 'shorter'} than it should be"


def download_pack(remote: RemoteStore, item: StoredObject, meter: TransferMeter) -> bytearray:
    """A pack's bytes. IntegrityError when it is not there or claims to be too large; its content is not verified yet."""
    if item.size > MAX_SIZE:
        raise WrongBytesError(item, remote, f"a pack of {item.size} bytes")

    def receive(moved: Callable[[int], None]) -> bytearray:
        data = bytearray()
        for chunk in remote.get(item).chunks:
            data += chunk
            if len(data) > item.size:
                break
            moved(len(chunk))
        if len(data) != item.size:
            raise WrongBytesError(item, remote, _wrong_length(len(data), item.size))
        return data

    return with_retries(receive, meter)


def unpack(
    remote: RemoteStore, item: StoredObject, data: bytearray, store: LocalStore
) -> Iterator[tuple[Digest, memoryview]]:
    """What a pack holds, each content verified; a bad pack is set aside in the quarantine: WrongBytesError."""
    try:
        yield from contents_of(data)  # all of it verified piece by piece, so the pack as a whole is not hashed too
    except ValueError as error:
        path = store.new_temporary()
        with Guard(path):
            with open(path, "wb") as file:
                file.write(data)
            store.set_aside(path, f"{hex_of(item.digest)}.remote", f"from remote {remote.name}: {error}")
        raise WrongBytesError(item, remote, str(error)) from error
