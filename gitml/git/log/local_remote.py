"""A remote in a folder of this machine: what is sent is made durable there, and what a power cut broke in it is repaired."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import unquote

from gitml.errors import MachineError, RemoteError
from gitml.git.command import DURABLE, Location, config_value, config_values, git, git_status
from gitml.git.integrity import object_check
from gitml.git.integrity.durability import sync_path
from gitml.git.integrity.quarantine import move_aside, quarantine_object
from gitml.git.integrity.repairs import announce
from gitml.git.integrity.stale_locks import clear, lock_files
from gitml.git.log.remote_refs import ref_file

# Git's own receive-pack syncs neither loose objects nor refs. One pack syncs faster than loose objects.
RECEIVE = " ".join(["git", *DURABLE, "-c", "receive.unpackLimit=1", "receive-pack"])


class LocalRemote:
    """The repository in a folder that `remote` (a name, path or file URL) stands for.

    No git of ours obeys its settings, and so nothing of it is repaired, unless it is `trusted`.
    """

    def __init__(self, location: Location, *, trusted: bool = True) -> None:
        self.location = location
        self.trusted = trusted

    @property
    def options(self) -> Sequence[str]:
        """Options of ``git push`` that make the folder's Git sync what it writes."""
        return (f"--receive-pack={RECEIVE}",)

    def sync(self, refs: Iterable[str]) -> None:
        """Makes what was sent durable with its names."""
        names = dict.fromkeys(["objects/pack", "objects", *[os.path.dirname(ref) for ref in refs], "refs", ""])
        with _of_remote():
            for name in names:
                sync_path(os.path.join(self.location.common_dir, name))

    def repair(self, refs: Iterable[str], *, objects: bool) -> bool:
        """Removes stale locks, and moves aside refs that name nothing and damaged `objects`; whether there were any."""
        mended = False
        if not self.trusted:
            return mended
        with _of_remote():
            for lock in lock_files(self.location):
                mended = (lock.stale and clear(lock)) or mended
            for fault in list(object_check.damaged_objects(self.location)) if objects else ():
                aside = quarantine_object(self.location, fault.oid)
                announce(f"the remote has a damaged object, which is sent again: {aside}")
                mended = True
            for ref in refs:
                mended = self._without_broken(ref) or mended
        return mended

    def syncs_all(self) -> bool:
        """Whether the folder's own Git syncs refs and loose objects when somebody pushes there without gitml."""
        parts = {part.strip() for part in config_value(self.location, "--get", "core.fsync").split(",")}
        return "all" in parts or ("committed" in parts and "reference" in parts)

    def _without_broken(self, ref: str) -> bool:
        path = os.path.join(self.location.common_dir, ref)
        oid = ref_file(self.location, ref)
        if oid is None:
            return False
        length = 64 if self.location.object_format == "sha256" else 40
        if len(oid) == length and git_status(self.location, "cat-file", "-e", f"{oid}^{{tree}}")[2] == 0:
            return False
        aside = move_aside(self.location, path, ref.replace("/", "-"))
        announce(f"the remote's {ref} was broken, as by a power cut; it is sent again, and the broken one is {aside}")
        return True


@contextmanager
def _of_remote() -> Iterator[None]:
    """What the disk of the folder refuses is the remote's failure, not this machine's."""
    try:
        yield
    except MachineError as error:
        raise RemoteError(f"the remote refused: {error.message}", where=error.where, hint=error.hint) from error


def _is_trusted(location: Location, folder: str) -> bool:
    """Whether git would obey the settings of a repository, which git itself does not check when GIT_DIR names one."""
    owners = {os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        owners.add(int(os.environ["SUDO_UID"]))
    if os.stat(folder).st_uid in owners:
        return True
    safe: set[str] = set()
    for scope in ("--system", "--global"):  # git heeds no other
        for value in config_values(location, scope, "--path", "--get-all", "safe.directory"):
            safe = safe | {value} if value else set()
    return any(
        value == "*"
        or value in (folder, os.path.dirname(folder))
        or (value.endswith("/*") and folder.startswith(value[:-1]))
        for value in safe
    )


def local_remote_of(location: Location, remote: str) -> LocalRemote | None:
    """The folder that a push to `remote` goes to; None for a host, and where the user chose another receive-pack."""
    if config_value(location, "--get", f"remote.{remote}.receivepack"):
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
            there = Location(real, real, None, location.object_format, bare=True, explicit=True)
            return LocalRemote(there, trusted=_is_trusted(location, real))
    return None
