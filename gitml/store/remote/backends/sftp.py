"""Uploading a large file over SSH: under another name first, resuming what an interrupted upload left there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
from collections.abc import Callable
from typing import Any

from gitml.core.config.remotes import StoredObject
from gitml.core.model.digest import hex_of
from gitml.errors import Guard, IntegrityError
from gitml.store.remote.backends.partial_upload import KEPT, PIECE, fresh_name, kept_name
from gitml.store.remote.layout import damaged_object

_HASHING = 600.0  # seconds that the host may take to hash what lies there


def upload_over_sftp(fs: Any, source: str, path: str, item: StoredObject, moved: Callable[[int], None]) -> None:
    """Uploads a file by sshfs, hashed on the way: IntegrityError, and nothing there, when it is not what `item` says."""
    folder = path.rpartition("/")[0]
    with Guard(source):
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        kept = item.size >= KEPT and _is_alone(reading)  # one process at a time goes on with it
        fresh = f"{folder}/{kept_name(item.digest, source) if kept else fresh_name(item.digest)}"
    try:
        fs.makedirs(folder, exist_ok=True)
        begun, state = _begun(fs, fresh, reading) if kept else (0, hashlib.sha256())
        moved(begun)
        _write(fs, fresh, source, reading, begun, state, moved)
        if state.hexdigest() != hex_of(item.digest):
            raise damaged_object(item.digest, state.hexdigest())
        fs.mv(fresh, path)
    except BaseException as error:
        if not kept or isinstance(error, IntegrityError) or _is_refused(error):
            with contextlib.suppress(Exception):  # the failure itself is what counts
                fs.rm_file(fresh)
        raise
    finally:
        os.close(reading)


def _write(
    fs: Any, fresh: str, source: str, reading: int, begun: int, state: Any, moved: Callable[[int], None]
) -> None:
    """Sends what follows the first `begun` bytes, piece by piece, each acknowledged before the next is sent."""
    from asyncssh.sftp import SFTPOpUnsupported

    with contextlib.closing(fs.open(fresh, "r+b" if begun else "wb")) as file:
        if begun:
            file.seek(begun)
        while True:
            with Guard(source):
                piece = os.pread(reading, PIECE, begun)
            if not piece:
                break
            file.write(piece)
            state.update(piece)
            begun += len(piece)
            moved(len(piece))
        file.truncate(begun)
        with contextlib.suppress(SFTPOpUnsupported):
            file.fsync()


def _begun(fs: Any, fresh: str, reading: int) -> tuple[int, Any]:
    """How many bytes lie there and are ours, and the hash of them: whole pieces without the last, which may have holes.

    The host is asked for their hash. Where it runs no commands for us, the upload restarts.
    """
    nothing = 0, hashlib.sha256()
    try:
        size = int(fs.info(fresh)["size"])
    except FileNotFoundError:
        return nothing
    begun = min(size - 1, os.fstat(reading).st_size) // PIECE * PIECE
    if begun <= 0:
        return nothing
    command = f"head -c {begun} {shlex.quote(fresh)} | (sha256sum 2>/dev/null || shasum -a 256)"
    try:
        answer = fs.execute(command, timeout=_HASHING, input="")
    except Exception:  # whatever it is: if the connection is gone too, that comes out at once
        return nothing
    state = hashlib.sha256()
    for at in range(0, begun, PIECE):
        state.update(os.pread(reading, PIECE, at))
    return (begun, state) if str(answer.stdout).partition(" ")[0] == state.hexdigest() else nothing


def _is_alone(fd: int) -> bool:
    """Locks an open file until it is closed; False when another process has it, or nothing can be locked there."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_refused(error: BaseException) -> bool:
    """Whether the server took no more, as when its disk is full: then what lies there is only in the way."""
    from asyncssh.sftp import SFTPFailure

    return isinstance(error, (SFTPFailure, OSError)) and not isinstance(error, (ConnectionError, TimeoutError))
