"""What an upload that was cut off left beside its place, for the same machine to go on with."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform

from gitml.core.model.digest import Digest, hex_of

KEPT = 32 << 20  # bytes; smaller objects are sent anew
STALE = 86400.0  # seconds; a temporary that old was left by a writer that is gone


def fresh_name(digest: Digest) -> str:
    """A name that nobody else uses."""
    return f".{hex_of(digest)[:12]}-{os.urandom(6).hex()}.tmp"


def kept_name(digest: Digest, source: str) -> str:
    """The name that this file of this machine always has on its way: what lies under it was sent from here."""
    found = os.stat(source)
    whose = f"{platform.node()} {os.path.realpath(source)} {found.st_dev} {found.st_ino}"
    return f".{hex_of(digest)[:12]}-{hashlib.sha256(os.fsencode(whose)).hexdigest()[:12]}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a file is one of these."""
    return name.startswith(".") and name.endswith(".tmp")


def lock_alone(fd: int) -> bool:
    """Locks an open file until it is closed; False when another process has it, or nothing can be locked there."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
