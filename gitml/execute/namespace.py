"""A view of the machine in which a sandbox lies at one path, the same on every machine, with nothing of the user's above it.

The view is a mount namespace whose root is a small file system of its own. It holds every folder of the machine's root by a
bind mount, and one more folder, on which a worker mounts the sandbox of its attempt. So a program that searches the folders
above its own finds nothing, and no folder that a step could see before is hidden. The real sandbox stays where it was made.

Root needs CAP_SYS_ADMIN for it, any other user a kernel that lets them make user namespaces. The namespaces are built by a
child of the keeper, which then joins them: where something fails the keeper is as it was before. In a user namespace the
kernel gives every capability over the user's own files; all but the one to mount are given up, so that permissions count.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    import ctypes

MOUNTED = "/gitml-sandbox"

_SHOWN_FILES = (".dockerenv", ".containerenv")  # how programs know that they run in a container

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _SLAVE = 1, 2, 4, 32, 4096, 16384, 1 << 19
_DETACH = 2
_CAP_SYS_ADMIN = 1 << 21
_CAPABILITY_VERSION = 0x20080522  # capset(2): two words of 32 bits each for effective, permitted, inheritable


class Unavailable(NamedTuple):
    """Why this machine can't give sandboxes a view of their own."""

    why: str


def enter(needed: str, hidden: Collection[str]) -> Unavailable | None:
    """Moves this process, which must have one thread, into a view of its own; None when that is done.

    `needed` is a folder that must be the same in the view, `hidden` are names that the machine's root must not have there.
    Where it can't be done nothing has changed.
    """
    if os.path.lexists(MOUNTED):
        return Unavailable(f"{MOUNTED} exists on this machine")
    ready, built = os.pipe()
    joined, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        os.close(release)
        _build(built, joined, needed, hidden)
    os.close(built)
    os.close(joined)
    try:
        told = b""
        while part := os.read(ready, 4096):
            told += part
            if part.endswith(b"\n"):
                break
        if told != b"built\n":
            return Unavailable(told.decode("utf-8", "replace").strip() or "its namespaces could not be made")
        try:
            _join(pid)
        except OSError as error:
            return Unavailable(f"joining the namespaces: {error.strerror}")
        return None
    finally:
        os.close(ready)
        os.close(release)
        os.waitpid(pid, 0)


def leave_shared() -> None:
    """Gives this process, a worker within the keeper's view, mounts of its own. OSError when the kernel refuses."""
    _check("unshare", _libc().unshare(_NEWNS))


def mount_sandbox(folder: str) -> None:
    """Shows `folder` at the fixed path, in place of what was there before."""
    _libc().umount2(MOUNTED.encode(), _DETACH)  # none is there before the first
    _mount(folder, MOUNTED, None, _BIND)


def mounted_in(pid: int) -> tuple[int, int] | None:
    """(device, inode) of the folder that a process sees at the fixed path, None when there is none or it can't be told."""
    try:
        found = os.stat(f"/proc/{pid}/root{MOUNTED}")
    except OSError:
        return None
    return found.st_dev, found.st_ino


def available() -> tuple[bool, str]:
    """Whether sandboxes get a view of their own here, and if not, why. It is tried in a process of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            refused = enter("/usr", ())
            os.write(writer, b"" if refused is None else refused.why.encode("utf-8", "replace"))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        why = pipe.read().decode("utf-8", "replace")
    os.waitpid(pid, 0)
    return not why, why


def _build(built: int, joined: int, needed: str, hidden: Collection[str]) -> NoReturn:
    """Builds the namespaces in this child, says so, and keeps them until the parent has joined."""
    try:
        try:
            before = os.stat(needed)
            _unshare()
            _new_root(hidden)
            after = os.stat(needed)
            if (before.st_dev, before.st_ino) != (after.st_dev, after.st_ino):
                raise OSError(0, f"{needed} can't be seen there")
        except OSError as error:
            os.write(built, f"{error.strerror}\n".encode("utf-8", "replace"))
        else:
            os.write(built, b"built\n")
            os.read(joined, 1)
    finally:
        os._exit(0)


def _unshare() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _check("unshare", _libc().unshare(_NEWNS))
        return
    _check("unshare", _libc().unshare(_NEWUSER | _NEWNS))
    # the same ids inside as outside; groups beyond these keep their rights, though they have no name there
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _new_root(hidden: Collection[str]) -> None:
    """Makes the root a file system of its own with every folder of the old one in it that is not `hidden`."""
    _mount(None, "/", None, _REC | _SLAVE)
    stage = next(folder for folder in ("/tmp", "/proc", "/dev") if os.path.isdir(folder))  # noqa: S108  covered, then moved
    _mount("gitml", stage, "tmpfs", _NOSUID | _NODEV, "mode=755,size=1m")
    old = f"{stage}/.old"
    os.mkdir(old)
    _check("pivot_root", _libc().pivot_root(stage.encode(), old.encode()))
    os.chdir("/")
    with os.scandir("/.old") as entries:
        for entry in entries:
            if entry.name not in hidden:
                _show(entry)
    os.mkdir(MOUNTED)
    _check("umount", _libc().umount2(b"/.old", _DETACH))
    os.rmdir("/.old")
    _mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _show(entry: os.DirEntry[str]) -> None:
    path = f"/{entry.name}"
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), path)
    elif entry.is_dir(follow_symlinks=False):
        os.mkdir(path)
        _mount(entry.path, path, None, _BIND | _REC)
    elif entry.name in _SHOWN_FILES and stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))


def _join(pid: int) -> None:
    own = os.stat("/proc/self/ns/user").st_ino
    is_new = os.stat(f"/proc/{pid}/ns/user").st_ino != own
    fds = [os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("ns/user", "ns/mnt", "root")]
    try:
        if is_new:
            _check("setns", _libc().setns(fds[0], _NEWUSER))
        _check("setns", _libc().setns(fds[1], _NEWNS))
        # the namespace's own root is another one where this machine is a chroot
        os.fchdir(fds[2])
        os.chroot(".")
        os.chdir("/")
        if is_new:
            _keep_only_mounting()
    finally:
        for fd in fds:
            os.close(fd)


def _keep_only_mounting() -> None:
    import ctypes

    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    kept = (ctypes.c_uint32 * 6)(_CAP_SYS_ADMIN, _CAP_SYS_ADMIN, 0, 0, 0, 0)
    _check("capset", _libc().capset(header, kept))


def _libc() -> ctypes.CDLL:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    import ctypes

    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _check(
        f"mount {target}", _libc().mount(*words, ctypes.c_ulong(flags), None if options is None else options.encode())
    )


def _check(what: str, result: int) -> None:
    if result != 0:
        import ctypes

        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
