"""A remote in a folder of this machine: what is sent is made durable there, and what a power cut broke in it is mended."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import unquote

from gitml.errors import MachineError, RemoteError
from gitml.repo import sourcecheck
from gitml.repo.durability import announce, sync_path
from gitml.repo.git import DURABLE, Location, git, git_status
from gitml.repo.quarantine import move_aside
from gitml.repo.stalelocks import clear, lock_files

# Git's own receive-pack syncs neither loose objects nor refs. One pack syncs faster than loose objects.
RECEIVE = " ".join(["git", *DURABLE, "-c", "receive.unpackLimit=1", "receive-pack"])


class FarSide:
    """The repository in a folder that `remote` (a name, path or file URL) stands for."""

    def __init__(self, location: Location) -> None:
        self.location = location

    @property
    def options(self) -> Sequence[str]:
        """What ``git push`` is told so that the folder's Git syncs what it writes."""
        return (f"--receive-pack={RECEIVE}",)

    def sync(self, refs: Iterable[str]) -> None:
        """Makes what was sent durable with its names."""
        names = dict.fromkeys(["objects/pack", "objects", *[os.path.dirname(ref) for ref in refs], "refs", ""])
        with _of_remote():
            for name in names:
                sync_path(os.path.join(self.location.common_dir, name))

    def mend(self, refs: Iterable[str], *, objects: bool) -> bool:
        """Removes stale locks, and moves aside refs that name nothing and damaged `objects`; whether there were any."""
        mended = False
        with _of_remote():
            for lock in lock_files(self.location):
                mended = (lock.stale and clear(lock)) or mended
            for fault in list(sourcecheck.damaged_objects(self.location)) if objects else ():
                aside = sourcecheck.set_aside(self.location, fault.oid)
                announce(f"the remote has a damaged object, which is sent again: {aside}")
                mended = True
            for ref in refs:
                mended = self._without_broken(ref) or mended
        return mended

    def syncs_all(self) -> bool:
        """Whether the folder's own Git syncs refs and loose objects when somebody pushes there without gitml."""
        said = git(self.location, "config", "--get", "core.fsync", check=False).decode("utf-8", "replace")
        parts = {part.strip() for part in said.split(",")}
        return "all" in parts or ("committed" in parts and "reference" in parts)

    def _without_broken(self, ref: str) -> bool:
        path = os.path.join(self.location.common_dir, ref)
        try:
            with open(path, "rb") as file:
                oid = file.read(100).decode("ascii", "replace").strip()
        except OSError:
            return False
        length = 64 if self.location.object_format == "sha256" else 40
        if len(oid) == length and git_status(self.location, "cat-file", "-e", f"{oid}^{{tree}}")[2] == 0:
            return False
        aside = move_aside(self.location, path, ref.replace("/", "-"))
        announce(f"the remote's {ref} was broken, as by a power cut; it is sent anew, and the broken one is {aside}")
        return True


@contextmanager
def _of_remote() -> Iterator[None]:
    """What the disk of the folder refuses is the remote's failure, not this machine's."""
    try:
        yield
    except MachineError as error:
        raise RemoteError(f"the remote refused: {error.message}", where=error.where, hint=error.hint) from error


def far_side(location: Location, remote: str) -> FarSide | None:
    """The folder that a push to `remote` goes to; None for a host, and where the user chose another receive-pack."""
    if git(location, "config", "--get", f"remote.{remote}.receivepack", check=False).strip():
        return None
    said, _, code = git_status(location, "remote", "get-url", "--push", "--", remote)
    if code:
        said = git(location, "ls-remote", "--get-url", "--", remote, check=False)
    url = os.fsdecode(said).rstrip("\n")
    if url.startswith("file://"):
        url = unquote(url.removeprefix("file://"))
    folder = os.path.join(location.folder, url)
    for place in (os.path.join(folder, ".git"), folder):
        if os.path.isdir(os.path.join(place, "objects")) and os.path.exists(os.path.join(place, "HEAD")):
            real = os.path.realpath(place)
            return FarSide(Location(real, real, None, location.object_format, bare=True, explicit=True))
    return None
